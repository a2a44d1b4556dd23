"""Twilio, for SMS: no idempotency key. What is in doubt is looked for by its number, its time and its text.

https://www.twilio.com/docs/messaging/api/message-resource, https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from sendctl.providers.base import OPTED_OUT, Outcome, Outgoing, Scope, Sought
from sendctl.providers.checks import Checked, about, cannot_tell, failed, ok
from sendctl.providers.facts import FACTS
from sendctl.providers.http import times, verdicts
from sendctl.providers.http.api import Api, Reply, Request, id_in, listed
from sendctl.providers.http.asking import not_asked, refused
from sendctl.providers.http.verdicts import Verdict, judged
from sendctl.states import AttemptOutcome

BASE_URL = "https://api.twilio.com"
_PAGE, _PAGES = 100, 5  # the newest first
_AROUND = timedelta(hours=1)  # a claim lasts minutes, and clocks differ
_MESSAGING = re.compile(r"//api\.")  # messaging services have a host of their own, in each region

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
        untimed = None
        for text in self._made_since(api, sought.recipient, sought.handed_over_at - _AROUND):
            known, made_at = id_in(text, "sid"), times.rfc2822_or_none(text.get("date_created"))
            if not known or not _is_like(text, sought):
                continue
            if made_at is None:
                untimed = text
            elif abs(made_at - sought.handed_over_at) <= _AROUND and not sought.is_another(known):
                return known
        if untimed is not None:
            raise times.no_time(untimed, "date_created")
        return None

    def _made_since(self, api: Api, number: str, moment: datetime) -> Iterator[Mapping[str, Any]]:
        """The texts to a number from the newest on, as far as that moment, and those on the page that it is on.

        One whose time cannot be read is no end of them. Raises OSError where they go on, and cannot be read on.
        """
        own = f"/2010-04-01/Accounts/{quote(self._account_sid)}/Messages.json"
        page = api.ask("GET", own, {"To": number, "PageSize": str(_PAGE)})
        for _ in range(_PAGES):
            texts = listed(page, "messages")
            yield from texts
            made = [times.rfc2822_or_none(text.get("date_created")) for text in texts]
            following = page.get("next_page_uri")
            if not isinstance(following, str) or any(at is not None and at < moment for at in made):
                return
            if not following.startswith(own + "?"):
                raise OSError(0, "the answer leads to another place")
            page = api.ask("GET", following)
        raise OSError(0, f"it has {_PAGE * _PAGES} or more texts to that number since")

    async def check(self, api: Api, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """By the account: docs/iam/api/account."""
        reply = await api.look(f"/2010-04-01/Accounts/{quote(self._account_sid)}.json")
        record = reply.record()
        if reply.status != 200 or "status" not in record:
            yield refused(reply, f"{record['code']} {record.get('message', '')}" if "code" in record else "")
            return
        yield ok("key", f"it belongs to account {record.get('friendly_name', self._account_sid)}")
        if record["status"] != "active":
            yield failed("account", f"it is {record['status']}", "look at it: console.twilio.com.")
        elif record.get("type") == "Trial":
            yield failed("account", "it is on trial: only verified numbers are reached", "upgrade it.")
        for sender in dict.fromkeys(self._own(sender) for sender in senders or ("",)):
            yield await self._sender_checked(api, sender)

    def _own(self, sender: str) -> str:
        """What a text without a sender of its campaign's goes out by; "" for the messaging service, or nothing."""
        return sender or ("" if self._messaging_service_sid else self._sender)

    async def _sender_checked(self, api: Api, sender: str) -> Checked:
        """By the account's numbers (docs/phone-numbers/api/incomingphonenumber-resource); names have no list."""
        if not sender:
            return await self._service(api)
        if not sender.startswith("+"):
            return not_asked(sender, "Twilio has no list of names that may send")
        path = f"/2010-04-01/Accounts/{quote(self._account_sid)}/IncomingPhoneNumbers.json"
        reply = await api.look(path, {"PhoneNumber": sender})
        numbers = reply.record().get("incoming_phone_numbers")
        if reply.status != 200 or not isinstance(numbers, list):
            return not_asked(sender, f"HTTP {reply.status}: {reply.shown()}")
        found = [one for one in numbers if isinstance(one, dict) and one.get("phone_number") == sender]
        if not found:
            return failed(about(sender), "it is no number of this account", "buy it, or name another one.")
        able = found[0].get("capabilities")
        if isinstance(able, dict) and not (able.get("sms") or able.get("SMS")):
            return failed(about(sender), "it cannot send texts", "name another one.")
        return ok(about(sender), "it is a number of this account")

    async def _service(self, api: Api) -> Checked:
        """By the messaging service: docs/messaging/api/service-resource."""
        sid = self._messaging_service_sid
        if not sid:
            to_do = "name `sender` or `messaging_service_sid` in the section, or `from` in the campaign."
            return failed("sender", "neither the campaign nor the section names one", to_do)
        what = f"service {sid}"
        reply = await api.look(_MESSAGING.sub("//messaging.", api.base_url) + f"/v1/Services/{quote(sid)}")
        if reply.status == 200:
            return ok(what, f"it is there: {reply.record().get('friendly_name', sid)}")
        if reply.status == 404:
            return failed(what, "this account has no such messaging service", "mend messaging_service_sid.")
        return cannot_tell(what, f"HTTP {reply.status}: {reply.shown()}")


def _is_like(text: Mapping[str, Any], sought: Sought) -> bool:
    """Whether it was made by us, for this number, with these words."""
    ours = text.get("direction") == "outbound-api" and text.get("to") == sought.recipient
    return ours and text.get("body") == sought.content.decode()
