"""Events of SES that Amazon SNS posts: RSA over the parts of a message, with a certificate of Amazon's.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html. The certificate is the one in
`sns_certificate_file`, or the one at SigningCertURL, if that is SNS itself in the topic's own region.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509 import Certificate, load_pem_x509_certificate

from sendctl.providers.events import ses as events
from sendctl.providers.events.line import OtherForm, text
from sendctl.providers.hooks.envelope import Envelope, Opened, Refused, check_near, opened
from sendctl.providers.hooks.section import Section

# The time is that of publishing. A delivery policy tries again for an hour at most (sns-message-delivery-retries).
WITHIN_S = 3600.0 + 300.0

_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_HASHES = {"1": SHA1, "2": SHA256}


def verify(envelope: Envelope, section: Section) -> None:
    """Raises Refused, OtherForm, SecretMissing, CertificateAway."""
    topic = section.text("sns_topic_arn")
    if envelope.headers.get("x-amz-sns-rawdelivery") == "true":
        raise Refused("raw message delivery leaves the signature out: turn it off for this subscription")
    message = envelope.record()
    if text(message, "TopicArn") != topic:
        raise Refused("it is of another topic than sns_topic_arn")
    moment = _moment(text(message, "Timestamp"))
    certificate = _certificate(message, topic, section)
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        raise Refused("the certificate was not valid at the time of the message: another sns_certificate_file, or none")
    _check(message, certificate)
    check_near(envelope, moment, WITHIN_S)


def _check(message: Mapping[str, Any], certificate: Certificate) -> None:
    key, version = _key(certificate), text(message, "SignatureVersion")
    if version not in _HASHES or not isinstance(key, RSAPublicKey):
        raise Refused(f"signatures of version {version[:20]!r} are not known here: 1 and 2 are")
    try:
        signature = base64.b64decode(text(message, "Signature"), validate=True)
        # SHA-1 is what version 1 has: forging it would take a second message with the same hash, not any two.
        key.verify(signature, _signed(message), PKCS1v15(), _HASHES[version]())
    except (InvalidSignature, binascii.Error):
        raise Refused("Signature is not that of the certificate: it is not from Amazon, or was changed") from None


def _key(certificate: Certificate) -> CertificatePublicKeyTypes | None:
    """None where it has a key of a kind that nobody here knows."""
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _signed(message: Mapping[str, Any]) -> bytes:
    """What is signed: names and values of these parts by turns, each with a line feed; a Subject only where one is."""
    kind = text(message, "Type")
    if kind not in _SIGNED:
        raise OtherForm(f"{kind[:40]!r} is no type of message that SNS posts")
    given = [name for name in _SIGNED[kind] if name != "Subject" or message.get(name) is not None]
    return "".join(f"{name}\n{text(message, name)}\n" for name in given).encode()


def _certificate(message: Mapping[str, Any], topic: str, section: Section) -> Certificate:
    pinned = section.file("sns_certificate_file")
    found = section.fetched(_address(text(message, "SigningCertURL"), topic)) if pinned is None else pinned
    try:
        return load_pem_x509_certificate(found)
    except ValueError:
        if pinned is not None:
            raise section.unusable("sns_certificate_file", "names no certificate in PEM form") from None
        raise Refused("there is no certificate at SigningCertURL") from None


def _address(url: str, topic: str) -> str:
    """Raises Refused unless it is of SNS in the region of the topic: whoever forges names another host."""
    parts = [*topic.split(":"), "", "", "", ""]  # arn:PARTITION:sns:REGION:ACCOUNT:NAME
    host = f"sns.{parts[3]}.amazonaws.com{'.cn' if parts[1] == 'aws-cn' else ''}"
    found = urlsplit(url)
    if found.scheme != "https" or found.netloc != host or not found.path.endswith(".pem") or found.query:
        raise Refused(f"SigningCertURL is no certificate at https://{host}/")
    return url


def _moment(said: str) -> datetime:
    try:
        return datetime.fromisoformat(said).astimezone(UTC)
    except (ValueError, OverflowError):
        raise OtherForm(f"{said[:40]!r} is no time") from None


def read(envelope: Envelope) -> Opened:
    """Raises OtherForm. A subscription is confirmed by a person, who knows whether it was asked for."""
    message = envelope.record()
    match text(message, "Type"):
        case "SubscriptionConfirmation":
            return Opened([], ignored=1, notice=f"SNS asks to confirm the subscription to {text(message, 'TopicArn')}:"
                                                f" open {text(message, 'SubscribeURL')}")  # fmt: skip
        case "UnsubscribeConfirmation":
            return Opened([], ignored=1, notice=f"the subscription to {text(message, 'TopicArn')} has ended: nothing"
                                                " more comes from it")  # fmt: skip
    try:
        told = json.loads(text(message, "Message"))
    except (ValueError, RecursionError):
        told = None
    # "Successfully validated SNS topic for Amazon SES event publishing." is what a new destination says first.
    lines = events.lines(told) if isinstance(told, dict) else []
    # What an identity tells by itself has no tags: whose it is may be known only when the outcome is.
    return opened(lines, "now" if all("message_id" in line for line in lines) else "later")
