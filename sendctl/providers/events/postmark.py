"""Postmark's events: the bodies of its webhooks. A bounce has the same form in its Bounce API.

https://postmarkapp.com/developer/webhooks/webhooks-overview, .../developer/api/bounce-api#bounce-types
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sendctl.providers.events.line import Line, about, line, optional, our_key, text

# The table of bounce types. Hard is "unknown user, mailbox not found" and what is no address; SoftBounce is a full
# mailbox or a disabled account. What says nothing of the delivery (an automatic answer, a test of a relay) is not here.
_BOUNCES: Mapping[str, tuple[str, bool | None]] = {
    "HardBounce": ("bounced", True),
    "BadEmailAddress": ("bounced", True),
    "SoftBounce": ("bounced", False),
    "Transient": ("deferred", None),
    "DnsError": ("deferred", None),
    "ChallengeVerification": ("deferred", None),
    "SpamComplaint": ("complained", None),
    "Unsubscribe": ("unsubscribed", None),
    "Blocked": ("failed", None),
    "SpamNotification": ("failed", None),
    "VirusNotification": ("failed", None),
    "DMARCPolicy": ("failed", None),
    "ManuallyDeactivated": ("failed", None),
    "Unconfirmed": ("failed", None),
    "SMTPApiError": ("failed", None),
    "TemplateRenderingFailed": ("failed", None),
    "Unknown": ("failed", None),
}
_REASONS: Mapping[str, str] = {
    "HardBounce": "bounced",
    "SpamComplaint": "complained",
    "ManualSuppression": "unsubscribed",  # what somebody who unsubscribes becomes, and whom the sender has put there
}


def lines(event: Mapping[str, Any]) -> list[Line]:
    """The line of one event; none for what has no meaning here. Raises OtherForm."""
    match text(event, "RecordType"):
        case "Bounce" | "SpamComplaint":
            return _bounce(event)
        case "Delivery":
            return [_line(event, "delivered", "DeliveredAt", said=event.get("Details"))]
        case "Open":
            return [_line(event, "opened", "ReceivedAt")]
        case "Click":
            return [_line(event, "clicked", "ReceivedAt", url=event.get("OriginalLink"))]
        case "SubscriptionChange":
            return _subscription(event)
    return []  # Inbound


def _line(event: Mapping[str, Any], kind: str, moment: str, **more: object) -> Line:
    known, at = text(event, "MessageID"), text(event, moment)
    return line(kind, at, f"{known}/{kind}/{at}", _whom(event, known), recipient=event.get("Recipient"), **more)


def _whom(event: Mapping[str, Any], known: str) -> Line:
    return about(our_key(optional(event, "Metadata").get("sendctl")), known)


def _bounce(event: Mapping[str, Any]) -> list[Line]:
    name = text(event, "Type")
    if name not in _BOUNCES:
        return []
    kind, permanent = _BOUNCES[name]
    number, known, moment = event.get("ID"), text(event, "MessageID"), text(event, "BouncedAt")
    return [
        line(
            kind, moment, f"bounce/{number}" if number else f"{known}/{name}/{moment}", _whom(event, known),
            permanent=permanent,
            reason=name, said=event.get("Details") or event.get("Description"), recipient=event.get("Email"),
        )
    ]  # fmt: skip


def _subscription(event: Mapping[str, Any]) -> list[Line]:
    """An address that Postmark puts on a suppression list; one that is taken off it is no line, as nobody is asked.

    Where no message was the reason (`MessageID` is null then), it is about the address alone.
    """
    reason = str(event.get("SuppressionReason") or "")
    if event.get("SuppressSending") is not True or reason not in _REASONS:
        return []
    kind, address, moment = _REASONS[reason], text(event, "Recipient"), text(event, "ChangedAt")
    known = str(event.get("MessageID") or "").strip("0-")
    whom = _whom(event, text(event, "MessageID")) if known else {"email": address}
    ident = f"suppression/{address}/{moment}"
    more = {"permanent": True if kind == "bounced" else None, "reason": reason, "origin": event.get("Origin")}
    return [line(kind, moment, ident, whom, **more)]
