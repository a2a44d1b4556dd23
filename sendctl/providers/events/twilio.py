"""Twilio's events: the parameters of its status callbacks, and of texts that come in.

https://www.twilio.com/docs/messaging/guides/track-outbound-message-status,
https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out, https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

from collections.abc import Mapping

from sendctl.providers.events.line import Line, OtherForm, line

_STATUSES: Mapping[str, str] = {
    "sent": "accepted",  # "the nearest upstream carrier accepted the message"; queued, sending: Twilio still has it
    "delivered": "delivered",
    "read": "opened",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "rejected",
}

# 30005: the number "is unknown and may no longer exist". 30003 may be a phone that is off; 30006 may be a landline or
# a short code's carrier; 30004, 30007 and 30008 are blocks, filters and silence: none of these says nobody is there.
_NOBODY_THERE = "30005"
_SWITCHED_OFF = "30003"
_OPTED_OUT = "21610"

# What Twilio itself takes for an opt-out where nobody has set other words (advanced-opt-out).
_STOP_WORDS = frozenset({"STOP", "UNSUBSCRIBE", "END", "QUIT", "STOPALL", "REVOKE", "OPTOUT", "CANCEL"})


def status(sid: str, name: str, code: str, occurred_at: str, to: str) -> list[Line]:
    """The line of one status of a message; none for one that is on its way. `code` is Twilio's ErrorCode, or "".

    It is the same event however it is learned: its id is made of the message's and the status.
    """
    if name not in _STATUSES:
        return []
    kind, permanent = _STATUSES[name], None
    if kind == "failed" and code in (_NOBODY_THERE, _SWITCHED_OFF):
        kind, permanent = "bounced", code == _NOBODY_THERE
    elif kind == "failed" and code == _OPTED_OUT:
        kind = "unsubscribed"
    whom = {"provider_message_id": sid}
    more = {"permanent": permanent, "code": code, "status": name, "recipient": to}
    return [line(kind, occurred_at, f"status/{sid}/{name}", whom, **more)]


def lines(fields: Mapping[str, str], received_at: str) -> list[Line]:
    """The line of one callback: they say no time, so it is when it came. Raises OtherForm."""
    sid = fields.get("MessageSid") or fields.get("SmsSid") or ""
    name = fields.get("MessageStatus") or fields.get("SmsStatus") or ""
    if not sid:
        raise OtherForm("no MessageSid in it")
    if "Body" in fields or name in ("received", "receiving"):
        return _text(fields, sid, received_at)
    if not name:
        raise OtherForm("neither a MessageStatus nor a Body in it")
    return status(sid, name, fields.get("ErrorCode", ""), received_at, fields.get("To", ""))


def _text(fields: Mapping[str, str], sid: str, received_at: str) -> list[Line]:
    """Somebody has written. Only an opt-out has a meaning here: one that is taken back is for a person to undo."""
    said = fields.get("OptOutType", "").upper()  # there with Advanced Opt-Out alone, which has words of its own
    stops = said == "STOP" if said else fields.get("Body", "").strip().upper() in _STOP_WORDS
    sender = fields.get("From", "")
    if not stops or not sender.startswith("+"):  # a short code, or another channel: nobody is written to there
        return []
    return [line("unsubscribed", received_at, f"text/{sid}", {"phone": sender}, reason=said or "STOP")]
