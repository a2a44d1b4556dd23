"""What the rendering tests share: one small campaign, one person, and a reader of messages that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

from sendctl.definition import Definition, Step
from sendctl.rendering.message import Frozen, Recipient, StepRenderer

KEY = "0123456789abcdef0123456789abcdef"
STEP = Step(
    name="offer",
    subject="Hello {{ contact.first_name }}",
    text="Hello {{ contact.first_name }},\nstop: {{ unsubscribe_url }}\n",
    html='<p>Hello {{ contact.first_name }}</p>\n<a href="{{ unsubscribe_url }}">stop</a>\n',
)
CAMPAIGN = Definition(
    name="spring-sale",
    steps=(STEP,),
    sender="Shop <news@shop.example>",
    reply_to="help@shop.example",
    unsubscribe_url="https://shop.example/u/{{ token }}",
)
ANA = Recipient(contact={"email": "ana@one.example", "first_name": "Ana"}, token="t0ken")
FROZEN = Frozen(
    message_id=7,
    attempt=1,
    key=KEY,
    provider="primary",
    recipient="ana@one.example",
    composed_at=datetime(2026, 11, 23, 9, 0, 5, tzinfo=UTC),
)


def renderer(campaign: Definition = CAMPAIGN, **step: str) -> StepRenderer:
    """A renderer of the sample step with some parts replaced."""
    return StepRenderer(campaign, replace(STEP, **step))


def person(**contact: object) -> Recipient:
    """Ana with some columns replaced or added."""
    return ANA._replace(contact={**ANA.contact, **contact})


def parsed(content: bytes) -> EmailMessage:
    """The message as the stdlib reads it; fails on any defect that it finds in headers or structure."""
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert part.defects == []
        for value in part.values():
            assert value.defects == (), value
        assert not part.is_multipart() or part.get_content_type() == "multipart/alternative"
    return message


def body_text(message: EmailMessage, subtype: str) -> str:
    """The decoded text of the plain or html part, with LF line ends."""
    part = message.get_body((subtype,))
    assert part is not None
    return part.get_payload(decode=True).decode(part.get_content_charset()).replace("\r\n", "\n")


def lines(content: bytes) -> Iterator[bytes]:
    """The message's lines without their ends; fails if any ends in something else than CRLF."""
    assert content.endswith(b"\r\n")
    for line in content[:-2].split(b"\r\n"):
        assert b"\r" not in line
        assert b"\n" not in line
        yield line
