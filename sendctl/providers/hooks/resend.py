"""Resend's webhooks, which Svix signs: HMAC-SHA256 over the id, the time and the body.

https://docs.svix.com/receiving/verifying-payloads/how-manual, https://resend.com/docs/webhooks/verify-webhooks-requests
"""

from __future__ import annotations

import base64
import binascii
import hmac

from sendctl.providers.events import resend as events
from sendctl.providers.hooks.envelope import Envelope, Opened, Refused, check_fresh, opened, same
from sendctl.providers.hooks.section import Section

WITHIN_S = 300.0  # Svix's own libraries refuse what is older; a copy that is sent again is signed anew
_PREFIX = "whsec_"


def verify(envelope: Envelope, section: Section) -> None:
    """Raises Refused, SecretMissing."""
    key = _key(section)
    ident, at = envelope.header("svix-id"), envelope.header("svix-timestamp")
    signed = b".".join((ident.encode(), at.encode(), envelope.body))
    wanted = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    # Several while a secret is changed, each with its version.
    given = [one.partition(",") for one in envelope.header("svix-signature").split()]
    if not any(same(value, wanted) for version, _, value in given if version == "v1"):
        raise Refused("svix-signature is not that of webhook_secret: another secret, or not the body that was signed")
    check_fresh(envelope, at, WITHIN_S)


def _key(section: Section) -> bytes:
    secret = section.secret("webhook_secret")
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:  # with an empty one anybody could sign
        raise section.unusable("webhook_secret", "is no signing secret of a webhook: they begin with whsec_")
    return key


def read(envelope: Envelope) -> Opened:
    """Raises OtherForm, Refused."""
    return opened(events.lines(envelope.record(), envelope.header("svix-id")))
