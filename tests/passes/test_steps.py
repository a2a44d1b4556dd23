"""Sequences: the next step is planned in the transaction that records the last, once, and whatever happens between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sendctl import faults
from sendctl.passes import control
from sendctl.passes.deciding import Desk
from sendctl.store.places import Over
from tests.passes.judge import Judge
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, REFUSED, START, STEP, UNKNOWN, Ground

THREE = (STEP, DRIP, DRIP.replace("reminder", "last"))


def arm(monkeypatch: pytest.MonkeyPatch, name: str, count: int = 1) -> None:
    """Let the process "die" at a failpoint: raise where the crash suite kills."""
    for attribute, value in (("_name", name), ("_action", "raise"), ("_left", count)):
        monkeypatch.setattr(faults, attribute, value)


def places(ground: Ground) -> list[tuple[str, int]]:
    return [tuple(row) for row in ground.rows("SELECT status, current_step_index FROM enrollments ORDER BY id")]


def test_the_next_step_is_due_its_delay_after_the_last_was_sent(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.clock.forward(hours=5)
    sent_at = ground.clock.now
    ground.pass_with(ACCEPTED)
    due = ground.rows("SELECT step_index, due_at, next_attempt_at FROM messages WHERE status = 'queued'")
    ground.clock.now = sent_at + timedelta(days=3) - timedelta(seconds=1)
    assert ground.clerk().turn([], 1).messages == ()
    ground.clock.forward(seconds=1)
    assert len(ground.clerk().turn([], 1).messages) == 1
    assert [row[0] for row in due] == [1]
    assert places(ground) == [("active", 1)]


def test_the_next_step_waits_for_the_persons_hours(ground: Ground) -> None:
    contacts = "email,first_name,timezone\nana@x.example,Ana,America/New_York\n"
    step = DRIP.replace('"3d"', '"10h"')
    ground.enqueue(contacts=contacts, campaign='window = "03:00-12:00"', steps=(STEP, step))
    ground.pass_with(ACCEPTED)  # four in the morning there; ten hours later is two in the afternoon
    ground.clock.now = datetime(2026, 3, 3, 7, 59, 59, tzinfo=UTC)
    assert ground.clerk().turn([], 1).messages == ()
    ground.clock.forward(seconds=1)
    assert len(ground.clerk().turn([], 1).messages) == 1


def test_a_sequence_ends_completed_and_so_does_its_campaign(ground: Ground, judge: Judge) -> None:
    ground.enqueue(2, steps=THREE)
    for _ in range(4):
        ground.send_due()
        ground.clock.forward(days=4)
    assert ground.states() == {"sent": 6}
    assert places(ground) == [("completed", 2)] * 2
    assert ground.one("SELECT count(*) FROM enrollments WHERE next_scheduled_at IS NOT NULL") == 0
    assert ground.one("SELECT status FROM campaigns") == "completed"
    assert len({message.key for message in judge.delivered}) == 6


@pytest.mark.parametrize("outcome", [REFUSED, UNKNOWN, DEFERRED], ids=lambda o: str(o.kind))
def test_only_acceptance_leads_to_the_next_step(ground: Ground, outcome: object) -> None:
    ground.enqueue(1, steps=THREE)
    ground.pass_with(outcome)  # type: ignore[arg-type]
    assert ground.one("SELECT count(*) FROM messages") == 1
    assert places(ground)[0][1] == 0


def test_a_failed_step_ends_the_sequence_and_a_retry_takes_it_up_again(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.pass_with(REFUSED)
    assert places(ground) == [("failed", 0)]
    assert ground.recover(failed=True).retried == 1
    assert places(ground) == [("active", 0)]
    ground.send_due()
    assert places(ground) == [("active", 1)]


@pytest.mark.parametrize(
    ("point", "count"),
    [
        ("claim.before_commit", 1),
        ("claim.committed", 1),
        ("settle.before_commit", 1),
        ("settle.before_commit", 2),
        ("settle.committed", 1),
        ("settle.committed", 2),
        ("run.before_finish", 1),
        ("run.finished", 1),
    ],
)
def test_a_death_between_two_steps_neither_repeats_nor_skips_one(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch, point: str, count: int
) -> None:
    ground.enqueue(2, steps=(STEP, DRIP), controls="batch_size = 1")
    deaths = 0
    for _ in range(2):
        arm(monkeypatch, point, count)
        for _ in range(2):
            try:
                ground.send_due()
            except faults.InjectedFault:
                deaths += 1
        ground.clock.forward(days=4)
    assert deaths == 2
    assert ground.states() == {"sent": 4}
    assert places(ground) == [("completed", 1)] * 2
    assert len(judge.delivered) == len({message.key for message in judge.delivered}) == 4


def test_a_cancelled_enrollment_does_not_go_on(ground: Ground) -> None:
    ground.enqueue(2, steps=THREE)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    control.cancel(ground.context, "sale")
    clerk.turn(ground.done(window, ACCEPTED), 0)
    assert ground.states() == {"sent": 1, "cancelled": 1}
    assert {status for status, _ in places(ground)} == {"cancelled"}


def test_a_step_is_never_advanced_twice(ground: Ground) -> None:
    """Two proofs of the same acceptance, e.g. a zombie's reply and an import, plan one next message."""
    ground.enqueue(1, steps=THREE)
    clerk = ground.clerk()
    done = ground.done(clerk.turn([], 1), ACCEPTED)
    for _ in range(3):
        clerk.turn(done, 0)
    assert ground.states() == {"sent": 1, "queued": 1}
    assert places(ground) == [("active", 1)]


def test_an_enrollment_that_has_gone_on_is_not_moved_by_an_earlier_step(ground: Ground) -> None:
    """E.g. a journal proves after a rewind that a step was sent which had expired meanwhile."""
    ground.enqueue(1, steps=THREE)
    first = ground.pass_with(ACCEPTED).messages[0]
    ground.clock.forward(days=4)
    ground.pass_with(ACCEPTED)
    before = ground.dump()["enrollments"], ground.states()
    desk = Desk(ground.context)
    with desk.transaction() as connection:
        desk.conclude(connection, [Over(first.due, desk.now, "sent")])
    assert (ground.dump()["enrollments"], ground.states()) == before
    assert places(ground) == [("active", 2)]


def test_each_step_has_its_own_expiry(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, DRIP), campaign='expires_after = "1d"')
    ground.pass_with(ACCEPTED)
    ground.clock.now = START + timedelta(days=3, hours=12)
    assert len(ground.clerk().turn([], 1).messages) == 1
