"""Recording outcomes: fenced by the claim, so that whoever lost a message changes nothing of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sendctl.errors import StoreRewound
from sendctl.passes.claiming import Window
from sendctl.passes.deciding import Desk
from sendctl.passes.importing import expire_foreign
from sendctl.providers.base import Outcome
from sendctl.store import doubts
from tests.store.ground import ACCEPTED, DEFERRED, NO_CREDENTIALS, REFUSED, UNKNOWN, UNTOUCHED, Ground

LEDGER = ("messages", "attempts", "enrollments")


def ledger(ground: Ground) -> dict[str, list[Any]]:
    everything = ground.dump()
    return {name: everything[name] for name in LEDGER}


def given_up(ground: Ground) -> None:
    """The claims of whoever is out there expire, and nobody can say whether it is dead."""
    ground.clock.forward(seconds=ground.send.claim_s + ground.send.deadline_s + 1)
    assert expire_foreign(ground.context) > 0


def decide(ground: Ground, verb: str) -> None:
    """An operator's `recover --in-doubt resend` or `skip`."""
    desk = Desk(ground.context)
    with desk.transaction() as connection:
        held = [doubt.held for doubt in doubts.in_doubt(connection)]
        if verb == "resend":
            desk.resend(connection, held, "operator")
        else:
            desk.skip(connection, held, "operator", "given up")


def settled_under(ground: Ground, window: Window, claim_ids: list[str], outcome: Outcome) -> set[int]:
    """Record one outcome for a window's messages, each under a claim id of the test's; the ids that were lost."""
    desk = Desk(ground.context)
    claimed = [item._replace(claim_id=claim) for item, claim in zip(window.messages, claim_ids, strict=True)]
    with desk.transaction() as connection:
        desk.load(connection, [item.due for item in claimed])
        decided = [desk.decided(item.due, item, outcome, evidence="reply", at=desk.now) for item in claimed]
        return desk.settle(connection, decided)


@pytest.mark.parametrize("outcome", [ACCEPTED, REFUSED, DEFERRED, UNKNOWN, UNTOUCHED], ids=lambda o: str(o.kind))
def test_an_outcome_under_another_claim_changes_nothing_and_is_reported_lost(ground: Ground, outcome: Outcome) -> None:
    ground.enqueue(2)
    window = ground.clerk().turn([], 10)
    before = ledger(ground)
    assert settled_under(ground, window, ["forged", ""], outcome) == {item.due.id for item in window.messages}
    assert ledger(ground) == before


def test_one_lost_message_does_not_hold_up_the_others(ground: Ground) -> None:
    ground.enqueue(3)
    window = ground.clerk().turn([], 10)
    first, second, third = window.messages
    lost = settled_under(ground, window, [first.claim_id, "forged", third.claim_id], ACCEPTED)
    assert lost == {second.due.id}
    assert ground.states() == {"sent": 2, "sending": 1}


def test_a_run_whose_claims_the_store_has_forgotten_stops_at_once(ground: Ground) -> None:
    """A failover under a running pass: another server answers, and knows nothing of what was claimed."""
    ground.enqueue(3)
    clerk = ground.clerk()
    before = ground.backup()
    window = clerk.turn([], 1)
    ground.put_back(before)
    with pytest.raises(StoreRewound, match="has forgotten what run"):
        clerk.turn(ground.done(window, ACCEPTED), 1)
    assert ground.states() == {"queued": 3}


def test_a_run_that_the_store_does_not_know_claims_nothing(ground: Ground) -> None:
    ground.enqueue(1)
    clerk = ground.clerk()
    ground.change("DELETE FROM runs")
    with pytest.raises(StoreRewound, match="does not know run"):
        clerk.turn([], 1)
    assert ground.states() == {"queued": 1}


def test_the_same_outcome_twice_is_recorded_once(ground: Ground) -> None:
    ground.enqueue(1)
    clerk = ground.clerk()
    done = ground.done(clerk.turn([], 1), ACCEPTED)
    clerk.turn(done, 0)
    before = ledger(ground)
    clerk.turn(done, 0)
    assert ledger(ground) == before
    assert clerk.lost == 1


def test_a_worker_that_wakes_up_with_an_acceptance_settles_the_doubt(ground: Ground) -> None:
    ground.enqueue(1)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    given_up(ground)
    assert ground.states() == {"in_doubt": 1}
    clerk.turn(ground.done(window, ACCEPTED), 0)
    assert ground.states() == {"sent": 1}
    assert ground.rows("SELECT number, outcome, evidence FROM attempts") == [(1, "accepted", "reply")]
    assert ground.one("SELECT status FROM enrollments") == "completed"


@pytest.mark.parametrize("outcome", [DEFERRED, UNTOUCHED, REFUSED], ids=lambda o: str(o.kind))
def test_a_worker_that_wakes_up_with_a_refusal_proves_that_nothing_was_sent(ground: Ground, outcome: Outcome) -> None:
    ground.enqueue(1)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    given_up(ground)
    clerk.turn(ground.done(window, outcome), 0)
    assert ground.states() == {"queued": 1}
    assert ground.one("SELECT outcome FROM attempts") == outcome.kind


def test_a_worker_that_wakes_up_knowing_nothing_leaves_the_doubt(ground: Ground) -> None:
    ground.enqueue(1)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    given_up(ground)
    before = ledger(ground)
    clerk.turn(ground.done(window, UNKNOWN), 0)
    assert ledger(ground) == before


def replaced(ground: Ground) -> dict[str, list[Any]]:
    """The ledger without the first attempts, of which later proof may be kept."""
    later = ground.rows("SELECT * FROM attempts WHERE number > 1")
    return ledger(ground) | {"attempts": later}


@pytest.mark.parametrize("outcome", [ACCEPTED, DEFERRED, REFUSED], ids=lambda o: str(o.kind))
def test_a_zombie_never_touches_the_attempt_that_replaced_its_own(ground: Ground, outcome: Outcome) -> None:
    ground.enqueue(1)
    zombie = ground.clerk()
    old = zombie.turn([], 1)
    given_up(ground)
    decide(ground, "resend")
    clerk = ground.clerk()
    new = clerk.turn([], 1)
    assert new.messages[0].number == 2
    before = replaced(ground)
    zombie.turn(ground.done(old, outcome), 0)
    assert replaced(ground) == before
    clerk.turn(ground.done(new, UNKNOWN), 0)
    doubtful = ledger(ground)
    zombie.turn(ground.done(old, outcome), 0)  # not even when its successor is in doubt
    assert ledger(ground) == doubtful


@pytest.mark.parametrize("verb", ["resend", "skip"])
def test_an_acceptance_that_comes_after_the_decision_and_before_a_second_copy_saves_it(
    ground: Ground, verb: str
) -> None:
    ground.enqueue(1)
    zombie = ground.clerk()
    window = zombie.turn([], 1)
    given_up(ground)
    decide(ground, verb)
    zombie.turn(ground.done(window, ACCEPTED), 0)
    assert ground.states() == {"sent": 1}
    assert ground.rows("SELECT number, outcome, evidence FROM attempts") == [(1, "accepted", "reply")]
    assert ground.one("SELECT status FROM enrollments") == "completed"


def test_an_attempt_that_has_its_outcome_keeps_it(ground: Ground) -> None:
    ground.provable = False  # the open attempt is left behind
    ground.enqueue(1)
    ground.pass_with(DEFERRED)
    ground.clock.forward(hours=1)
    window = ground.clerk().turn([], 1)
    first = replace(window, messages=tuple(item._replace(number=1) for item in window.messages))
    before = ground.dump()["attempts"]
    assert settled_under(ground, first, [item.claim_id for item in window.messages], REFUSED) == set()
    assert ground.dump()["attempts"] == before


def test_a_zombie_does_not_undo_what_an_operator_has_given_up(ground: Ground) -> None:
    ground.enqueue(1)
    zombie = ground.clerk()
    old = zombie.turn([], 1)
    given_up(ground)
    decide(ground, "skip")
    before = ledger(ground)
    zombie.turn(ground.done(old, DEFERRED), 0)
    assert ledger(ground) == before
    assert ground.states() == {"failed": 1}


def test_outcomes_and_the_next_claim_are_one_transaction(ground: Ground) -> None:
    ground.enqueue(4)
    clerk = ground.clerk()
    first = clerk.turn([], 2)
    ground.change("UPDATE campaigns SET controls = 'not json'")  # makes the next claim fail
    with pytest.raises(ValueError):
        clerk.turn(ground.done(first, ACCEPTED), 2)
    assert ground.states() == {"sending": 2, "queued": 2}


def test_an_attempt_keeps_all_that_the_provider_said(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(REFUSED)
    row = ground.rows("SELECT outcome, phase, evidence, code, enhanced, error_class, reply FROM attempts")[0]
    assert tuple(row) == ("refused", "replied", "reply", 550, "5.1.1", "rcpt", "no such user")
    row = ground.rows("SELECT status, transient, error_class, last_error, charged_attempts FROM messages")[0]
    assert tuple(row) == ("failed", 0, "rcpt", "no such user", 1)
    assert ground.one("SELECT status FROM enrollments") == "failed"


def test_deferrals_use_up_the_attempts_and_the_last_is_a_passing_failure(ground: Ground) -> None:
    ground.enqueue(1, controls='max_attempts = 3\nretry_base = "1m"')
    waits = []
    for _ in range(3):
        ground.pass_with(DEFERRED)
        if ground.states() == {"queued": 1}:
            assert ground.clerk().turn([], 1).messages == ()
            waits.append(ground.one("SELECT next_attempt_at FROM messages"))
            ground.clock.forward(minutes=2 ** len(waits))
    assert len(waits) == 2
    assert ground.states() == {"failed": 1}
    assert tuple(ground.rows("SELECT transient, attempts, charged_attempts FROM messages")[0]) == (1, 3, 3)


@pytest.mark.parametrize("outcome", [UNTOUCHED, NO_CREDENTIALS], ids=lambda o: str(o.kind))
def test_what_is_not_the_recipients_doing_is_not_charged(ground: Ground, outcome: Outcome) -> None:
    ground.enqueue(1, controls="max_attempts = 1")
    for _ in range(3):
        ground.pass_with(outcome)
        ground.clock.forward(hours=2)
    assert ground.states() == {"queued": 1}
    assert tuple(ground.rows("SELECT attempts, charged_attempts FROM messages")[0]) == (3, 0)


def test_what_is_accepted_after_all_no_longer_shows_its_last_error(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(DEFERRED)
    assert ground.one("SELECT last_error FROM messages") == "later"
    ground.clock.forward(hours=1)
    ground.pass_with(ACCEPTED)
    assert ground.rows("SELECT status, error_class, last_error FROM messages") == [("sent", None, None)]
    assert ground.rows("SELECT reply FROM attempts ORDER BY number") == [("later",), ("250 ok",)]
