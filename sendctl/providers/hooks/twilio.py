"""Twilio's callbacks: HMAC-SHA1 with the account's token over the address that Twilio called and what it sent.

https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

from __future__ import annotations

import base64
import hmac
from urllib.parse import parse_qsl, urlsplit

from sendctl.providers.events import twilio as events
from sendctl.providers.events.line import OtherForm
from sendctl.providers.hooks.envelope import Envelope, Opened, Refused, opened, same
from sendctl.providers.hooks.section import Section

_PORTS = {"https": 443, "http": 80}


def verify(envelope: Envelope, section: Section) -> None:
    """Raises Refused, OtherForm, SecretMissing."""
    key = section.secret("auth_token").encode()
    given = envelope.header("x-twilio-signature")
    if not envelope.url:
        raise Refused("url is missing: Twilio signs the address that it called, so its receiver must write it down")
    pairs = sorted(set(_pairs(envelope))) if envelope.method != "GET" else []  # of a GET, the address has them
    sent = "".join(f"{name}{value}" for name, value in pairs)
    signatures = [hmac.digest(key, f"{url}{sent}".encode(), "sha1") for url in _spellings(envelope.url)]
    if not any(same(given, base64.b64encode(one).decode()) for one in signatures):
        raise Refused(
            "x-twilio-signature is not that of auth_token: another token, another url than Twilio was given, or not the"
            " body that was signed"
        )


def _spellings(url: str) -> list[str]:
    """The address as it is, and with or without the port that goes without saying: Twilio signs either."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return [url]
    usual = _PORTS.get(parts.scheme)
    if port is None and usual is not None:
        return [url, parts._replace(netloc=f"{parts.netloc}:{usual}").geturl()]
    if port == usual:
        return [url, parts._replace(netloc=parts.netloc.removesuffix(f":{port}")).geturl()]
    return [url]


def _pairs(envelope: Envelope) -> list[tuple[str, str]]:
    if envelope.method == "GET":
        return parse_qsl(urlsplit(envelope.url).query, keep_blank_values=True)
    try:
        return parse_qsl(envelope.body.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise OtherForm("the body is no form in UTF-8") from None


def read(envelope: Envelope) -> Opened:
    """Raises OtherForm."""
    return opened(events.lines(dict(_pairs(envelope)), envelope.received_at.isoformat()), of_others="later")
