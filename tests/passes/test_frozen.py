"""Frozen at the first claim: every further attempt hands over the same bytes, whatever has changed since."""

from __future__ import annotations

import pytest

from sendctl.providers.base import Outcome, Outgoing
from tests.passes.judge import Judge
from tests.store.ground import DEFERRED, STEP, UNKNOWN, Ground


@pytest.mark.parametrize("outcome", [DEFERRED, UNKNOWN], ids=lambda outcome: str(outcome.kind))
def test_a_message_is_the_same_bytes_at_every_attempt(ground: Ground, judge: Judge, outcome: Outcome) -> None:
    asked: list[Outgoing] = []

    def answer(message: Outgoing) -> Outcome:
        asked.append(message)
        return outcome

    judge.answer = answer
    ground.enqueue(contacts="email,first_name\nana@x.example,Ana\n")
    ground.send_due()
    for word in ("Good day", "Good night"):
        contacts = f"email,first_name\nana@x.example,{word}\n"
        steps = (STEP.replace("Hello", word),)
        ground.enqueue(contacts=contacts, campaign=f'reply_to = "{word} <x@shop.example>"', steps=steps)
        ground.clock.forward(days=1)
        if outcome is UNKNOWN:
            ground.recover(in_doubt="resend")
        ground.send_due()
    assert [message.attempt for message in asked] == [1, 2, 3]
    assert len({(message.key, message.content) for message in asked}) == 1
    assert b"Hello Ana\r\n" in asked[0].content


def test_a_message_that_was_not_tried_takes_the_newest_text(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1)
    ground.enqueue(1, steps=(STEP.replace("Hello", "Good day"),))
    ground.send_due()
    (message,) = judge.delivered
    assert b"Good day P1\r\n" in message.content
