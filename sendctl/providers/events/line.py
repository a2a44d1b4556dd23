"""A line of docs/events.md as a service's event becomes one: whom it is about, when, and what a hard bounce is.

Never guesses: what a service left out is not in the line, and what is not of its form is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Line = dict[str, Any]

_KEY = re.compile(r"[0-9a-f]{32}").fullmatch
_KEY_OF_MESSAGE_ID = re.compile(r"<?([0-9a-f]{32})@[^>\s]*>?").fullmatch
# RFC 3463 section 3.2, and RFC 7505 section 4.2 for 5.1.10: no such mailbox, no such system, no valid address, moved
# away, a domain that takes no mail. 5.2.1 (section 3.3): the mailbox is disabled.
_NOBODY_THERE = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
_SAYS_NOTHING = frozenset({"", "5.0.0"})  # RFC 3463 section 3.1: "other undefined status"
_MOST_CHARACTERS = 2000  # of what a server said, or of a link: the rest is of no use to anybody


class OtherForm(ValueError):
    """What came is not in the form that the service documents."""


def part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object under a key. Raises OtherForm when there is none."""
    found = record.get(name)
    if not isinstance(found, dict):
        raise OtherForm(f'no object "{name}" in it')
    return found


def optional(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object under a key, or an empty one."""
    found = record.get(name)
    return found if isinstance(found, dict) else {}


def text(record: Mapping[str, Any], name: str) -> str:
    """The text under a key. Raises OtherForm when there is none."""
    found = record.get(name)
    if not isinstance(found, str) or not found:
        raise OtherForm(f'no text "{name}" in it')
    return found


def unix_time(value: object) -> str:
    """A moment in seconds since 1970, a number or its digits, as RFC 3339 has it. Raises OtherForm."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
        if seconds is not None:
            return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        pass
    raise OtherForm(f"{str(value)[:40]!r} is no time in seconds since 1970")


def our_key(value: object) -> str:
    """The provider key that a service repeats, if it is one; else ""."""
    return value if isinstance(value, str) and _KEY(value) else ""


def key_in(message_id: object) -> str:
    """The provider key in a Message-ID of ours, with or without its brackets; else ""."""
    found = _KEY_OF_MESSAGE_ID(message_id) if isinstance(message_id, str) else None
    return found[1] if found is not None else ""


def about(key: str, known: str) -> Line:
    """Whom a line is about: our own key wherever the service repeats it, else its id of the message.

    With both its id goes along as `known_as`: a later event may have nothing else. Raises OtherForm with neither.
    """
    if not key and not known:
        raise OtherForm("it names no message")
    if not key:
        return {"provider_message_id": known}
    return {"message_id": key} | ({"known_as": known} if known else {})


def line(kind: str, occurred_at: str, ident: str, whom: Line, **more: object) -> Line:
    """One line. Of `more` what the service said is kept, and of a text its beginning; `sendctl show` has it."""
    given = {
        name: value[:_MOST_CHARACTERS] if isinstance(value, str) else value
        for name, value in more.items() if value not in (None, "", [], {})
    }  # fmt: skip
    return {"id": ident, "type": kind, "occurred_at": occurred_at, **whom, **given}


def nobody_there(enhanced: object) -> bool:
    """Whether an enhanced status code says that the address does not exist, or is closed for good."""
    return str(enhanced or "") in _NOBODY_THERE


def says_nothing(enhanced: object) -> bool:
    """Whether a status code leaves open what was wrong."""
    return str(enhanced or "") in _SAYS_NOTHING
