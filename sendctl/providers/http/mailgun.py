"""Mailgun: takes a message as it is, with our Message-ID. It knows no idempotency key.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages (messages.mime)
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import quote

from sendctl.providers.base import Outcome, Outgoing, Sought
from sendctl.providers.checks import Checked, Standing, about, cannot_tell, domain_of, failed, is_within, ok
from sendctl.providers.facts import FACTS
from sendctl.providers.http import verdicts
from sendctl.providers.http.api import Api, Reply, Request, check_none, entries_of
from sendctl.providers.http.asking import refused
from sendctl.providers.http.verdicts import Verdict, judged

BASE_URL = "https://api.mailgun.net"  # https://api.eu.mailgun.net for domains of the EU region

_AFTER = re.compile(r"try again after (?:([0-9]+) seconds|([A-Z][a-z]+, [\w :+-]+))")

_STATUS: Mapping[int, Verdict] = {
    401: verdicts.BAD_KEY,
    402: verdicts.QUOTA,
    403: verdicts.SUSPENDED,
    404: verdicts.BAD_KEY,  # "Domain not found": the account does not have it, or not in this region
    413: verdicts.BAD_CONTENT,
    420: verdicts.THROTTLED,  # of recipients, in some time: mailgun-java issue 50
    429: verdicts.THROTTLED,
}


class Mailgun:
    """One sending domain of an account."""

    capabilities = FACTS["mailgun"].capabilities

    def __init__(self, api_key: str, domain: str) -> None:
        self._api_key = api_key
        self._domain = domain

    def headers(self) -> Mapping[str, str]:
        token = base64.b64encode(f"api:{self._api_key}".encode()).decode()
        return {"authorization": f"Basic {token}", "accept": "application/json"}

    def request(self, message: Outgoing) -> Request:
        boundary = f"sendctl-{message.key}"
        parts = [_field("to", message.recipient), _field("v:sendctl", message.key), _file(message.content)]
        content = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
        return Request(
            f"/v3/{quote(self._domain)}/messages.mime",
            {"content-type": f"multipart/form-data; boundary={boundary}"},
            content + b"--" + boundary.encode() + b"--\r\n",
        )

    def outcome(self, reply: Reply) -> Outcome:
        record = reply.record()
        known, said = record.get("id"), record.get("message")
        if reply.status == 200 and isinstance(known, str) and known:
            return verdicts.accepted(reply, known)
        if not isinstance(said, str):
            return verdicts.unrecognised(reply)
        if reply.status == 400:
            return judged(reply, _invalid(said), said)
        if reply.status not in _STATUS:
            return verdicts.unrecognised(reply)
        found = judged(reply, _STATUS[reply.status], said)
        return found._replace(retry_after_s=_wait_s(reply, said)) if reply.status in (420, 429) else found

    def find(self, api: Api, sought: Sought) -> str | None:
        """As it keeps its events: by the Message-ID, which is ours (api-reference/send/mailgun/events)."""
        asked = {"event": "accepted", "message-id": sought.message_id, "limit": "25"}
        events = entries_of(api.ask("GET", f"/v3/{quote(self._domain)}/events", asked), "items")
        # Whatever the filter let through: only what names this message proves anything.
        accepted = (item for item in events if isinstance(item, dict) and item.get("event") == "accepted")
        named = (item.get("message") for item in accepted)
        heads = (item.get("headers") for item in named if isinstance(item, dict))
        if any(isinstance(head, dict) and head.get("message-id") == sought.message_id for head in heads):
            return f"<{sought.message_id}>"
        check_none(events)
        return None

    async def check(self, api: Api, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """By the domain: api-reference/send/mailgun/domains (v4).

        A domain's sending key may do nothing but send (api-reference/mg-auth): it is asked to send to nobody, which is
        refused for the missing recipient where the key is good.
        """
        reply = await api.look(f"/v4/domains/{quote(self._domain)}")
        domain = reply.record().get("domain")
        if reply.status == 401:
            found = await self._sending_key(api)
            yield found
            for sender in senders if found.standing is Standing.OK else ():
                yield self._sender(sender)
            return
        if reply.status == 404:
            to_do = "mend domain; a domain of the EU region needs base_url = https://api.eu.mailgun.net."
            yield failed("key", f"this account has no domain {self._domain} in this region", to_do)
            return
        if reply.status != 200 or not isinstance(domain, dict):
            yield refused(reply, str(reply.record().get("message") or ""))
            return
        yield ok("key", "it is valid")
        yield self._domain_checked(str(domain.get("state")), str(domain.get("type")))
        for sender in senders:
            yield self._sender(sender)

    def _domain_checked(self, state: str, kind: str) -> Checked:
        if state != "active":
            return failed("domain", f"{self._domain} is {state}", "app.mailgun.com: verify its DNS records.")
        if kind == "sandbox":
            said = f"{self._domain} is a sandbox: it reaches authorised recipients only"
            return failed("domain", said, "name a domain of your own.")
        return ok("domain", f"{self._domain} is {state}")

    async def _sending_key(self, api: Api) -> Checked:
        path = f"/v3/{quote(self._domain)}/messages"
        reply = await api.look(path, headers={"content-type": "application/x-www-form-urlencoded"}, content=b"")
        if reply.status == 400:
            return ok("key", f"it is valid; it may send as {self._domain}, and do nothing else")
        return refused(reply, str(reply.record().get("message") or ""))

    def _sender(self, sender: str) -> Checked:
        """Mailgun takes any From; what its signature is for is the domain of the section (DMARC: RFC 7489 3.1)."""
        name = domain_of(sender)
        if is_within(name, self._domain) or is_within(self._domain, name):
            return ok(about(sender), f"Mailgun signs for {self._domain}")
        said = f"Mailgun takes it and signs for {self._domain}, which is not {name}: DMARC may fail"
        return cannot_tell(about(sender), said, "send as a domain that fits `from`.")


def _field(name: str, value: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def _file(content: bytes) -> bytes:
    head = (
        'Content-Disposition: form-data; name="message"; filename="message.eml"\r\nContent-Type: message/rfc822\r\n\r\n'
    )
    return head.encode() + content


def _wait_s(reply: Reply, said: str) -> float | None:
    """Its words say it: "try again after 120 seconds", or "... after Mon, 25 Aug 2025 07:00:31 UTC"."""
    asked, named = verdicts.retry_after_s(reply), _AFTER.search(said)
    if asked is not None or named is None:
        return asked
    return min(float(named[1]), verdicts.LONGEST_WAIT_S) if named[1] else verdicts.until_s(reply, named[2])


def _invalid(said: str) -> Verdict:
    """The message names the parameter."""
    named = {"'from'": verdicts.BAD_SENDER, "'to'": verdicts.BAD_RECIPIENT, "to parameter": verdicts.BAD_RECIPIENT}
    return verdicts.of_field(said, named)
