"""Frozen at the first claim: every further attempt hands over the same bytes, whatever has changed since."""

from __future__ import annotations

import pytest

from sendctl.passes import control
from sendctl.providers.base import Outcome, Outgoing
from tests.passes.judge import Judge
from tests.store.ground import DEFERRED, SENDER_REFUSED, STEP, UNKNOWN, UNTOUCHED, Ground


def asked_of(judge: Judge, outcome: Outcome) -> list[Outgoing]:
    """Every message that is handed over from now on; each gets this outcome."""
    asked: list[Outgoing] = []

    def answer(message: Outgoing) -> Outcome:
        asked.append(message)
        return outcome

    judge.answer = answer
    return asked


def change(ground: Ground, word: str) -> None:
    """Enqueue the campaign with other texts, and the same person with another name."""
    contacts = f"email,first_name\nana@x.example,{word}\n"
    steps = (STEP.replace("Hello", word),)
    ground.enqueue(contacts=contacts, campaign=f'reply_to = "{word} <x@shop.example>"', steps=steps)


@pytest.mark.parametrize("outcome", [DEFERRED, UNKNOWN], ids=lambda outcome: str(outcome.kind))
def test_a_message_is_the_same_bytes_at_every_attempt(ground: Ground, judge: Judge, outcome: Outcome) -> None:
    asked = asked_of(judge, outcome)
    ground.enqueue(contacts="email,first_name\nana@x.example,Ana\n")
    ground.send_due()
    for word in ("Good day", "Good night"):
        if outcome is UNKNOWN:  # somebody may have a copy: not even a changed file may change it
            change(ground, word)
        ground.clock.forward(days=1)
        if outcome is UNKNOWN:
            ground.recover(in_doubt="resend")
        ground.send_due()
    assert [message.attempt for message in asked] == [1, 2, 3]
    assert len({(message.key, message.content) for message in asked}) == 1
    assert b"Hello Ana\r\n" in asked[0].content


@pytest.mark.parametrize("outcome", [DEFERRED, SENDER_REFUSED], ids=lambda outcome: str(outcome.kind))
def test_a_message_that_nobody_can_have_takes_the_corrected_text(
    ground: Ground, judge: Judge, outcome: Outcome
) -> None:
    asked = asked_of(judge, outcome)
    ground.enqueue(contacts="email,first_name\nana@x.example,Ana\n")
    ground.send_due()
    change(ground, "Good day")
    ground.clock.forward(days=1)
    if outcome is SENDER_REFUSED:
        control.resume(ground.context, "sale")
    ground.send_due()
    assert [message.attempt for message in asked] == [1, 2]
    assert b"Hello Ana\r\n" in asked[0].content
    assert b"Good day Ana\r\n" in asked[1].content
    assert asked[0].key == asked[1].key


def test_a_message_that_was_put_back_untouched_after_a_doubt_keeps_its_bytes(ground: Ground, judge: Judge) -> None:
    asked = asked_of(judge, UNKNOWN)
    ground.enqueue(contacts="email,first_name\nana@x.example,Ana\n")
    ground.send_due()
    ground.recover(in_doubt="resend")
    ground.pass_with(UNTOUCHED)
    change(ground, "Good day")
    ground.clock.forward(days=1)
    ground.send_due()
    assert [message.attempt for message in asked] == [1, 3]
    assert asked[0].content == asked[1].content


def test_a_message_that_was_not_tried_takes_the_newest_text(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1)
    ground.enqueue(1, steps=(STEP.replace("Hello", "Good day"),))
    ground.send_due()
    (message,) = judge.delivered
    assert b"Good day P1\r\n" in message.content
