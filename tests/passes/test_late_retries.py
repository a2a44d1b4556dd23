"""A message that failed on one channel and is tried again by itself never comes after the step that follows it."""

from __future__ import annotations

import pytest

from sendctl.passes import control, reconcile
from sendctl.passes.claiming import Window
from sendctl.providers.base import Outcome
from tests.passes.test_revising import step
from tests.passes.two_channels import answer, people, with_texts
from tests.store.ground import ACCEPTED, DOWN, UNKNOWN, Ground

STEPS = tuple(step(name, after, sms=name) for name, after in (("first", ""), ("second", "26h"), ("third", "1d")))


@pytest.fixture
def failed(ground: Ground) -> Ground:
    """Ann's e-mail of the first step was sent, her text failed for a passing cause. The second is due in 26 hours."""
    with_texts(ground)
    ground.enqueue(contacts=people(["ann"]), steps=STEPS, campaign='channel = "both"', controls="max_attempts = 1")
    clerk = ground.clerk()
    clerk.turn(answer(ground, clerk.turn([], 10), {"ann": ("sent", "queued")}), 0)
    return ground


def retried(ground: Ground) -> int:
    return reconcile.run(ground.context).retried


def turn(ground: Ground, texts: Outcome = ACCEPTED) -> list[tuple[int, str]]:
    """Claim one window, with these outcomes for texts; e-mails are accepted. What was claimed, by step and channel."""
    clerk = ground.clerk()
    window: Window = clerk.turn([], 10)
    outcomes = [texts if item.due.channel == "sms" else ACCEPTED for item in window.messages]
    clerk.turn(ground.done(window, *outcomes) if window.messages else [], 0)
    return sorted((item.due.step_index, item.due.channel) for item in window.messages)


def first_text(ground: Ground) -> str:
    return str(ground.one("SELECT status FROM messages WHERE step_index = 0 AND channel = 'sms' AND copy = 0"))


def test_a_text_that_is_tried_again_in_time_goes(failed: Ground) -> None:
    failed.clock.forward(days=1, hours=1)
    assert retried(failed) == 1
    assert turn(failed) == [(0, "sms")]
    failed.clock.forward(hours=2)
    assert turn(failed) == [(1, "email"), (1, "sms")]


def test_a_text_that_waited_for_its_provider_until_the_next_step_had_gone_is_not_sent_after_it(failed: Ground) -> None:
    failed.clock.forward(days=1, hours=1)
    assert retried(failed) == 1
    control.tune(failed.context, "sale", {"max_attempts": 9})
    assert turn(failed, texts=DOWN) == [(0, "sms")]
    failed.clock.forward(hours=2)
    assert turn(failed, texts=DOWN)[0] == (1, "email")
    failed.clock.forward(hours=2)
    assert turn(failed) == [(1, "sms")]
    assert first_text(failed) == "failed"
    ((error_class, transient),) = failed.rows("SELECT error_class, transient FROM messages WHERE status = 'failed'")
    assert (error_class, transient) == ("overtaken", 0)
    assert retried(failed) == 0
    assert failed.violations() == []


def test_a_text_is_not_tried_again_when_the_next_step_is_due(failed: Ground) -> None:
    failed.clock.forward(days=1, hours=3)
    assert retried(failed) == 0
    assert turn(failed) == [(1, "email"), (1, "sms")]
    assert first_text(failed) == "failed"


def test_a_text_that_waited_in_a_pause_until_the_next_step_was_due_is_left(failed: Ground) -> None:
    failed.clock.forward(days=1, hours=1)
    assert retried(failed) == 1
    control.pause(failed.context, "sale")
    failed.clock.forward(days=3)
    control.resume(failed.context, "sale")
    assert turn(failed) == [(1, "email"), (1, "sms")]
    assert first_text(failed) == "failed"
    assert failed.violations() == []


@pytest.mark.parametrize("policy", ["resend", "hold"])
def test_doubt_about_what_was_tried_again_sends_it_after_the_next_step_by_an_operators_word_only(
    failed: Ground, policy: str
) -> None:
    failed.clock.forward(days=1, hours=1)
    assert retried(failed) == 1
    assert turn(failed, texts=UNKNOWN) == [(0, "sms")]
    failed.clock.forward(hours=2)
    turn(failed)
    if policy == "resend":
        failed.enqueue(steps=STEPS, campaign='channel = "both"\nin_doubt = "resend"', controls="max_attempts = 1")
        report = reconcile.run(failed.context)
        assert report.policy_resent + report.proven_absent == 1
        assert turn(failed) == []
        assert first_text(failed) == "failed"
    else:
        assert failed.recover(in_doubt="resend").resent == 1
        assert turn(failed) == [(0, "sms")]
    assert failed.violations() == []


@pytest.mark.parametrize("before", [False, True], ids=["failed", "overtaken"])
def test_an_operator_has_it_sent_whatever_step_came_since(failed: Ground, before: bool) -> None:
    failed.clock.forward(days=1, hours=1)
    if before:
        assert retried(failed) == 1
    failed.clock.forward(hours=2)
    turn(failed)
    assert first_text(failed) == "failed"
    assert failed.recover(failed=True).retried == 1
    assert turn(failed) == [(0, "sms")]
    assert first_text(failed) == "sent"
