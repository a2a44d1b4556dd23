"""The parts of a rendered message, for services that do not take it as it is.

Read back from the frozen bytes, so that what a service is sent depends on nothing else.
"""

from __future__ import annotations

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import NamedTuple

# What a service is told besides: how to unsubscribe (RFC 8058), and that it is a test.
_CARRIED = ("List-Unsubscribe", "List-Unsubscribe-Post", "X-Sendctl-Test")


class Letter(NamedTuple):
    """`sender`, `recipient` and `reply_to` are mailboxes as a header has them, decoded; absent texts are empty."""

    sender: str
    recipient: str
    reply_to: str
    subject: str
    message_id: str  # with its angle brackets
    text: str
    html: str
    headers: dict[str, str]


def parsed(content: bytes) -> Letter:
    """The parts of a message that sendctl has rendered."""
    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(content)
    carried = {name: str(message[name]) for name in _CARRIED if message[name] is not None}
    return Letter(
        sender=_header(message, "From"),
        recipient=_header(message, "To"),
        reply_to=_header(message, "Reply-To"),
        subject=_header(message, "Subject"),
        message_id=_header(message, "Message-ID"),
        text=_body(message, "plain"),
        html=_body(message, "html"),
        headers=carried,
    )


def _header(message: EmailMessage, name: str) -> str:
    value = message[name]
    return "" if value is None else str(value)


def _body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    return "" if part is None else str(part.get_content())
