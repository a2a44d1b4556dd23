"""Mailgun's webhooks: the signature stands in the body, and covers a time and a random token, not the event.

So it proves that Mailgun made it at that time, and nothing about the rest: only TLS keeps that from being changed.
https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
"""

from __future__ import annotations

import hmac

from sendctl.providers.events import mailgun as events
from sendctl.providers.events.line import part, text
from sendctl.providers.hooks.envelope import Envelope, Opened, Refused, check_fresh, opened, same
from sendctl.providers.hooks.section import Section

# Mailgun tries again for 8 hours, and does not say whether it signs anew.
WITHIN_S = 9 * 3600.0


def verify(envelope: Envelope, section: Section) -> None:
    """Raises Refused, OtherForm, SecretMissing."""
    key = section.secret("webhook_signing_key")
    given = part(envelope.record(), "signature")
    at = text(given, "timestamp")
    wanted = hmac.digest(key.encode(), f"{at}{text(given, 'token')}".encode(), "sha256").hex()
    if not same(text(given, "signature"), wanted):
        raise Refused("the signature is not that of webhook_signing_key: another key, or it was changed on its way")
    check_fresh(envelope, at, WITHIN_S)


def read(envelope: Envelope) -> Opened:
    """Raises OtherForm."""
    return opened(events.lines(part(envelope.record(), "event-data")))
