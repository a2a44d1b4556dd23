"""An acceptance that is known only after somebody has gone on without it: no further copy leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from sendctl.passes import importing, reconcile
from sendctl.passes.claiming import Clerk, Window
from sendctl.passes.deciding import Desk
from sendctl.providers.base import Outcome, Phase
from sendctl.states import AttemptOutcome
from sendctl.store import doubts
from tests.passes.test_ingest import fact, ingest, message
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, UNKNOWN, UNTOUCHED, Ground
from tests.store.waiting import begin_before_the_commit

WITH_ID = Outcome(AttemptOutcome.ACCEPTED, Phase.REPLIED, text="taken", provider_message_id="FIRST")
NOT_ACCEPTED = pytest.mark.parametrize(
    "second", [DEFERRED, UNTOUCHED, REFUSED, UNKNOWN], ids=lambda outcome: str(outcome.kind)
)


def attempts(ground: Ground) -> list[tuple[object, ...]]:
    return [tuple(row) for row in ground.rows("SELECT number, outcome, evidence FROM attempts ORDER BY number")]


def nothing_leaves(ground: Ground) -> None:
    """However long one waits."""
    for _ in range(2):
        ground.clock.forward(hours=2)
        reconcile.run(ground.context)
        assert not ground.send_due().work.outcomes
    assert ground.states() == {"sent": 1}


def doubted(ground: Ground) -> tuple[Clerk, Window]:
    """A process that was thought dead, and what it had claimed; its message is in doubt."""
    ground.enqueue(1)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    ground.clock.forward(hours=1)
    other = ground.other_host()
    assert importing.expire_foreign(other.context) == 1
    other.close()
    return clerk, window


def decided(ground: Ground) -> None:
    desk = Desk(ground.context)
    with desk.transaction() as connection:
        assert desk.resend(connection, [doubt.held for doubt in doubts.in_doubt(connection)], "operator") == 1


def not_found(ground: Ground) -> None:
    """The service has been asked, and did not have it (yet)."""
    desk = Desk(ground.context)
    absent = Outcome(AttemptOutcome.DEFERRED, Phase.DOTTED, text="it does not have it", error_class="not_found")
    with desk.transaction() as connection:
        (doubt,) = doubts.in_doubt(connection)
        assert desk.resolve(connection, doubt.message_id, absent, evidence="lookup", claim_id=doubt.claim_id)


WENT_ON = pytest.mark.parametrize("went_on", [decided, not_found])
WentOn = Callable[[Ground], None]


@WENT_ON
@NOT_ACCEPTED
def test_an_event_while_the_next_attempt_is_in_flight_keeps_a_third_from_leaving(
    ground: Ground, second: Outcome, went_on: WentOn
) -> None:
    ground.enqueue(1)
    ground.pass_with(UNKNOWN)
    went_on(ground)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    assert ingest(ground, fact("delivered", message_id=message(ground))).applied.proven == 0
    assert ground.states() == {"sending": 1}
    clerk.turn(ground.done(window, second), 1)  # which would claim it at once
    assert ground.states() == {"sent": 1}
    nothing_leaves(ground)


@WENT_ON
@NOT_ACCEPTED
def test_a_late_reply_while_the_next_attempt_is_in_flight_keeps_a_third_from_leaving(
    ground: Ground, second: Outcome, went_on: WentOn
) -> None:
    sleeper, old = doubted(ground)
    went_on(ground)
    clerk = ground.clerk()
    new = clerk.turn([], 1)
    sleeper.turn(ground.done(old, WITH_ID), 0)
    assert ground.states() == {"sending": 1}
    clerk.turn(ground.done(new, second), 1)
    kind = "abandoned" if second is UNKNOWN else second.kind
    assert attempts(ground) == [(1, "accepted", "reply"), (2, kind, "policy" if second is UNKNOWN else "reply")]
    nothing_leaves(ground)


@WENT_ON
def test_a_late_reply_ends_the_doubt_about_the_next_attempt(ground: Ground, went_on: WentOn) -> None:
    sleeper, old = doubted(ground)
    went_on(ground)
    ground.pass_with(UNKNOWN)
    assert ground.states() == {"in_doubt": 1}
    sleeper.turn(ground.done(old, WITH_ID), 0)
    assert attempts(ground) == [(1, "accepted", "reply"), (2, "abandoned", "policy")]
    nothing_leaves(ground)


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("how", ["event", "reply"])
def test_proof_and_the_next_outcome_at_the_same_moment_see_each_other(ground: Ground, how: str) -> None:
    """The outcome has asked for proof, and is not committed, when the proof finds the message in flight."""
    sleeper, old = doubted(ground)
    decided(ground)
    mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
    clerk = mine.clerk()
    new = clerk.turn([], 1)
    told = fact("delivered", message_id=message(ground))
    proving = threading.Thread(
        target=lambda: ingest(ground, told) if how == "event" else sleeper.turn(ground.done(old, WITH_ID), 0)
    )
    begin_before_the_commit(mine.store.engine, proving)
    clerk.turn(mine.done(new, DEFERRED), 0)
    proving.join()
    mine.close()
    assert ground.states() == {"sent": 1}
    nothing_leaves(ground)


def test_of_two_that_were_accepted_each_is_known_under_its_id(ground: Ground) -> None:
    sleeper, old = doubted(ground)
    decided(ground)
    clerk = ground.clerk()
    new = clerk.turn([], 1)
    sleeper.turn(ground.done(old, WITH_ID), 0)
    clerk.turn(ground.done(new, ACCEPTED), 0)
    assert attempts(ground) == [(1, "abandoned", "reply"), (2, "accepted", "reply")]
    named = fact("complained", provider="primary", provider_message_id="FIRST")
    assert ingest(ground, named).applied.suppressed == 1
    nothing_leaves(ground)


@pytest.mark.parametrize("how", ["event", "reply"])
def test_what_was_not_found_and_is_proven_while_it_waits_is_not_sent_again(ground: Ground, how: str) -> None:
    sleeper, old = doubted(ground)
    not_found(ground)
    assert ground.states() == {"queued": 1}
    if how == "event":
        assert ingest(ground, fact("delivered", message_id=message(ground))).applied.proven == 1
    else:
        sleeper.turn(ground.done(old, ACCEPTED), 0)
    assert attempts(ground) == [(1, "accepted", how)]
    nothing_leaves(ground)


@pytest.mark.parametrize("first", [DEFERRED, UNTOUCHED], ids=lambda outcome: str(outcome.kind))
def test_an_event_proves_nothing_against_what_the_provider_itself_has_said(ground: Ground, first: Outcome) -> None:
    ground.enqueue(1)
    ground.pass_with(first)
    assert ingest(ground, fact("delivered", message_id=message(ground))).applied.proven == 0
    assert ground.states() == {"queued": 1}
