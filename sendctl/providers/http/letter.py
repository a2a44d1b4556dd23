"""The parts of a rendered message, for services that do not take it as it is.

Read back from the frozen bytes, so that what a service is sent depends on nothing else.
"""

from __future__ import annotations

import re
from email import policy
from email.header import decode_header
from email.message import EmailMessage
from email.parser import BytesParser
from typing import NamedTuple

from sendctl.addresses import Mailbox

# What a service is told besides: how to unsubscribe (RFC 8058), and that it is a test.
_CARRIED = ("List-Unsubscribe", "List-Unsubscribe-Post", "X-Sendctl-Test")

_SPECIAL = re.compile(r'[()<>\[\]:;@\\,."]')  # RFC 5322 section 3.2.3
_QUOTED_PAIR = re.compile(r"\\(.)")


class Letter(NamedTuple):
    """All of it decoded; absent texts are empty."""

    sender: Mailbox
    reply_to: Mailbox | None
    subject: str
    message_id: str  # with its angle brackets
    text: str
    html: str
    headers: dict[str, str]


def parsed(content: bytes) -> Letter:
    """The parts of a message that sendctl has rendered."""
    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(content)
    raw = {name.lower(): _unfolded(value) for name, value in message.raw_items()}
    carried = {name: str(message[name]) for name in _CARRIED if message[name] is not None}
    return Letter(
        sender=_mailbox(raw.get("from", "")),
        reply_to=_mailbox(raw["reply-to"]) if "reply-to" in raw else None,
        subject=_decoded(raw.get("subject", "")),
        message_id=raw.get("message-id", ""),
        text=_body(message, "plain"),
        html=_body(message, "html"),
        headers=carried,
    )


def written(mailbox: Mailbox | None) -> str:
    """A mailbox as a text that a service takes apart: `Shop <news@shop.example>`, the name in quotes where it must."""
    if mailbox is None or not mailbox.display:
        return mailbox.address if mailbox else ""
    name = mailbox.display
    if _SPECIAL.search(name) or name != name.strip():
        name = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return f"{name} <{mailbox.address}>"


def _unfolded(value: object) -> str:
    """A field as it was rendered: in ASCII, but for an address in UTF-8 (RFC 6532)."""
    return re.sub(r"[\r\n]", "", str(value)).encode("ascii", "surrogateescape").decode()


def _decoded(text: str) -> str:
    """Without the blanks between encoded words (RFC 2047 section 6.2): the parser of Python 3.11 keeps some."""
    parts = decode_header(text)
    return "".join(part if isinstance(part, str) else part.decode(charset or "ascii") for part, charset in parts)


def _mailbox(field: str) -> Mailbox:
    if not field.endswith(">"):
        return Mailbox("", field)
    name, _, address = field[:-1].rpartition("<")
    name = name.removesuffix(" ")
    if name.startswith('"'):
        return Mailbox(_QUOTED_PAIR.sub(r"\1", name[1:-1]), address)
    return Mailbox(_decoded(name), address)


def _body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    return "" if part is None else str(part.get_content())
