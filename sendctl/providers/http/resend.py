"""Resend: the one service here that knows an idempotency key, so that doubt about it can be settled by sending again.

https://resend.com/docs/api-reference/emails/send-email, .../errors, and /docs/dashboard/emails/idempotency-keys.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from sendctl.providers.base import Outcome, Outgoing, Sought
from sendctl.providers.checks import Checked, about, cannot_tell, domain_of, failed, ok
from sendctl.providers.facts import FACTS
from sendctl.providers.http import times, verdicts
from sendctl.providers.http.api import Api, Reply, Request, id_in, listed
from sendctl.providers.http.asking import not_asked, refused
from sendctl.providers.http.letter import parsed, written
from sendctl.providers.http.verdicts import Verdict, judged

BASE_URL = "https://api.resend.com"
_PAGE, _PAGES = 100, 20  # of any list
_AROUND = timedelta(hours=1)  # a claim lasts minutes, and clocks differ

# "Troubleshoot problems", /docs/api-reference/errors. A validation_error is looked at below.
_ERRORS: Mapping[str, Verdict] = {
    "missing_api_key": verdicts.BAD_KEY,
    "invalid_api_key": verdicts.BAD_KEY,
    "restricted_api_key": verdicts.BAD_KEY,
    "invalid_from_address": verdicts.BAD_SENDER,
    "invalid_access": verdicts.BAD_SENDER,
    "invalid_region": verdicts.BAD_SENDER,
    "security_error": verdicts.SUSPENDED,
    "daily_quota_exceeded": verdicts.QUOTA,
    "monthly_quota_exceeded": verdicts.QUOTA,
    "rate_limit_exceeded": verdicts.THROTTLED,
    "invalid_attachment": verdicts.BAD_CONTENT,
    "missing_required_field": verdicts.BAD_CONTENT,
    "invalid_parameter": verdicts.BAD_CONTENT,
    "invalid_idempotency_key": verdicts.MISUSED,
    "not_found": verdicts.MISUSED,
    "method_not_allowed": verdicts.MISUSED,
    # Somebody is sending under this key, or has sent something else under it: that is doubt, whoever it was.
    "concurrent_idempotent_requests": verdicts.UNCLEAR,
    "invalid_idempotent_request": verdicts.UNCLEAR,
    "application_error": verdicts.UNCLEAR,
    "internal_server_error": verdicts.UNCLEAR,
}


class Resend:
    """One account. The provider key is the idempotency key."""

    capabilities = FACTS["resend"].capabilities

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def headers(self) -> Mapping[str, str]:
        return {
            "authorization": f"Bearer {self._api_key}",
            "content-type": "application/json",
            "accept": "application/json",
        }

    def request(self, message: Outgoing) -> Request:
        letter = parsed(message.content)
        fields = {
            "from": written(letter.sender), "to": [message.recipient], "subject": letter.subject,
            "reply_to": written(letter.reply_to),
            "text": letter.text, "html": letter.html, "headers": letter.headers,
            "tags": [{"name": "sendctl_key", "value": message.key}],
        }  # fmt: skip
        given = {name: value for name, value in fields.items() if value}
        content = json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode()
        return Request("/emails", {"idempotency-key": message.key}, content)

    def outcome(self, reply: Reply) -> Outcome:
        record = reply.record()
        known, name, said = record.get("id"), record.get("name"), str(record.get("message", ""))
        if reply.status == 200 and isinstance(known, str) and known:
            return verdicts.accepted(reply, known)
        if reply.status >= 500:  # whatever it is called: it may have been taken before something broke
            return judged(reply, verdicts.UNCLEAR, f"{name}: {said}" if isinstance(name, str) else "")
        if name == "validation_error":
            return judged(reply, _invalid(reply.status, said), f"{name}: {said}")
        if isinstance(name, str) and name in _ERRORS:
            found = judged(reply, _ERRORS[name], f"{name}: {said}")
            return found._replace(retry_after_s=_until_tomorrow_s()) if name == "daily_quota_exceeded" else found
        return verdicts.unrecognised(reply)

    def find(self, api: Api, sought: Sought) -> str | None:
        """The newest e-mail to this address that has these contents, was made at that time, and is no other's.

        For when the key is forgotten: its list is not searched by anything, but looked through from its newest end.
        """
        letter, untimed = parsed(sought.content), None
        for entry in _made_since(api, sought.handed_over_at - _AROUND):
            known, made_at = id_in(entry, "id"), times.iso_or_none(entry.get("created_at"))
            if not known or not _is_to(entry, sought.recipient) or entry.get("subject") != letter.subject:
                continue
            if made_at is None:
                untimed = entry
            elif made_at <= (sought.last_at or sought.handed_over_at) + _AROUND:
                whole = api.ask("GET", f"/emails/{quote(known, safe='')}")
                same = (whole.get("text") or "", whole.get("html") or "") == (letter.text, letter.html)
                if same and not sought.is_another(known):
                    return known
        if untimed is not None:
            raise times.no_time(untimed, "created_at")
        return None

    async def check(self, api: Api, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """By its list of domains: /docs/api-reference/domains/list-domains. A key that may only send is told so."""
        reply = await api.look("/domains", {"limit": "100"})
        name = reply.record().get("name")
        if name == "restricted_api_key":
            yield ok("key", "it is valid; it may send, and do nothing else")
            for sender in senders:
                yield not_asked(sender, "a key that may only send may not ask for domains")
            return
        if reply.status != 200:
            yield refused(reply, f"{name}: {reply.record().get('message', '')}" if isinstance(name, str) else "")
            return
        domains = await _domains(api, reply)
        yield ok("key", "it is valid")
        for sender in senders:
            yield _sender(sender, domains.get(domain_of(sender)))


def _is_to(entry: Mapping[str, Any], recipient: str) -> bool:
    to = entry.get("to")
    return isinstance(to, list) and recipient in to


def _made_since(api: Api, moment: datetime) -> Iterator[Mapping[str, Any]]:
    """Its e-mails from the newest on, as far as that moment. One whose time cannot be read is no end of them.

    Raises OSError where they go on, and cannot be read on.
    """
    after = ""
    for _ in range(_PAGES):
        page = api.ask("GET", "/emails", {"limit": str(_PAGE)} | ({"after": after} if after else {}))
        entries = listed(page, "data")
        for entry in entries:
            made_at = times.iso_or_none(entry.get("created_at"))
            if made_at is not None and made_at < moment:
                return
            yield entry
        if not page.get("has_more"):
            return
        after = next((known for entry in reversed(entries) if (known := id_in(entry, "id"))), "")
        if not after:
            raise OSError(0, "its list of e-mails cannot be read on")
    raise OSError(0, f"it has {_PAGE * _PAGES} or more e-mails since")


async def _domains(api: Api, reply: Reply) -> dict[str, Mapping[str, Any]]:
    """All domains of the account by name, from the first page on. Raises OSError."""
    found: dict[str, Mapping[str, Any]] = {}
    for _ in range(_PAGES):
        page = listed(reply.record(), "data")
        found |= {str(domain.get("name", "")).lower(): domain for domain in page}
        if not page or reply.record().get("has_more") is not True:
            break
        reply = await api.look("/domains", {"limit": "100", "after": str(page[-1].get("id", ""))})
    return found


def _sender(sender: str, domain: Mapping[str, Any] | None) -> Checked:
    name, cure = domain_of(sender), "add and verify the domain: resend.com/domains."
    if domain is None:
        return failed(about(sender), f"{name} is no domain of this account", cure)
    status, able = str(domain.get("status", "")), domain.get("capabilities")
    if isinstance(able, dict) and able.get("sending") == "disabled":
        return failed(about(sender), f"sending is switched off for {name}", "switch it on: resend.com/domains.")
    if status == "verified":
        return ok(about(sender), f"{name} is verified")
    if status.startswith("partially"):  # some record of it is not, perhaps one for what comes in
        return cannot_tell(about(sender), f"{name} is {status}", "look at its records: resend.com/domains.")
    return failed(about(sender), f"{name} is not verified: {status}", cure)


def _invalid(status: int, said: str) -> Verdict:
    """403 is about the sender's domain (the page of errors); else the message names the field."""
    if status == 403:
        return verdicts.BAD_SENDER
    return verdicts.of_field(said, {"`from`": verdicts.BAD_SENDER, "`to`": verdicts.BAD_RECIPIENT})


def _until_tomorrow_s() -> float:
    """The daily quota is counted from midnight, UTC."""
    now = datetime.now(UTC)
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (tomorrow - now).total_seconds()
