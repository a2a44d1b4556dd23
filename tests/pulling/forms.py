"""Events in the forms of the other services, about messages of ours."""

from __future__ import annotations

import json
from datetime import datetime
from email.utils import format_datetime
from typing import Any

Message = dict[str, Any]


def bounce(message: Message, at: datetime, number: int, kind: str = "HardBounce") -> dict[str, Any]:
    """An entry of Postmark's Bounce API."""
    return {
        "ID": number, "Type": kind, "TypeCode": 1, "Name": "Hard bounce", "MessageID": message["provider_message_id"],
        "ServerID": 23, "MessageStream": "outbound", "Description": "The server was unable to deliver your message",
        "Details": "smtp;550 5.1.1 no such user", "Email": message["recipient"], "BouncedAt": at.isoformat(),
        "DumpAvailable": True, "Inactive": kind == "HardBounce", "CanActivate": True, "Subject": "Hello",
    }  # fmt: skip


def listed_by_sendgrid(message: Message, at: datetime, **more: Any) -> dict[str, Any]:
    """An entry of one of SendGrid's suppression lists."""
    return {"created": int(at.timestamp()), "email": message["recipient"], **more}


def suppression(message: Message, at: datetime, origin: str, ident: str) -> dict[str, Any]:
    """An entry of Resend's suppressions."""
    return {
        "id": ident, "email": message["recipient"], "origin": origin, "source_id": message["provider_message_id"],
        "created_at": f"{at:%Y-%m-%d %H:%M:%S.%f}+00",
    }  # fmt: skip


def email(message: Message, at: datetime, last_event: str) -> dict[str, Any]:
    """An entry of Resend's list of e-mails."""
    return {
        "id": message["provider_message_id"], "to": [message["recipient"]], "from": "Shop <news@shop.example>",
        "created_at": f"{at:%Y-%m-%d %H:%M:%S.%f}+00", "subject": "Hello", "last_event": last_event,
        "scheduled_at": None,
    }  # fmt: skip


def text(message: Message, at: datetime, status: str, *, code: int | None = None, **more: Any) -> dict[str, Any]:
    """A message in Twilio's list."""
    moment = format_datetime(at)
    return {
        "sid": message["provider_message_id"], "status": status, "error_code": code, "direction": "outbound-api",
        "to": message["recipient"], "from": "+15005550006", "body": "Hello", "date_sent": moment,
        "date_updated": moment, "date_created": moment, **more,
    }  # fmt: skip


def of_ses(name: str, message: Message, at: datetime, *, tagged: bool = True, **more: Any) -> dict[str, Any]:
    """An event that a configuration set publishes."""
    moment = f"{at:%Y-%m-%dT%H:%M:%S}.000Z"
    tags = {"ses:configuration-set": ["events"]} | ({"sendctl": [message["provider_key"]]} if tagged else {})
    mail = {"timestamp": moment, "messageId": message["provider_message_id"] or "0102018f-of-ses", "tags": tags,
            "destination": [message["recipient"]]}  # fmt: skip
    own = {"Delivery": "delivery", "Bounce": "bounce", "Complaint": "complaint", "Open": "open"}.get(name)
    parts = {own: {"timestamp": moment, **more}} if own else {name.lower(): {}}
    return {"eventType": name, "mail": mail, **parts}


def hard_of_ses(message: Message, at: datetime) -> dict[str, Any]:
    gone = [{"emailAddress": message["recipient"], "action": "failed", "status": "5.1.1"}]
    return of_ses("Bounce", message, at, bounceType="Permanent", bounceSubType="General", bouncedRecipients=gone)


def by_sns(event: dict[str, Any]) -> str:
    """What SNS puts into a queue around an event."""
    return json.dumps(
        {"Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "Message": json.dumps(event),
         "TopicArn": "arn:aws:sns:eu-central-1:123456789012:ses-events", "Timestamp": "2026-03-02T09:00:00.000Z"}
    )  # fmt: skip
