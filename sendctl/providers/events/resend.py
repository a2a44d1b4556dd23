"""Resend's events, as its webhooks tell of them.

https://resend.com/docs/webhooks/event-types, and `webhooks` in its OpenAPI description
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sendctl.providers.events.line import Line, about, line, optional, our_key, part, text

_TYPES: Mapping[str, str] = {
    "email.sent": "accepted",  # "the API request was successful": Resend has it
    "email.delivered": "delivered",
    "email.delivery_delayed": "deferred",
    "email.bounced": "bounced",
    "email.suppressed": "bounced",
    "email.complained": "complained",
    "email.opened": "opened",
    "email.clicked": "clicked",
    "email.failed": "failed",
}


def lines(event: Mapping[str, Any], ident: str) -> list[Line]:
    """The line of one event; `ident` is the svix-id that it came under, the same for each copy. Raises OtherForm."""
    name = text(event, "type")
    if name == "contact.updated":
        return _contact(event, ident)
    if name not in _TYPES:  # domains, contacts that are new or gone, mail that came in, what is planned for later
        return []
    data = part(event, "data")
    kind, more = _TYPES[name], dict[str, object]()
    moment = text(event, "created_at")
    match name:
        case "email.bounced":
            more = _bounce(part(data, "bounce"))
        case "email.suppressed":
            kind, more = _suppressed(optional(data, "suppressed"))
        case "email.failed":
            more = {"reason": optional(data, "failed").get("reason")}
        case "email.clicked":
            click = part(data, "click")
            moment, more = text(click, "timestamp"), {"url": click.get("link")}
    whom = about(our_key(optional(data, "tags").get("sendctl_key")), text(data, "email_id"))
    return [line(kind, moment, ident, whom, **more)]


def _bounce(bounce: Mapping[str, Any]) -> dict[str, object]:
    """Its types are those of SES: only Permanent is a mailbox that does not exist."""
    kind, sub = text(bounce, "type"), bounce.get("subType")
    return {
        "permanent": kind == "Permanent", "reason": f"{kind}/{sub}" if sub else kind, "said": bounce.get("message"),
    }  # fmt: skip


def _suppressed(said: Mapping[str, Any]) -> tuple[str, dict[str, object]]:
    """Resend has not tried, as the address bounced or complained before: either is a reason here as well."""
    more = {"reason": said.get("reason") or said.get("type"), "said": said.get("message")}
    if said.get("reason") == "previous_complaint":
        return "complained", more
    return "bounced", {"permanent": True, **more}


def _contact(event: Mapping[str, Any], ident: str) -> list[Line]:
    """ "Whether the contact has unsubscribed from all emails sent from your team" (ContactEventData)."""
    data = part(event, "data")
    if data.get("unsubscribed") is not True:
        return []
    return [line("unsubscribed", text(event, "created_at"), ident, {"email": text(data, "email")})]
