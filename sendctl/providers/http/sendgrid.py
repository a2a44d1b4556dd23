"""SendGrid: no idempotency key. Its log of messages has our key in each entry, but is not searched by it.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send, .../errors, .../email-logs
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from sendctl.addresses import Mailbox
from sendctl.providers.base import Outcome, Outgoing, Sought
from sendctl.providers.checks import Checked, about, cannot_tell, domain_of, failed, is_within, ok
from sendctl.providers.facts import FACTS
from sendctl.providers.http import verdicts
from sendctl.providers.http.api import Api, Reply, Request, check_none, entries_of, id_in
from sendctl.providers.http.asking import not_asked, refused
from sendctl.providers.http.letter import parsed
from sendctl.providers.http.verdicts import Verdict, judged

BASE_URL = "https://api.sendgrid.com"
_MOST = "500"  # domains, or senders
_ENTRIES = 20  # each of them is a request more
_AROUND = timedelta(hours=1)  # clocks differ

_STATUS: Mapping[int, Verdict] = {
    401: verdicts.BAD_KEY,
    403: verdicts.BAD_SENDER,  # "The from address does not match a verified Sender Identity", or a key without scope
    404: verdicts.MISUSED,
    405: verdicts.MISUSED,
    413: verdicts.BAD_CONTENT,  # over 30 MB with its attachments
    415: verdicts.MISUSED,
}


class SendGrid:
    """One account. The provider key goes along as a custom argument, which its events repeat."""

    capabilities = FACTS["sendgrid"].capabilities

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def headers(self) -> Mapping[str, str]:
        return {
            "authorization": f"Bearer {self._api_key}", "content-type": "application/json",
            "accept": "application/json",
        }  # fmt: skip

    def request(self, message: Outgoing) -> Request:
        letter = parsed(message.content)
        bodies = [("text/plain", letter.text), ("text/html", letter.html)]  # in this order, says its reference
        fields: dict[str, Any] = {
            "personalizations": [{"to": [{"email": message.recipient}], "custom_args": {"sendctl": message.key}}],
            "from": _mailbox(letter.sender),
            "reply_to": _mailbox(letter.reply_to) if letter.reply_to else None,
            "subject": letter.subject,
            "content": [{"type": kind, "value": text} for kind, text in bodies if text],
            "headers": letter.headers,
        }
        given = {name: value for name, value in fields.items() if value}
        return Request("/v3/mail/send", {}, json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode())

    def outcome(self, reply: Reply) -> Outcome:
        known = reply.headers.get("x-message-id", "")
        if reply.status == 202 and known:
            return verdicts.accepted(reply, known)
        errors = reply.record().get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else None
        if reply.status == 429:  # also without errors: something before it may answer
            found = judged(reply, verdicts.THROTTLED, str(first.get("message", "")) if first else "")
            return found._replace(retry_after_s=_reset_s(reply))
        if first is None:
            return verdicts.unrecognised(reply)
        said, field = str(first.get("message", "")), str(first.get("field") or "")
        if reply.status == 400:
            return judged(reply, _invalid(field), f"{field}: {said}" if field else said)
        if reply.status not in _STATUS:
            return verdicts.unrecognised(reply)
        return judged(reply, _STATUS[reply.status], said)

    def find(self, api: Api, sought: Sought) -> str | None:
        """In two steps, for its log of messages knows the recipient, and each of its entries our custom argument.

        An entry that does not say what it carries may be ours: with one of these there is no absence.
        """
        asked = {"query": _since(sought), "limit": _ENTRIES}
        entries = entries_of(api.ask("POST", "/v3/logs", json=asked), "messages")
        strangers, silent = list[object](), False
        for entry in entries:
            known = id_in(entry, "sg_message_id")
            carried = _carried(api, known) if known else {}
            if carried.get("sendctl") == sought.key:
                return known
            strangers += [] if _is_to(entry, sought.recipient) else [entry]
            silent = silent or not carried
        if len(entries) >= _ENTRIES:
            raise OSError(0, f"it has {_ENTRIES} or more messages to that address within the hour")
        check_none(strangers)
        if silent:
            raise OSError(0, "its log has a message to that address that does not say whose it is")
        return None

    async def check(self, api: Api, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """By what the key may do: api-reference/api-key-permissions/retrieve-a-list-of-scopes."""
        reply = await api.look("/v3/scopes")
        scopes = reply.record().get("scopes")
        if reply.status != 200 or not isinstance(scopes, list):
            yield refused(reply, _said(reply))
            return
        if "mail.send" not in scopes:
            yield failed("key", "it is valid, and may not send", "give it the permission Mail Send.")
        else:
            yield ok("key", "it is valid, and may send")
        if senders:
            domains = await api.look("/v3/whitelabel/domains", {"limit": _MOST})
            singles = await api.look("/v3/verified_senders", {"limit": _MOST})
            for sender in senders:
                yield _sender(sender, domains, singles)


def _sender(sender: str, domains: Reply, singles: Reply) -> Checked:
    """By the account's domains, and its single senders: api-reference/domain-authentication, .../sender-verification.

    Whoever is verified in neither way is refused. A key may be allowed to ask for one of them or for none.
    """
    name = domain_of(sender)
    rows = domains.json() if domains.status == 200 else None
    rest = singles.record().get("results") if singles.status == 200 else None
    valid = {str(row.get("domain")).lower(): row.get("valid") for row in _records(rows)}
    if valid.get(name) is True:
        return ok(about(sender), f"{name} is authenticated")
    if any(str(row.get("from_email")).lower() == sender.lower() and row.get("verified") for row in _records(rest)):
        return ok(about(sender), "it is verified as a single sender")
    if not isinstance(rows, list) or not isinstance(rest, list):
        return not_asked(sender, "the key may not ask for the account's domains and senders")
    if any(is_within(name, domain) for domain in valid if valid[domain] is True):
        return cannot_tell(about(sender), f"a domain above {name} is authenticated, {name} itself is not")
    state = "is not authenticated yet" if name in valid else "is no domain of this account"
    cure = "authenticate the domain: app.sendgrid.com/settings/sender_auth."
    return failed(about(sender), f"{name} {state}, nor is the sender verified by itself", cure)


def _records(rows: object) -> list[Mapping[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _said(reply: Reply) -> str:
    errors = _records(reply.record().get("errors"))
    return str(errors[0].get("message", "")) if errors else ""


def _carried(api: Api, known: str) -> Mapping[str, Any]:
    """The custom arguments of a message, which its description lets out where there are none. Raises OSError."""
    carried = api.ask("GET", f"/v3/logs/{quote(known, safe='')}").get("custom_args")
    return carried if isinstance(carried, dict) else {}


def _is_to(entry: object, recipient: str) -> bool:
    return isinstance(entry, dict) and str(entry.get("to_email")).lower() == recipient.lower()


def _since(sought: Sought) -> str:
    """Raises OSError for an address that its query language cannot hold."""
    if re.search(r'["\\\x00-\x1f]', sought.recipient):
        raise OSError(0, "its log cannot be searched for an address with a quote or a backslash")
    first, last = (f"{sought.handed_over_at + by:%Y-%m-%dT%H:%M:%SZ}" for by in (-_AROUND, _AROUND))
    created = "sg_message_id_created_at"
    return f'to_email = "{sought.recipient}" AND {created} >= TIMESTAMP "{first}" AND {created} <= TIMESTAMP "{last}"'


def _mailbox(mailbox: Mailbox) -> dict[str, str]:
    return {"email": mailbox.address, "name": mailbox.display} if mailbox.display else {"email": mailbox.address}


def _invalid(field: str) -> Verdict:
    if field.startswith("from"):
        return verdicts.BAD_SENDER
    return verdicts.BAD_RECIPIENT if ".to" in field else verdicts.BAD_CONTENT


def _reset_s(reply: Reply) -> float | None:
    """`X-RateLimit-Reset` is the moment at which requests are taken again, in Unix time."""
    asked = verdicts.retry_after_s(reply)
    reset = reply.headers.get("x-ratelimit-reset", "")
    if asked is None and reset.isascii() and reset.isdecimal():
        return min(max(1.0, float(reset) - time.time()), verdicts.LONGEST_WAIT_S)
    return asked
