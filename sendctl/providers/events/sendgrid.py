"""SendGrid's events: the objects that its Event Webhook posts in lists.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from sendctl.providers.events.line import Line, about, line, nobody_there, our_key, says_nothing, text, unix_time

_TYPES: Mapping[str, str] = {
    "processed": "accepted",
    "delivered": "delivered",
    "deferred": "deferred",
    "bounce": "bounced",
    "dropped": "rejected",
    "open": "opened",
    "click": "clicked",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
}

# Why SendGrid drops what it has accepted ("Dropped", reasons): the first three are its suppression lists.
_DROPPED: Mapping[str, str] = {
    "Bounced Address": "bounced",
    "Spam Reporting Address": "complained",
    "Unsubscribed Address": "unsubscribed",
    "Invalid": "bounced",
}

# Its own classes of bounces: the others are about contents, reputation, volume, or a mailbox that is full.
_NO_SUCH_ADDRESS = "Invalid Address"
_UNCLASSIFIED = frozenset({"", "Unclassified"})

# "sg_message_id" begins with the X-Message-Id that its answer had; what follows is of the machines on the way.
_MACHINES = re.compile(r"\.(?:filter|recvd)")


def lines(event: Mapping[str, Any]) -> list[Line]:
    """The line of one event; none for what has no meaning here. Raises OtherForm."""
    name = text(event, "event")
    if name not in _TYPES:  # group_resubscribe, account_status_change, and what is new
        return []
    kind, moment = _kind(name, event), unix_time(event.get("timestamp"))
    known = _MACHINES.split(str(event.get("sg_message_id") or ""))[0]
    return [
        line(
            kind, moment, _ident(event), about(our_key(event.get("sendctl")), known),
            permanent=True if kind == "bounced" else None,
            reason=event.get("bounce_classification") or event.get("type"), enhanced_code=event.get("status"),
            said=event.get("reason") or event.get("response"), recipient=event.get("email"), url=event.get("url"),
        )
    ]  # fmt: skip


def _ident(event: Mapping[str, Any]) -> str:
    """The same for each copy of an event: its own `sg_event_id` is another when SendGrid posts it again."""
    told = [str(event.get(name) or "") for name in ("sg_message_id", "event", "timestamp", "email", "url")]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _kind(name: str, event: Mapping[str, Any]) -> str:
    if name == "dropped":
        return _DROPPED.get(str(event.get("reason") or ""), "rejected")
    return _bounce(event) if name == "bounce" else _TYPES[name]


def _bounce(event: Mapping[str, Any]) -> str:
    """A `blocked` is no bounce."""
    if event.get("type") == "blocked":
        return "failed"
    return "bounced" if is_hard(event.get("status"), str(event.get("bounce_classification") or "")) else "failed"


def is_hard(status: object, classification: str = "") -> bool:
    """Whether a bounce says, or leaves no other reading than, that nobody is there. Its list has no classification."""
    unclear = says_nothing(status) and classification in _UNCLASSIFIED
    return nobody_there(status) or classification == _NO_SUCH_ADDRESS or unclear
