"""SendGrid's signed Event Webhook: ECDSA on P-256 over the time and the body, with a key whose public half is known.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from sendctl.providers.events import sendgrid as events
from sendctl.providers.events.line import Line, OtherForm
from sendctl.providers.hooks.envelope import Envelope, Opened, Refused, check_fresh
from sendctl.providers.hooks.section import Section

# SendGrid tries again for 24 hours, and does not say whether it signs anew.
WITHIN_S = 25 * 3600.0
_SIGNATURE, _TIME = "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"


def verify(envelope: Envelope, section: Section) -> None:
    """Raises Refused, SecretMissing."""
    key = _key(section)
    at, given = envelope.header(_TIME), envelope.header(_SIGNATURE)
    try:
        key.verify(base64.b64decode(given, validate=True), at.encode() + envelope.body, ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error):
        raise Refused(
            f"{_SIGNATURE} is not that of webhook_public_key: another key, or not the body that was signed"
        ) from None
    check_fresh(envelope, at, WITHIN_S)


def _key(section: Section) -> EllipticCurvePublicKey:
    """The key as SendGrid shows it, base64 of DER, or in PEM form."""
    text = section.text("webhook_public_key")
    try:
        pem = "-----BEGIN" in text
        found = load_pem_public_key(text.encode()) if pem else load_der_public_key(base64.b64decode(text))
    except (ValueError, UnsupportedAlgorithm):  # the latter of a curve that nobody here knows
        found = None
    if not isinstance(found, EllipticCurvePublicKey) or not isinstance(found.curve, SECP256R1):
        raise section.unusable("webhook_public_key", "is no verification key as SendGrid shows it (MFkw...)")
    return found


def read(envelope: Envelope) -> Opened:
    """The events of a list, good ones also beside one that is not of the form. Raises OtherForm."""
    posted = envelope.document()
    if not isinstance(posted, list):
        raise OtherForm("the body is not a list of events")
    lines, ignored, flaw = list[Line](), 0, ""
    for place, event in enumerate(posted, start=1):
        try:
            if not isinstance(event, dict):
                raise OtherForm("it is no object")
            found = events.lines(event)
        except OtherForm as error:
            flaw = flaw or f"event {place} of {len(posted)}: {error}"
            continue
        lines += found
        ignored += not found
    return Opened(lines, ignored=ignored, flaw=flaw)
