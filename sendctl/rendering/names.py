"""The Message-ID of a message: its provider key at the domain of its campaign's sender. The same on every attempt."""

from __future__ import annotations

from sendctl.addresses import Mailbox, parse_mailbox
from sendctl.definition import Definition


def message_id(definition: Definition, key: str) -> str:
    """`<key@domain>`, as it stands in the header (RFC 5322 section 3.6.4)."""
    return message_id_at(parse_mailbox(definition.sender), key)


def message_id_at(sender: Mailbox, key: str) -> str:
    """The same for a sender that is parsed already."""
    return f"<{key}@{sender.address.rpartition('@')[2]}>"
