"""What counts as a try: for what was halted or given back no message waits longer, fails sooner, or is given up."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest

from sendctl.passes import reconcile
from sendctl.passes.startup import take_over
from sendctl.providers.base import Outcome, Phase, Scope
from sendctl.states import AttemptOutcome
from tests.passes.dying import dead_run
from tests.store.ground import ACCEPTED, DEFERRED, NO_CREDENTIALS, UNTOUCHED, Ground

QUOTA = Outcome(AttemptOutcome.HALTED, Phase.REPLIED, Scope.PROVIDER, code=429, text="no more this month",
                error_class="quota")  # fmt: skip
THROTTLED = Outcome(AttemptOutcome.DEFERRED, Phase.REPLIED, Scope.PROVIDER, code=429, text="slow down",
                    error_class="throttled", retry_after_s=61.0)  # fmt: skip
NO_TRY = pytest.mark.parametrize("outcome", [QUOTA, NO_CREDENTIALS, UNTOUCHED], ids=["quota", "key", "given back"])


def met(ground: Ground, outcome: Outcome, times: int) -> None:
    """So many passes, two hours apart, that all end so for the one message that is due."""
    for _ in range(times):
        assert len(ground.pass_with(outcome).messages) == 1
        ground.clock.forward(hours=2)


def waits(ground: Ground) -> timedelta:
    """How long the only message still waits."""
    with ground.store.read() as connection:
        now = ground.store.now(connection)
    at = ground.one("SELECT next_attempt_at FROM messages")
    return cast("timedelta", (type(now).fromisoformat(f"{at}+00:00") if isinstance(at, str) else at) - now)


@NO_TRY
def test_a_message_that_is_halted_or_given_back_for_ever_stays_in_the_queue(ground: Ground, outcome: Outcome) -> None:
    ground.enqueue(1, controls="max_attempts = 1")
    met(ground, outcome, 55)
    assert ground.states() == {"queued": 1}
    ground.pass_with(ACCEPTED)
    assert ground.states() == {"sent": 1}


@NO_TRY
def test_the_first_deferral_after_an_outage_waits_as_any_first_one(ground: Ground, outcome: Outcome) -> None:
    ground.enqueue(1)
    met(ground, outcome, 55)
    ground.pass_with(THROTTLED)
    assert ground.states() == {"queued": 1}
    assert waits(ground) == timedelta(seconds=61)


def test_a_journal_of_a_dead_run_makes_no_more_tries_of_it(ground: Ground) -> None:
    ground.enqueue(1)
    met(ground, UNTOUCHED, 55)
    dead_run(ground, THROTTLED)
    take_over(ground.context)
    assert ground.states() == {"queued": 1}
    assert waits(ground) <= timedelta(seconds=61)


def test_waits_grow_with_the_tries_and_the_fiftieth_ends_it(ground: Ground) -> None:
    ground.enqueue(1)
    found = []
    for number in range(1, 51):
        met(ground, QUOTA if number % 2 else UNTOUCHED, 1)
        ground.pass_with(THROTTLED)
        if number < 50:
            found.append(waits(ground))
            ground.clock.forward(hours=7)
    assert timedelta(hours=3) <= found[20] <= timedelta(hours=6)
    assert timedelta(minutes=1) < found[2] <= timedelta(minutes=4)
    assert ground.states() == {"failed": 1}
    assert ground.rows("SELECT attempts, charged_attempts, transient FROM messages") == [(100, 0, 1)]


@NO_TRY
def test_what_was_no_try_uses_up_no_automatic_retry(ground: Ground, outcome: Outcome) -> None:
    ground.letter(more='notify = "me@shop.example"')
    met(ground, outcome, 10)
    met(ground, DEFERRED, 3)
    assert ground.states("note") == {"failed": 1}
    assert reconcile.run(ground.context).retried == 0
    assert ground.states("note.notify") == {}, "that it is over is not known yet"
    ground.clock.forward(days=1)
    assert reconcile.run(ground.context).retried == 1
    met(ground, DEFERRED, 3)
    ground.clock.forward(days=1)
    assert reconcile.run(ground.context).retried == 0
    assert ground.states("note.notify") == {"queued": 1}
