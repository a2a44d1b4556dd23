"""Moving and cancelling what is planned: before a pass has it or after, and whoever is late is told."""

from __future__ import annotations

import json
import multiprocessing
import random
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from typing import Any, Literal

import pytest

from sendctl.definition import Definition
from sendctl.errors import BadInput, ExitCode, TooLate, UsageError
from sendctl.passes import control, rescheduling
from sendctl.passes.rescheduling import Rescheduled
from tests.passes.judge import Judge
from tests.passes.test_resend import again
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, REFUSED, START, STEP, UNKNOWN, Ground

LATER = START + timedelta(days=5)
ROUNDS = 24


def reschedule(ground: Ground, name: str, moment: datetime | Literal["now"] = LATER) -> Rescheduled:
    def when(_definition: Definition, _now: datetime) -> datetime | Literal["now"]:
        return moment

    return rescheduling.run(ground.context, name, when, "asked for")


def test_a_letter_is_moved_with_its_expiry_and_its_date_and_that_is_written_down(ground: Ground, judge: Judge) -> None:
    ground.letter(more='expires_after = "1h"')
    judge.answer = lambda _message: DEFERRED
    ground.send_due()  # tried, and certainly not accepted: its date is that of the next try
    moved = reschedule(ground, "note")
    assert (moved.moved, moved.before, moved.due_at, moved.is_letter) == (1, START, LATER, True)
    assert reschedule(ground, "note").moved == 0
    ((due_at, next_at, expires_at, composed_at, planned),) = ground.rows(
        "SELECT m.due_at, m.next_attempt_at, m.expires_at, m.composed_at, e.next_scheduled_at FROM messages m"
        " JOIN enrollments e ON e.id = m.enrollment_id"
    )
    moments = [datetime.fromisoformat(str(one)).replace(tzinfo=UTC) for one in (due_at, next_at, planned)]
    assert moments == [LATER] * 3
    assert datetime.fromisoformat(str(expires_at)).replace(tzinfo=UTC) == LATER + timedelta(hours=1)
    assert composed_at is None
    ((reason, detail),) = ground.rows("SELECT reason, detail FROM audit WHERE action = 'reschedule'")
    assert (reason, json.loads(detail)["moved"]) == ("asked for", 1)
    judge.answer = lambda _message: ACCEPTED
    ground.send_due()
    assert judge.delivered == []
    reschedule(ground, "note", "now")
    ground.send_due()
    assert judge.people() == ["ann"]


def test_a_campaign_is_moved_as_long_as_nothing_was_tried(ground: Ground) -> None:
    zones = "email,first_name,timezone\na@x.example,A,Asia/Tokyo\nb@x.example,B,\n"
    window = 'timezone = "Europe/Berlin"\nwindow = "08:00-20:00"'
    ground.enqueue(contacts=zones, at=START, campaign=window, steps=(STEP, DRIP))
    moved = reschedule(ground, "sale", datetime(2026, 3, 5, 23, 30, tzinfo=UTC))
    assert moved.moved == 2
    dues = [str(row[0])[:16] for row in ground.rows("SELECT due_at FROM messages ORDER BY recipient")]
    assert dues == ["2026-03-05 23:30", "2026-03-06 07:00"]  # morning in Tokyo, night in Berlin
    reschedule(ground, "sale", "now")
    ground.clock.forward(hours=1)
    ground.pass_with(ACCEPTED, 1)
    before = ground.dump()
    with pytest.raises(TooLate, match="1 of its messages were tried"):
        reschedule(ground, "sale")
    assert ground.dump() == before


@pytest.mark.parametrize("deed", ["reschedule", "cancel"])
def test_what_becomes_of_a_late_letter_is_said(ground: Ground, deed: str) -> None:
    def do(name: str) -> object:
        return reschedule(ground, name) if deed == "reschedule" else control.cancel(ground.context, name, "asked for")

    for name, outcome in (("sent", ACCEPTED), ("doubtful", UNKNOWN), ("failed", REFUSED)):
        ground.letter(name)
        clerk = ground.clerk(name)
        window = clerk.turn([], 1)
        with pytest.raises(TooLate, match="it is being sent at this moment; nothing was changed") as caught:
            do(name)
        assert caught.value.exit_code is ExitCode.TOO_LATE
        clerk.turn(ground.done(window, outcome), 0)
    before = ground.dump()
    with pytest.raises(TooLate, match="it was sent at 2026-03-02 09:00:0"):
        do("sent")
    with pytest.raises(TooLate, match="it is in doubt, so perhaps it was sent") as caught:
        do("doubtful")
    assert "recover --campaign doubtful --in-doubt skip" in caught.value.hint
    assert ground.dump() == before
    if deed == "cancel":
        do("failed")  # never tried again
        assert ground.one("SELECT status FROM campaigns WHERE name = 'failed'") == "cancelled"
        ground.letter("waiting", at='"2026-03-03 09:00"')
        do("waiting")
        assert ground.states("waiting") == {"cancelled": 1}
    else:
        with pytest.raises(UsageError, match="has failed") as failed:
            do("failed")
        assert "recover --campaign failed --failed" in failed.value.hint


@pytest.mark.parametrize("fate", ["expired", "cancelled"])
def test_a_letter_of_which_a_copy_was_set_aside_was_sent(ground: Ground, fate: str) -> None:
    ground.letter(more='expires_after = "15s"')
    ground.pass_with(ACCEPTED)
    again(ground)
    if fate == "expired":
        ground.clock.forward(seconds=18)
        ground.pass_with(ACCEPTED)
    else:
        ground.change("UPDATE messages SET status = 'cancelled' WHERE copy = 1")
    assert ground.states("note") == {"sent": 1, fate: 1}
    before = ground.dump()
    for deed in (lambda: reschedule(ground, "note"), lambda: control.cancel(ground.context, "note")):
        with pytest.raises(TooLate, match="it was sent at 2026-03-02 09:00:0"):
            deed()
    assert ground.dump() == before


def test_what_is_left_of_a_letter_that_was_sent_can_be_moved_and_ended(ground: Ground) -> None:
    ground.letter()
    ground.pass_with(ACCEPTED)
    again(ground)
    assert reschedule(ground, "note").moved == 1  # the copy
    reschedule(ground, "note", "now")
    ground.pass_with(REFUSED)
    with pytest.raises(UsageError, match="has failed"):
        reschedule(ground, "note")
    assert control.cancel(ground.context, "note").status == "cancelled"  # nobody tries the copy again


def test_a_letter_that_was_given_up_in_doubt_is_queued_again_by_the_command_that_is_named(ground: Ground) -> None:
    ground.letter()
    ground.pass_with(UNKNOWN)
    ground.recover("note", in_doubt="skip")
    with pytest.raises(UsageError, match="has failed") as failed:
        reschedule(ground, "note")
    assert "`sendctl recover --campaign note --failed --in-doubt resend` queues it again" in failed.value.hint
    ground.recover("note", failed=True, in_doubt="resend")
    assert reschedule(ground, "note").moved == 1


def test_what_cannot_be_moved_at_all(ground: Ground) -> None:
    ground.letter(at='"2026-03-03 09:00"', more='notify = "me@shop.example"')
    with pytest.raises(BadInput, match="is past"):
        reschedule(ground, "note", START - timedelta(seconds=1))
    with pytest.raises(UsageError, match=r"tells what became of letter note"):
        reschedule(ground, "note.notify")
    with pytest.raises(UsageError, match="there is no campaign nobody"):
        reschedule(ground, "nobody")
    control.pause(ground.context, "note")
    assert reschedule(ground, "note").status == "paused"
    control.cancel(ground.context, "note")
    with pytest.raises(UsageError, match="is cancelled"):
        reschedule(ground, "note")
    trigger = '[trigger]\nevent = "order.delivered"\nkey = "{{ order.id }}"\nemail = "{{ order.email }}"'
    ground.enqueue(name="asked", rest=trigger, steps=(STEP.replace("contact.first_name", "order.id"),))
    with pytest.raises(UsageError, match="by their orders' own times"):
        reschedule(ground, "asked")


# -- races ------------------------------------------------------------------------------------------------------------


def _claims(ground: Ground, barrier: Barrier, answers: Any) -> None:
    """One process: claims each letter in its round."""
    ground.close()
    chance = random.Random(1)
    for number in range(ROUNDS):
        clerk = ground.clerk(f"race-{number}")
        barrier.wait()
        sum(range(chance.randrange(60_000)))  # a head start for either, without a clock
        window = clerk.turn([], 1)
        answers.put((number, "claimed" if window.messages else "nothing"))
        barrier.wait()
    ground.close()


def _moves(ground: Ground, barrier: Barrier, answers: Any) -> None:
    """The other: moves or cancels it at the same moment."""
    ground.close()
    chance = random.Random(2)
    for number in range(ROUNDS):
        barrier.wait()
        sum(range(chance.randrange(60_000)))
        try:
            if number % 2:
                control.cancel(ground.context, f"race-{number}")
                said = "cancelled"
            else:
                said = "moved" if reschedule(ground, f"race-{number}").moved else "nothing moved"
        except TooLate:
            said = "too late"
        except Exception as error:
            said = repr(error)  # the judge of this race reads it
        answers.put((number, said))
        barrier.wait()
    ground.close()


def test_a_race_with_a_claim_has_one_winner_and_both_know_it(ground: Ground) -> None:
    for number in range(ROUNDS):
        ground.letter(f"race-{number}")
    ground.clerk()  # the host has joined
    ground.close()
    forked = multiprocessing.get_context("fork")
    barrier, answers = forked.Barrier(2), forked.Queue()
    both = [forked.Process(target=target, args=(ground, barrier, answers)) for target in (_claims, _moves)]
    for process in both:
        process.start()
    said: dict[int, set[str]] = {number: set() for number in range(ROUNDS)}
    for _ in range(2 * ROUNDS):
        number, word = answers.get(timeout=30)
        said[number].add(word)
    for process in both:
        process.join(timeout=60)
    won = [sorted(words) for words in said.values()]
    assert {tuple(words) for words in won} <= {("claimed", "too late"), ("moved", "nothing"), ("cancelled", "nothing")}
    for number, words in said.items():
        state = "sending" if "claimed" in words else "cancelled" if "cancelled" in words else "queued"
        assert ground.states(f"race-{number}") == {state: 1}
        due_at = str(ground.one("SELECT due_at FROM messages m JOIN campaigns c ON c.id = m.campaign_id"
                                " WHERE c.name = :name", name=f"race-{number}"))  # fmt: skip
        assert due_at.startswith("2026-03-07") == ("moved" in words)
    assert len({tuple(words) for words in won}) > 1, "one side always wins: this races nothing"


def test_the_file_of_a_moved_letter_may_say_the_time_to_which_it_was_moved(ground: Ground) -> None:
    ground.letter(at="2026-03-03T09:00:00Z")
    rescheduling.run(ground.context, "note", lambda _definition, _now: datetime(2026, 3, 5, 9, tzinfo=UTC))
    due = ground.rows("SELECT due_at, next_attempt_at FROM messages")
    assert ground.letter(at="2026-03-05T09:00:00Z").changed == ["start_at"]
    assert ground.rows("SELECT due_at, next_attempt_at FROM messages") == due
    with pytest.raises(BadInput, match="is there already, for another moment"):
        ground.letter(at="2026-03-04T09:00:00Z")


@pytest.mark.parametrize(
    ("at", "window", "named", "file", "due"),
    [
        ("03 20:00", "08:00-09:00", "04 07:30", "03 20:00", "04 07:30"),  # it opened then already
        ("03 09:00", "08:00-20:00", "04 03:00", "04 03:00", "04 03:00"),
        ("03 09:00", "08:00-20:00", "04 03:00", "03 09:00", "04 03:00"),
        ("03 09:00", "08:00-20:00", "04 03:00", "04 08:00", "04 08:00"),
    ],
)
def test_a_letter_whose_window_is_gone_goes_when_it_was_moved_to(
    ground: Ground, at: str, window: str, named: str, file: str, due: str
) -> None:
    hours = f'window = "{window}"'
    ground.letter(at=f'"2026-03-{at}"', more=hours)
    reschedule(ground, "note", datetime.fromisoformat(f"2026-03-{named}+00:00"))
    ground.letter(at=f'"2026-03-{at}"', more=hours)
    assert str(ground.one("SELECT due_at FROM messages"))[8:16] == "04 08:00"
    ground.letter(at=f'"2026-03-{file}"')
    assert str(ground.one("SELECT due_at FROM messages"))[8:16] == due
    assert ground.one("SELECT count(*) FROM audit WHERE action = 'reschedule'") == 1
