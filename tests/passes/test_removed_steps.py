"""A step that is removed is as if it had not been there: for who waited for it, and for what was away with it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sendctl.passes import control
from sendctl.providers.base import Outcome
from tests.passes import two_channels
from tests.passes.judge import Judge
from tests.passes.test_revising import FIRST, live_on, planned, reminder, sent, step
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, UNKNOWN, Ground

TIPS, MORE, NUDGE = step("tips", "1d"), step("more", "3d"), reminder("nudge", "1d")
HOUR = {"campaign": 'expires_after = "1h"'}


@pytest.mark.parametrize("outcome", [DEFERRED, REFUSED, UNKNOWN], ids=lambda one: str(one.kind))
def test_what_was_away_with_a_removed_step_does_not_delay_the_next(ground: Ground, outcome: Outcome) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS, MORE))
    welcomed = ground.clock.now
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=1, hours=1)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    ground.enqueue(steps=(FIRST, MORE))
    clerk.turn(ground.done(window, outcome), 0)
    if outcome is not DEFERRED:
        ground.recover(failed=outcome is REFUSED, in_doubt="resend")
    ground.clock.forward(hours=1)
    assert ground.clerk().turn([], 10).messages == ()
    left = welcomed + timedelta(days=3) - ground.clock.now
    assert planned(ground) == [("more", round(left / timedelta(days=1), 2))]
    live_on(ground)
    assert sent(ground) == ["welcome", "more"]


def test_what_comes_back_late_to_a_removed_step_leads_to_what_is_due_now(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS, MORE), **HOUR)
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=1)
    ground.pass_with(REFUSED)
    ground.enqueue(steps=(FIRST, MORE), **HOUR)
    ground.clock.forward(days=9)
    ground.recover(failed=True)
    ground.clerk().turn([], 10)
    assert planned(ground) == [("more", 0.0)]


def test_nobody_is_reminded_of_what_was_never_sent_when_the_step_between_is_removed(
    ground: Ground, judge: Judge
) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS, NUDGE, MORE), **HOUR)
    ground.clock.forward(hours=2)
    ground.clerk().turn([], 10)
    assert [name for name, _ in planned(ground)] == ["tips"]
    ground.enqueue(steps=(FIRST, NUDGE, MORE), **HOUR)
    assert [name for name, _ in planned(ground)] == ["more"]
    live_on(ground)
    assert not [one for one in judge.delivered if b"Subject: nudge" in one.content]


def test_an_enrollment_of_which_nothing_was_sent_ends_so_when_the_step_between_is_removed(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS, NUDGE), **HOUR)
    ground.clock.forward(hours=2)
    ground.clerk().turn([], 10)
    ground.clock.forward(days=1)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    ground.enqueue(steps=(FIRST, NUDGE), **HOUR)
    clerk.turn(ground.done(window, DEFERRED), 0)
    ground.clock.forward(hours=1)
    assert ground.clerk().turn([], 10).messages == ()
    assert ground.rows("SELECT status, ended_for FROM enrollments") == [("completed", "expired")]


def test_two_removed_steps_are_both_as_if_they_had_not_been_there(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS, step("hint", "1d"), NUDGE))
    ground.pass_with(ACCEPTED)
    ground.enqueue(steps=(FIRST, step("hint", "1d"), NUDGE))
    ground.enqueue(steps=(FIRST, NUDGE))
    assert planned(ground) == [("nudge", 1.0)]
    live_on(ground)
    assert sent(ground) == ["welcome", "nudge"]


def test_who_was_sent_what_went_before_is_reminded_when_reminders_are_fewer(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, reminder("nudge", "1d", repeat=2), reminder("again", "1d")))
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=1)
    ground.pass_with(ACCEPTED)
    ground.enqueue(steps=(FIRST, NUDGE, reminder("again", "1d")))
    assert planned(ground) == [("again", 1.0)]


def test_on_two_channels_nobody_is_reminded_of_what_expired_on_both(ground: Ground) -> None:
    two_channels.with_texts(ground)
    offer, nudge, last = two_channels.STEPS
    middle = 'name = "mid"\nafter = "1d"\nsubject = "m"\ntext = "m"\nsms = "m"\n'
    file = {"campaign": 'channel = "both"\nexpires_after = "1h"'}
    ground.enqueue(contacts=two_channels.people(["ann"]), steps=(offer, middle, nudge, last), **file)
    ground.clock.forward(hours=2)
    ground.clerk().turn([], 10)
    ground.enqueue(steps=(offer, nudge, last), **file)
    assert [name for name, _ in planned(ground)] == ["last", "last"]


@pytest.mark.parametrize("first", ["sent", "failed"])
def test_on_two_channels_the_one_that_was_away_does_not_delay_the_next(ground: Ground, first: str) -> None:
    two_channels.with_texts(ground)
    offer, nudge, last = two_channels.STEPS
    file = {"campaign": 'channel = "both"'}
    ground.enqueue(contacts=two_channels.people(["ann"]), steps=(offer, nudge, last), **file)
    clerk, begun = ground.clerk(), ground.clock.now
    clerk.turn(two_channels.answer(ground, clerk.turn([], 10), {"ann": ("sent", "sent")}), 0)
    ground.clock.forward(days=1)
    clerk = ground.clerk()
    window, nudged = clerk.turn([], 10), ground.clock.now
    ground.enqueue(steps=(offer, last), **file)
    clerk.turn(two_channels.answer(ground, window, {"ann": (first, "queued")}), 0)
    ground.clock.forward(hours=1)
    assert ground.clerk().turn([], 10).messages == ()
    since = begun if first == "failed" else nudged + timedelta(seconds=1)  # a second lies between two commands
    left = round((since + timedelta(days=2) - ground.clock.now) / timedelta(days=1), 2)
    assert planned(ground) == [("last", left)] * 2


def on_both(name: str, after: str = "", **more: str) -> str:
    return step(name, after, sms=name, **more)


@pytest.mark.parametrize("text", ["queued", "in_doubt"])
@pytest.mark.parametrize(
    ("gone", "left"),
    [((on_both("tips", "1d"),), ()),
     ((on_both("nudge", "1d", kind="reminder") + "repeat = 2\n",), (on_both("nudge", "1d", kind="reminder"),))],
    ids=["step", "repeat"],
)  # fmt: skip
def test_on_two_channels_the_next_is_not_late_because_half_of_it_was_sent_long_ago(
    ground: Ground, text: str, gone: tuple[str, ...], left: tuple[str, ...]
) -> None:
    two_channels.with_texts(ground)
    file = {"campaign": 'channel = "both"\nexpires_after = "2d"', "controls": "max_attempts = 9"}
    ground.enqueue(
        contacts=two_channels.people(["ann"]), steps=(on_both("welcome"), *gone, on_both("more", "1d")), **file
    )
    for _ in range(1 + len(left)):
        ground.pass_with(ACCEPTED)
        ground.clock.forward(days=1, hours=1)
    clerk = ground.clerk()
    clerk.turn(two_channels.answer(ground, clerk.turn([], 10), {"ann": ("sent", text)}), 0)
    control.pause(ground.context, "sale")
    ground.clock.forward(days=6)
    ground.enqueue(steps=(on_both("welcome"), *left, on_both("more", "1d")), **file)
    control.resume(ground.context, "sale")
    if text == "in_doubt":  # that nobody can prove: its text comes back unsent to what is gone
        ground.clock.forward(days=6)
        ground.recover(in_doubt="resend")
        ground.clerk().turn([], 10)
    assert planned(ground) == [("more", 0.0)] * 2
    ground.pass_with(ACCEPTED)
    assert sent(ground)[-2:] == ["more", "more"]
    assert ground.one("SELECT count(*) FROM messages WHERE status = 'expired'") == 0


def test_what_was_tried_again_after_its_place_was_left_does_not_delay_what_follows_a_removed_step(
    ground: Ground,
) -> None:
    two_channels.with_texts(ground)
    full = (on_both("welcome"), on_both("tips", "1d"), on_both("hint", "5d"), on_both("more", "2d"))
    file = {"campaign": 'channel = "both"'}
    ground.enqueue(contacts=two_channels.people(["ann"]), steps=full, **file)
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=1)
    clerk, begun = ground.clerk(), ground.clock.now
    clerk.turn(two_channels.answer(ground, clerk.turn([], 10), {"ann": ("sent", "failed")}), 0)
    ground.clock.forward(days=1, hours=1)
    assert ground.recover(failed=True).retried == 1
    ground.pass_with(ACCEPTED)
    assert sent(ground)[-2:] == ["tips", "tips"]
    ground.enqueue(steps=(full[0], full[1], full[3]), **file)
    left = round((begun + timedelta(days=2) - ground.clock.now) / timedelta(days=1), 2)
    assert planned(ground) == [("more", left)] * 2
