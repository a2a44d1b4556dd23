"""Mailgun's events: `event-data` of a webhook, and an item of its Events API, which are the same.

https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure and event-types,
.../user-manual/tracking-messages/tracking-failures
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sendctl.providers.events.line import (
    Line,
    about,
    key_in,
    line,
    nobody_there,
    optional,
    our_key,
    says_nothing,
    text,
    unix_time,
)

_SAME = frozenset({"accepted", "delivered", "opened", "clicked", "unsubscribed", "complained", "rejected"})

# Reasons of a permanent failure ("Do Not Send" lists, tracking-failures): Mailgun has not tried, for what it knew of
# the address before. They suppress here as well, each for what it is.
_ON_A_LIST = {"suppress-bounce": "bounced", "suppress-complaint": "complained", "suppress-unsubscribe": "unsubscribed"}
_BOUNCES = frozenset({"bounce", "delayed-bounce"})


def lines(event: Mapping[str, Any]) -> list[Line]:
    """The line of one event; none for what has no meaning here, such as `stored`. Raises OtherForm."""
    kind = _kind(event)
    if not kind:
        return []
    moment = unix_time(event.get("timestamp"))
    message_id = str(optional(optional(event, "message"), "headers").get("message-id") or "")
    key = our_key(optional(event, "user-variables").get("sendctl")) or key_in(message_id)
    status = optional(event, "delivery-status")
    return [
        line(
            kind, moment,
            f"{moment[:10]}/{text(event, 'id')}",  # "unique within a day" (event-structure)
            about(key, f"<{message_id}>" if message_id else ""),  # with the brackets that its answer to us had
            permanent=True if kind == "bounced" else None,
            reason=event.get("reason"), severity=event.get("severity"), code=status.get("code"),
            enhanced_code=status.get("enhanced-code"), said=status.get("message") or status.get("description"),
            recipient=event.get("recipient"), url=event.get("url"),
        )
    ]  # fmt: skip


def _kind(event: Mapping[str, Any]) -> str:
    """The type of the line, or "" for an event without meaning here."""
    name = text(event, "event")
    if name == "failed":
        return _failure(event)
    return name if name in _SAME else ""


def _failure(event: Mapping[str, Any]) -> str:
    """Hard only where the recipient's server says that nobody is there; a block or a full mailbox is no bounce here."""
    reason, status = str(event.get("reason") or ""), optional(event, "delivery-status")
    if event.get("severity") != "permanent":
        # "old": hours of tries are over, though Mailgun calls the last of them temporary as well.
        return "failed" if reason == "old" else "deferred"
    if reason in _ON_A_LIST:
        return _ON_A_LIST[reason]
    enhanced = status.get("enhanced-code") or status.get("bounce-code")
    if nobody_there(enhanced):
        return "bounced"
    # Without a status, Mailgun's own judgement: a hard bounce is "the recipient is not found".
    hard = reason in _BOUNCES and says_nothing(enhanced) and status.get("bounce-type") != "soft"
    return "bounced" if hard else "failed"
