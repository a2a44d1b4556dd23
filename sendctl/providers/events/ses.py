"""Events of Amazon SES, as they stand in a message of SNS, or by themselves in SQS.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html; the notifications of an
identity (.../notification-contents.html) have the same form, but for `notificationType` and the tags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sendctl.providers.events.line import Line, about, key_in, line, optional, our_key, part, text

# "not-spam" takes a complaint back, "auth-failure" is about DKIM or SPF: neither is a person's wish (RFC 6591, and the
# registry "MARF Feedback Types" of RFC 5965).
_NO_COMPLAINT = frozenset({"not-spam", "auth-failure"})


class _Told(NamedTuple):
    kind: str  # "" for what has no meaning here
    at: str
    more: Mapping[str, object] = {}


_NOTHING = _Told("", "")


def lines(event: Mapping[str, Any]) -> list[Line]:
    """The line of one event; none for what has no meaning here. Raises OtherForm."""
    name = str(event.get("eventType") or "") or text(event, "notificationType")
    mail = part(event, "mail")
    told = _READERS[name](event, mail) if name in _READERS else _NOTHING
    if not told.kind:
        return []
    known = text(mail, "messageId")
    # An event has no id of its own, and SNS and SQS give each copy another: what it says makes it the same one.
    ident = f"{known}/{name}/{told.at}"
    return [line(told.kind, told.at, ident, about(_key(mail), known), **told.more)]


def _sent(event: Mapping[str, Any], mail: Mapping[str, Any]) -> _Told:
    """ "The send request was successful and SES will attempt to deliver" (EventType): it has been accepted."""
    return _Told("accepted", text(mail, "timestamp"))


def _delivered(event: Mapping[str, Any], mail: Mapping[str, Any]) -> _Told:
    delivery = part(event, "delivery")
    return _Told("delivered", text(delivery, "timestamp"), {"said": delivery.get("smtpResponse")})


def _rejected(event: Mapping[str, Any], mail: Mapping[str, Any]) -> _Told:
    """A virus: SES has taken it, and does not send it."""
    return _Told("rejected", text(mail, "timestamp"), {"reason": optional(event, "reject").get("reason")})


def _unrendered(event: Mapping[str, Any], mail: Mapping[str, Any]) -> _Told:
    return _Told("failed", text(mail, "timestamp"), {"reason": optional(event, "failure").get("errorMessage")})


def _delayed(event: Mapping[str, Any], mail: Mapping[str, Any]) -> _Told:
    delay = part(event, "deliveryDelay")
    return _Told("deferred", text(delay, "timestamp"), {"reason": delay.get("delayType")})


def _opened(event: Mapping[str, Any], mail: Mapping[str, Any]) -> _Told:
    return _Told("opened", text(part(event, "open"), "timestamp"))


def _clicked(event: Mapping[str, Any], mail: Mapping[str, Any]) -> _Told:
    click = part(event, "click")
    return _Told("clicked", text(click, "timestamp"), {"url": click.get("link")})


def _bounced(event: Mapping[str, Any], mail: Mapping[str, Any]) -> _Told:
    """Permanent is hard: "feedback received for emails sent to non-existent mailboxes" (DeliveryEventType).

    So are the two suppression lists of Amazon: they hold what bounced hard, or complained, before. Transient and
    Undetermined may be a full mailbox, a message that is too large, or its contents.
    """
    bounce = part(event, "bounce")
    kind, sub = text(bounce, "bounceType"), str(bounce.get("bounceSubType") or "")
    first = _first(bounce, "bouncedRecipients")
    more = {
        "reason": f"{kind}/{sub}" if sub else kind, "enhanced_code": first.get("status"),
        "said": first.get("diagnosticCode"), "recipient": first.get("emailAddress"),
    }  # fmt: skip
    if sub == "UnsubscribedRecipient":
        return _Told("unsubscribed", text(bounce, "timestamp"), more)
    return _Told("bounced", text(bounce, "timestamp"), {"permanent": kind == "Permanent", **more})


def _first(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    recipients = record.get(name)
    return next((one for one in recipients if isinstance(one, dict)), {}) if isinstance(recipients, list) else {}


def _complained(event: Mapping[str, Any], mail: Mapping[str, Any]) -> _Told:
    complaint = part(event, "complaint")
    kind = str(complaint.get("complaintFeedbackType") or "")
    if kind in _NO_COMPLAINT:
        return _NOTHING
    # "Recipients that may have been responsible": of ours each message has one.
    recipient = _first(complaint, "complainedRecipients").get("emailAddress")
    more = {"reason": kind or complaint.get("complaintSubType"), "recipient": recipient}
    return _Told("complained", text(complaint, "timestamp"), more)


def _unsubscribed(event: Mapping[str, Any], mail: Mapping[str, Any]) -> _Told:
    """Of Amazon's own lists of contacts. Leaving one topic of them is no wish to get nothing at all."""
    subscription = part(event, "subscription")
    if optional(subscription, "newTopicPreferences").get("unsubscribeAll") is not True:
        return _NOTHING
    return _Told("unsubscribed", text(subscription, "timestamp"), {"reason": subscription.get("contactList")})


_READERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], _Told]] = {
    "Send": _sent, "Delivery": _delivered, "Bounce": _bounced, "Complaint": _complained, "Reject": _rejected,
    "Rendering Failure": _unrendered, "DeliveryDelay": _delayed, "Open": _opened, "Click": _clicked,
    "Subscription": _unsubscribed,
}  # fmt: skip


def _key(mail: Mapping[str, Any]) -> str:
    """From the tag `sendctl`, which events repeat and notifications of an identity do not; else from our Message-ID.

    SES gives the message another Message-ID, but tells of the one that it had ("original headers"), if asked to.
    """
    values = optional(mail, "tags").get("sendctl")
    tagged = our_key(values[0]) if isinstance(values, list) and values else ""
    return tagged or key_in(optional(mail, "commonHeaders").get("messageId"))
