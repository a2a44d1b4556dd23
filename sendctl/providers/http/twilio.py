"""Twilio, for SMS: no idempotency key. What is in doubt is looked for by its number, its time and its text.

https://www.twilio.com/docs/messaging/api/message-resource, https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

from sendctl.providers.base import OPTED_OUT, Outcome, Outgoing, Scope, Sought
from sendctl.providers.facts import FACTS
from sendctl.providers.http import verdicts
from sendctl.providers.http.api import Api, Reply, Request, listed
from sendctl.providers.http.verdicts import Verdict, judged
from sendctl.states import AttemptOutcome

BASE_URL = "https://api.twilio.com"
_PAGE, _PAGES = 100, 5  # the newest first
_AROUND = timedelta(hours=1)

_LEFT = Verdict(AttemptOutcome.REFUSED, Scope.RECIPIENT, OPTED_OUT)
# A number in a country that the account may not write to: its own fault, unless all of them are there.
_NOT_THERE = Verdict(AttemptOutcome.REFUSED, Scope.RECIPIENT, "policy")
_ERRORS: Mapping[int, Verdict] = {
    20003: verdicts.BAD_KEY,
    20005: verdicts.SUSPENDED,
    20404: verdicts.MISUSED,
    20429: verdicts.THROTTLED,
    21211: verdicts.BAD_RECIPIENT,  # invalid "To"
    21212: verdicts.BAD_SENDER,  # invalid "From"
    21219: verdicts.SUSPENDED,  # as 21608
    21265: verdicts.BAD_RECIPIENT,  # a short code
    21266: verdicts.BAD_RECIPIENT,  # "To" and "From" are one number
    21408: _NOT_THERE,
    21602: verdicts.BAD_CONTENT,
    21603: verdicts.BAD_SENDER,  # no "From"
    21606: verdicts.BAD_SENDER,  # "From" is no number of this account that can send
    21608: verdicts.SUSPENDED,  # a trial account writes to numbers only that it has verified
    21610: _LEFT,
    21611: verdicts.THROTTLED,  # the queue of this sender is full
    21612: verdicts.BAD_RECIPIENT,
    21614: verdicts.BAD_RECIPIENT,  # no mobile number
    21617: verdicts.BAD_CONTENT,
    21635: verdicts.BAD_RECIPIENT,  # a landline
    21659: verdicts.BAD_SENDER,  # "From" is no number of Twilio
    21660: verdicts.BAD_SENDER,  # "From" is no number of this account
    21703: verdicts.BAD_SENDER,  # the messaging service has no number
    21704: verdicts.BAD_SENDER,
    21705: verdicts.BAD_SENDER,  # there is no such messaging service
    63017: verdicts.THROTTLED,
    90010: verdicts.SUSPENDED,
}


class Twilio:
    """One account. A campaign without a sender of its own goes out by the messaging service, else from `sender`."""

    capabilities = FACTS["twilio"].capabilities

    def __init__(
        self, account_sid: str, auth_token: str, *, messaging_service_sid: str = "", sender: str = "",
        status_callback: str = "",
    ) -> None:  # fmt: skip
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._messaging_service_sid = messaging_service_sid
        self._sender = sender
        self._status_callback = status_callback

    def headers(self) -> Mapping[str, str]:
        token = base64.b64encode(f"{self._account_sid}:{self._auth_token}".encode()).decode()
        return {
            "authorization": f"Basic {token}", "accept": "application/json",
            "content-type": "application/x-www-form-urlencoded",
        }  # fmt: skip

    def request(self, message: Outgoing) -> Request:
        own = "" if self._messaging_service_sid else self._sender
        sender = message.sender or own
        fields = {
            "To": message.recipient, "Body": message.content.decode(), "From": sender,
            "MessagingServiceSid": "" if sender else self._messaging_service_sid,
            "StatusCallback": self._status_callback,
        }  # fmt: skip
        content = urlencode({name: value for name, value in fields.items() if value}).encode()
        return Request(f"/2010-04-01/Accounts/{quote(self._account_sid)}/Messages.json", {}, content)

    def outcome(self, reply: Reply) -> Outcome:
        record = reply.record()
        known, code = record.get("sid"), record.get("code")
        if reply.status == 201 and isinstance(known, str) and known:
            return verdicts.accepted(reply, known)
        if isinstance(code, int) and code in _ERRORS and 400 <= reply.status < 500:
            return judged(reply, _ERRORS[code], f"{code} {record.get('message', '')}")
        return verdicts.unrecognised(reply)

    def find(self, api: Api, sought: Sought) -> str | None:
        """The newest of the texts to this number that has these very words, was made at that time, and is no other's.

        Twilio alters some texts (smart encoding, trial accounts): those are not found.
        """
        own = f"/2010-04-01/Accounts/{quote(self._account_sid)}/Messages.json"
        page = api.ask("GET", own, {"To": sought.recipient, "PageSize": str(_PAGE)})
        for _ in range(_PAGES):
            texts = listed(page, "messages")
            for text in texts:
                known = text.get("sid")
                if isinstance(known, str) and _is(text, sought) and not sought.is_another(known):
                    return known
            following = page.get("next_page_uri")
            if not isinstance(following, str) or any(
                _created_at(text) < sought.handed_over_at - _AROUND for text in texts
            ):
                return None
            if not following.startswith(own + "?"):
                raise OSError(0, "the answer leads to another place")
            page = api.ask("GET", following)
        raise OSError(0, f"it has {_PAGE * _PAGES} or more texts to that number since")


def _is(text: Mapping[str, Any], sought: Sought) -> bool:
    """Whether it has these words and was made by us around that time: a claim lasts minutes, and clocks differ."""
    ours = text.get("direction") == "outbound-api" and text.get("to") == sought.recipient
    same = text.get("body") == sought.content.decode()
    return ours and same and abs(_created_at(text) - sought.handed_over_at) <= _AROUND


def _created_at(text: Mapping[str, Any]) -> datetime:
    """Raises OSError where it is none as of RFC 2822."""
    try:
        return parsedate_to_datetime(str(text.get("date_created"))).astimezone(UTC)
    except (ValueError, TypeError) as error:
        raise OSError(0, "the answer has no date_created") from error
