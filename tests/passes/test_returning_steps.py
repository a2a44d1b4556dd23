"""A step that was removed and is put back: by its name it is known, and nobody gets it twice."""

from __future__ import annotations

import pytest

from sendctl import faults
from sendctl.errors import UsageError
from tests.passes import two_channels
from tests.passes.judge import Judge
from tests.passes.test_ingest import fact, ingest
from tests.passes.test_resend import again
from tests.passes.test_revising import FIRST, live_on, planned, reminder, sent, step
from tests.passes.test_steps import arm
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, UNKNOWN, Ground

TIPS, MORE = step("tips", "1d"), step("more", "1d")
FULL, WRONG = (FIRST, TIPS, MORE), (FIRST, MORE)


def at_tips(ground: Ground, steps: tuple[str, ...] = FULL, people: int = 1) -> None:
    """People who have had the first step, when the second is due."""
    ground.enqueue(people, steps=steps)
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=1, hours=1)


def remove_and_put_back(ground: Ground, steps: tuple[str, ...] = FULL, without: tuple[str, ...] = WRONG) -> list[str]:
    ground.enqueue(steps=without)
    return ground.enqueue(steps=steps).notes


def prove_delivered(ground: Ground, *message_ids: int) -> None:
    facts = [fact("delivered", message_id=one) | {"occurred_at": "2026-03-03T10:00:05Z"} for one in message_ids]
    ingest(ground, *facts)


def newest(ground: Ground) -> int:
    return int(ground.one("SELECT max(id) FROM messages"))


def test_what_was_in_flight_meanwhile_is_not_sent_again(ground: Ground) -> None:
    at_tips(ground)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    notes = remove_and_put_back(ground)
    clerk.turn(ground.done(window, ACCEPTED), 0)
    assert "step tips is back: too late for 1 person past its place, or who may have had it" in notes
    live_on(ground)
    assert sent(ground) == ["welcome", "tips", "more"]


def test_what_a_killed_pass_has_sent_is_not_sent_again(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_tips(ground, people=2)
    arm(monkeypatch, "settle.before_commit")
    with pytest.raises(faults.InjectedFault):
        ground.send_due()
    assert len(judge.delivered) == 2
    remove_and_put_back(ground)
    live_on(ground)
    assert sorted(sent(ground)) == sorted(["welcome", "tips", "more"] * 2)
    assert len(judge.delivered) == 4


def test_what_was_in_doubt_meanwhile_and_is_proven_later_is_not_sent_again(ground: Ground) -> None:
    at_tips(ground, people=2)
    ground.pass_with(UNKNOWN)
    remove_and_put_back(ground)
    prove_delivered(ground, newest(ground), newest(ground) - 1)
    live_on(ground)
    assert sorted(sent(ground)) == sorted(["welcome", "tips", "more"] * 2)


def test_what_was_given_up_meanwhile_and_is_proven_later_is_not_sent_again(ground: Ground) -> None:
    at_tips(ground)
    ground.pass_with(UNKNOWN)
    ground.recover(in_doubt="skip")
    remove_and_put_back(ground)
    prove_delivered(ground, newest(ground))
    live_on(ground)
    assert sent(ground) == ["welcome", "tips", "more"]


def test_a_decision_to_send_again_counts_for_the_step_that_is_back(ground: Ground) -> None:
    at_tips(ground)
    ground.pass_with(UNKNOWN)
    remove_and_put_back(ground)
    ground.recover(in_doubt="resend")
    live_on(ground)
    assert sent(ground) == ["welcome", "tips", "more"]


def test_what_was_certainly_not_accepted_is_sent_once(ground: Ground) -> None:
    at_tips(ground)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    remove_and_put_back(ground)
    clerk.turn(ground.done(window, DEFERRED), 0)
    live_on(ground)
    assert sent(ground) == ["welcome", "tips", "more"]


def test_who_has_had_it_does_not_get_it_in_another_place(ground: Ground) -> None:
    at_tips(ground)
    ground.pass_with(ACCEPTED)
    ground.enqueue(1, first=2, steps=WRONG)
    notes = ground.enqueue(steps=(FIRST, MORE, TIPS)).notes
    assert "step tips is back: too late for 1 person past its place, or who may have had it" in notes
    live_on(ground)
    assert sorted(sent(ground)) == sorted(["welcome", "tips", "more"] * 2)


def test_who_waited_for_a_step_that_was_renamed_and_is_named_back_gets_it(ground: Ground) -> None:
    ground.enqueue(1, steps=FULL)
    ground.pass_with(ACCEPTED)
    remove_and_put_back(ground, without=(FIRST, step("tricks", "1d"), MORE))
    assert planned(ground) == [("tips", 1.0)]
    live_on(ground)
    assert sent(ground) == ["welcome", "tips", "more"]


@pytest.mark.parametrize("had", [1, 2])
def test_reminders_that_come_back_count_what_was_sent_of_them(ground: Ground, had: int) -> None:
    full = (FIRST, reminder("nudge", "1d", repeat=2), MORE)
    at_tips(ground, full)
    for _ in range(had - 1):
        ground.pass_with(ACCEPTED)
        ground.clock.forward(days=1, hours=1)
    ground.pass_with(UNKNOWN)
    remove_and_put_back(ground, full)
    prove_delivered(ground, newest(ground))
    assert planned(ground)[0][0] == ("nudge" if had == 1 else "more")
    live_on(ground)
    assert sent(ground) == ["welcome", "nudge", "nudge", "more"]
    assert ground.one("SELECT max(occurrence) FROM messages") == 1


def test_a_proof_that_comes_after_that_decision_stops_the_second(ground: Ground) -> None:
    at_tips(ground)
    ground.pass_with(UNKNOWN)
    doubtful = newest(ground)
    remove_and_put_back(ground)
    ground.recover(in_doubt="resend")
    ground.clerk().turn([], 10)
    assert [name for name, _ in planned(ground)] == ["tips"]
    prove_delivered(ground, doubtful)
    live_on(ground)
    assert sorted(sent(ground)) == ["more", "tips", "welcome"]


@pytest.mark.parametrize(
    ("back", "follows"),
    [(reminder("nudge", "7d", repeat=3), "nudge"), (step("tips", "7d"), "more")],
    ids=["reminder", "step"],
)
def test_what_follows_a_proof_after_that_decision_counts_from_what_was_received(
    ground: Ground, back: str, follows: str
) -> None:
    full = (FIRST, back, step("more", "7d"))
    ground.enqueue(1, steps=full)
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=7, hours=1)
    ground.pass_with(UNKNOWN)
    doubtful = newest(ground)
    remove_and_put_back(ground, full, without=(FIRST, step("more", "7d")))
    ground.recover(in_doubt="resend")
    ground.clerk().turn([], 10)
    ingest(ground, fact("delivered", message_id=doubtful) | {"occurred_at": "2026-03-09T10:00:05Z"})
    for _ in range(2):
        ground.clock.forward(days=1)
        ground.pass_with(ACCEPTED)
    assert planned(ground) == [(follows, 5.0)]
    ground.clock.forward(days=5, hours=1)
    ground.pass_with(ACCEPTED)
    assert sent(ground)[2:] == [follows]


def test_a_copy_by_an_operator_is_sent_whatever_was_sent_before(ground: Ground) -> None:
    at_tips(ground)
    ground.pass_with(ACCEPTED)
    remove_and_put_back(ground)
    again(ground, newest(ground) - 1)
    live_on(ground)
    assert sorted(sent(ground)) == ["more", "tips", "tips", "welcome"]


def failed_at_tips(ground: Ground) -> int:
    """Somebody whom the second step was refused for good; returns its message."""
    at_tips(ground)
    ground.pass_with(REFUSED)
    return newest(ground)


def test_what_failed_before_its_step_was_put_back_is_sent_once_more_as_the_step_says_now(
    ground: Ground, judge: Judge
) -> None:
    failed = failed_at_tips(ground)
    remove_and_put_back(ground, (FIRST, TIPS.replace("tips {{", "better tips {{"), MORE))
    again(ground, failed)
    ground.send_due()
    assert [b"better tips" in message.content for message in judge.delivered] == [True]
    assert ground.rows("SELECT status, current_step_index FROM enrollments") == [("failed", 1)]
    assert ground.violations() == []
    again(ground, failed)  # as it was sent, by the same number
    ground.send_due()
    assert [b"better tips" in message.content for message in judge.delivered] == [True, True]


def test_a_copy_that_waited_while_its_step_was_away_is_sent(ground: Ground, judge: Judge) -> None:
    again(ground, failed_at_tips(ground))
    remove_and_put_back(ground)
    ground.send_due()
    assert [b"Subject: tips" in message.content for message in judge.delivered] == [True]


def test_a_copy_of_what_failed_is_refused_or_dropped_where_its_step_is_gone(ground: Ground) -> None:
    failed = failed_at_tips(ground)
    ground.enqueue(steps=WRONG)
    with pytest.raises(UsageError, match="step tips was removed from campaign sale"):
        again(ground, failed)
    ground.enqueue(steps=FULL)
    again(ground, failed)
    ground.enqueue(steps=WRONG)
    assert ground.clerk().turn([], 10).messages == ()
    assert ground.one("SELECT status FROM messages WHERE copy = 1") == "cancelled"


def test_a_failed_reminder_that_the_file_has_no_more_is_sent_once_more_in_its_words(
    ground: Ground, judge: Judge
) -> None:
    at_tips(ground, (FIRST, reminder("nudge", "1d", repeat=2)))
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=1, hours=1)
    ground.pass_with(REFUSED)
    ground.enqueue(steps=(FIRST, reminder("nudge", "1d")))
    again(ground, newest(ground))
    ground.send_due()
    assert [b"Subject: nudge" in message.content for message in judge.delivered] == [True]


def test_what_waits_under_the_new_number_is_not_sent_once_more_beside_it(ground: Ground) -> None:
    two_channels.with_texts(ground)
    offer, _, last = two_channels.STEPS
    middle = 'name = "mid"\nafter = "1d"\nsubject = "m"\ntext = "m"\nsms = "m"\n'
    file = {"campaign": 'channel = "both"'}
    ground.enqueue(contacts=two_channels.people(["ann"]), steps=(offer, middle, last), **file)
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=1, hours=1)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    for steps in ((offer, last), (offer, middle, last)):
        ground.enqueue(steps=steps, **file)
    clerk.turn(two_channels.answer(ground, window, {"ann": ("failed", "queued")}), 0)
    ground.clock.forward(hours=1)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    assert planned(ground) == [("mid", 0.0)] * 2
    failed = ground.one("SELECT id FROM messages WHERE status = 'failed'")
    with pytest.raises(UsageError, match="is queued already"):
        again(ground, failed)
    live_on(ground)
    once_more = again(ground, failed)
    assert (once_more.sent, once_more.copy) == (1, 1)
