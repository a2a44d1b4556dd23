"""Who has ended gets nothing more, though their enrollment was completed before: at a claim, a retry, a recovery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sendctl.errors import UsageError
from sendctl.passes import control, planning, reconcile
from sendctl.providers.base import Outcome, Phase
from sendctl.states import AttemptOutcome
from tests.passes import orders, two_channels
from tests.passes.judge import Judge
from tests.passes.test_ingest import fact, ingest
from tests.passes.test_resend import again
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, STEP, UNKNOWN, Ground

PASSING = Outcome(AttemptOutcome.DEFERRED, Phase.REPLIED, code=450, enhanced="4.2.1", text="later", error_class="rcpt")
ONCE = "max_attempts = 1"
AFTER = "2026-03-09T12:00:00Z"


def last_place(ground: Ground, failing: str, rest: str = "", **more: Any) -> dict[str, Any]:
    """One person on two channels at the only step: one message is accepted, the other fails for a passing cause."""
    two_channels.with_texts(ground)
    file = {"campaign": 'channel = "both"', "steps": two_channels.STEPS[:1], "controls": ONCE, "rest": rest} | more
    ground.enqueue(contacts=two_channels.people(["ann"]), **file)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    outcomes = [PASSING if item.due.channel == failing else ACCEPTED for item in window.messages]
    clerk.turn(ground.done(window, *outcomes), 0)
    assert ground.one("SELECT status FROM enrollments") == "completed"
    return file


def is_left_alone(ground: Ground) -> None:
    """Neither a retry by itself nor an operator's takes up what failed."""
    assert planning.plan(ground.context, "sale", failed=True).failed_ids == []
    ground.clock.forward(days=1, hours=1)
    assert reconcile.run(ground.context).retried == 0
    assert ground.recover(failed=True).retried == 0
    assert ground.clerk().turn([], 10).messages == ()
    assert ground.one("SELECT count(*) FROM messages WHERE status = 'failed'") == 1
    assert ground.violations() == []


@pytest.mark.parametrize(
    ("kind", "rest"),
    [("unsubscribed", ""), ("complained", ""), ("submitted", '[stop]\non = ["submitted"]'), ("clicked", "")],
)
def test_an_event_after_the_last_step_ends_the_retry_on_the_other_channel(ground: Ground, kind: str, rest: str) -> None:
    last_place(ground, "sms", rest)
    sent = ground.one("SELECT id FROM messages WHERE channel = 'email'")
    ingest(ground, fact(kind, message_id=sent))
    if kind != "clicked":
        is_left_alone(ground)
        return
    ground.clock.forward(days=1, hours=1)
    assert reconcile.run(ground.context).retried == 1
    assert len(ground.clerk().turn([], 10).messages) == 1


def test_the_word_stop_in_a_text_ends_the_e_mail(ground: Ground) -> None:
    last_place(ground, "email")
    ingest(ground, fact("unsubscribed", phone=f"{two_channels.NUMBER}000"))
    is_left_alone(ground)


def test_a_file_that_ends_by_what_is_known_ends_the_retry(ground: Ground) -> None:
    file = last_place(ground, "sms")
    ingest(ground, fact("clicked", message_id=ground.one("SELECT id FROM messages WHERE channel = 'email'")))
    ground.enqueue(**file | {"rest": '[stop]\non = ["clicked"]'})
    is_left_alone(ground)


def test_what_is_queued_again_when_the_event_comes_is_cancelled(ground: Ground) -> None:
    last_place(ground, "sms", '[stop]\non = ["submitted"]')
    ground.clock.forward(days=1, hours=1)
    reconcile.run(ground.context)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    ingest(ground, fact("submitted", message_id=ground.one("SELECT id FROM messages WHERE channel = 'email'")))
    clerk.turn(ground.done(window, UNKNOWN), 0)
    ground.recover(in_doubt="resend")
    assert ground.clerk().turn([], 10).messages == ()
    assert ground.states() == {"sent": 1, "cancelled": 1}
    assert ground.one("SELECT status FROM enrollments") == "completed"


def test_a_campaign_whose_failures_are_of_people_who_ended_can_be_archived(ground: Ground) -> None:
    last_place(ground, "sms")
    with pytest.raises(UsageError, match="tried again"):
        control.archive(ground.context, "sale")
    ingest(ground, fact("unsubscribed", message_id=ground.one("SELECT id FROM messages WHERE channel = 'email'")))
    reconcile.run(ground.context)
    control.archive(ground.context, "sale")


def refund(ground: Ground) -> None:
    orders.load(ground, orders.event(type_="order.refunded", at=AFTER), steps=(orders.STEP,), controls=ONCE)


def asked_for(ground: Ground, outcome: Outcome) -> None:
    """An order's only message was sent, and a copy of it is on its way; then the order is refunded."""
    orders.load(ground, orders.event(), steps=(orders.STEP,), controls=ONCE)
    ground.clock.forward(days=7)
    ground.pass_with(ACCEPTED)
    again(ground)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    assert len(window.messages) == 1
    refund(ground)
    clerk.turn(ground.done(window, outcome), 0)


@pytest.mark.parametrize("outcome", [DEFERRED, UNKNOWN, REFUSED], ids=lambda one: str(one.kind))
def test_a_copy_that_comes_back_after_a_refund_is_not_sent(ground: Ground, outcome: Outcome) -> None:
    asked_for(ground, outcome)
    ground.clock.forward(days=1, hours=1)
    reconcile.run(ground.context)
    ground.recover(failed=True, in_doubt="resend")
    assert ground.clerk().turn([], 10).messages == ()
    left = "cancelled" if outcome is UNKNOWN else "failed"
    assert ground.states() == {"sent": 1, left: 1}


def test_a_copy_put_off_is_cancelled_after_a_refund(ground: Ground) -> None:
    orders.load(ground, orders.event(), steps=(orders.STEP,))
    ground.clock.forward(days=7)
    ground.pass_with(ACCEPTED)
    again(ground)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    orders.load(ground, orders.event(type_="order.refunded", at=AFTER), steps=(orders.STEP,))
    clerk.turn(ground.done(window, DEFERRED), 0)
    ground.clock.forward(hours=1)
    assert ground.clerk().turn([], 10).messages == ()
    assert ground.states() == {"sent": 1, "cancelled": 1}


@pytest.mark.parametrize("first", ["the event", "the file"])
def test_a_copy_that_waits_is_not_sent_once_the_file_ends_its_person(ground: Ground, judge: Judge, first: str) -> None:
    window = 'window = "09:00-10:00"'
    ground.enqueue(1, campaign=window)
    ground.send_due()
    ground.clock.forward(hours=3)
    again(ground)
    deeds: list[Callable[[], object]] = [
        lambda: ingest(ground, fact("clicked", campaign="sale", email="p00001@x.example")),
        lambda: ground.enqueue(campaign=window, steps=(STEP,), rest='[stop]\non = ["clicked"]'),
    ]
    for deed in deeds if first == "the event" else reversed(deeds):
        deed()
    ground.clock.forward(days=1)
    ground.send_due()
    assert (len(judge.delivered), ground.states()) == (1, {"sent": 1, "cancelled": 1})
