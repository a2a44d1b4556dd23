"""Postmark's webhooks, which are not signed: they carry the credentials that their address was given.

https://postmarkapp.com/developer/webhooks/webhooks-overview ("Protecting your webhook")
"""

from __future__ import annotations

import base64
import binascii

from sendctl.providers.events import postmark as events
from sendctl.providers.hooks.envelope import Envelope, Opened, Refused, opened, same
from sendctl.providers.hooks.section import Section


def verify(envelope: Envelope, section: Section) -> None:
    """Raises Refused, SecretMissing. Source of the header's form: RFC 7617 section 2."""
    wanted = f"{section.text('webhook_username')}:{section.secret('webhook_password')}"
    scheme, _, credentials = envelope.header("authorization").partition(" ")
    try:
        given = base64.b64decode(credentials.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        given = ""
    if not same(given, wanted):
        raise Refused("authorization is not webhook_username with webhook_password")


def read(envelope: Envelope) -> Opened:
    """Raises OtherForm."""
    return opened(events.lines(envelope.record()))
