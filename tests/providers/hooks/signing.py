"""Requests as services sign them, and the sections that check them: made here from the services' descriptions.

Secrets and keys are made anew in each run; SNS has a certificate of its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from sendctl.providers.hooks.envelope import Envelope
from sendctl.settings import ProviderTable

NOW = datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)
SECRETS = {
    "RESEND": "whsec_" + base64.b64encode(b"a secret of twenty-four!").decode(),
    "MAILGUN": "key-of-mailgun",
    "POSTMARK": "pass:word of postmark",
    "TWILIO": "token-of-twilio",
}
USERNAME = "sendctl"
URL = "https://hooks.shop.example/sendctl/texts"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:ses-events"
CERTIFICATE_URL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123abcd.pem"


@dataclass(frozen=True, slots=True)
class Posted:
    """A request before it is written down; `line` is what a receiver writes."""

    provider: str
    headers: Mapping[str, str]
    body: bytes
    url: str = ""
    received_at: datetime = NOW

    def envelope(self) -> Envelope:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Envelope(self.provider, self.received_at, headers, self.body, self.url)

    def line(self, **more: object) -> str:
        fields = {
            "provider": self.provider, "received_at": self.received_at.isoformat(), "headers": dict(self.headers),
            "url": self.url, "method": "POST", "body": self.body.decode(),
        }  # fmt: skip
        return json.dumps(fields | more) + "\n"

    def without(self, header: str) -> Posted:
        return replace(self, headers={name: value for name, value in self.headers.items() if name != header})

    def having(self, header: str, value: str) -> Posted:
        return replace(self, headers={**self.headers, header: value})


def body_of(record: object) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def seconds(moment: datetime) -> str:
    return str(int(moment.timestamp()))


def resend(record: object, *, ident: str = "msg_1", at: datetime = NOW, secret: str = SECRETS["RESEND"]) -> Posted:
    body = body_of(record)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{ident}.{seconds(at)}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    headers = {"Svix-Id": ident, "Svix-Timestamp": seconds(at), "Svix-Signature": signature}
    return Posted("letters", headers, body)


def mailgun(
    event: object, *, at: datetime = NOW, token: str = "t" * 50, secret: str = SECRETS["MAILGUN"]
) -> Posted:  # fmt: skip
    signature = hmac.new(secret.encode(), (seconds(at) + token).encode(), hashlib.sha256).hexdigest()
    signed = {"timestamp": seconds(at), "token": token, "signature": signature}
    return Posted("guns", {"Content-Type": "application/json"}, body_of({"signature": signed, "event-data": event}))


@cache
def curve_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_key(key: ec.EllipticCurvePrivateKey) -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def sendgrid(events: object, *, at: datetime = NOW, key: ec.EllipticCurvePrivateKey | None = None) -> Posted:
    body = body_of(events) + b"\r\n"
    signature = (key or curve_key()).sign(seconds(at).encode() + body, ec.ECDSA(SHA256()))
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": seconds(at),
    }
    return Posted("grid", headers, body)


def postmark(record: object, *, username: str = USERNAME, password: str = SECRETS["POSTMARK"]) -> Posted:
    credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
    return Posted("marks", {"Authorization": f"Basic {credentials}"}, body_of(record))


def twilio(fields: Mapping[str, str], *, url: str = URL, token: str = SECRETS["TWILIO"]) -> Posted:
    told = url + "".join(f"{name}{fields[name]}" for name in sorted(fields))
    signature = base64.b64encode(hmac.new(token.encode(), told.encode(), hashlib.sha1).digest()).decode()
    return Posted("texts", {"X-Twilio-Signature": signature}, urlencode(fields).encode(), url)


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def certificate(days: int = 365) -> bytes:
    """A certificate that begins a day before NOW, in PEM form."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(rsa_key().public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW - timedelta(days=1) + timedelta(days=days, hours=1))
    )
    return made.sign(rsa_key(), SHA256()).public_bytes(Encoding.PEM)


def sns(
    told: object, *, kind: str = "Notification", topic: str = TOPIC, version: str = "1", subject: str | None = None,
    at: datetime = NOW, url: str = CERTIFICATE_URL, **more: Any,
) -> Posted:  # fmt: skip
    message = {
        "Type": kind, "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": topic,
        "Message": told if isinstance(told, str) else json.dumps(told), "Timestamp": f"{at:%Y-%m-%dT%H:%M:%S.123Z}",
    } | more  # fmt: skip
    if subject is not None:
        message["Subject"] = subject
    names = sorted(message) if kind == "Notification" else [name for name in sorted(message) if name != "Subject"]
    signed = "".join(f"{name}\n{message[name]}\n" for name in names).encode()
    hashed = {"1": SHA1, "2": SHA256}.get(version, SHA256)()
    signature = base64.b64encode(rsa_key().sign(signed, PKCS1v15(), hashed)).decode()
    message |= {"SignatureVersion": version, "Signature": signature, "SigningCertURL": url}
    return Posted("amazon", {"x-amz-sns-message-type": kind}, body_of(message))


def sections(**more: Mapping[str, object]) -> dict[str, ProviderTable]:
    """A section for each service, with what checks its webhooks; `more` is what one of them says besides."""
    options: dict[str, tuple[str, dict[str, object]]] = {
        "letters": ("resend", {"webhook_secret_env": "RESEND"}),
        "guns": ("mailgun", {"webhook_signing_key_env": "MAILGUN"}),
        "grid": ("sendgrid", {"webhook_public_key": public_key(curve_key())}),
        "marks": ("postmark", {"webhook_username": USERNAME, "webhook_password_env": "POSTMARK"}),
        "texts": ("twilio", {"auth_token_env": "TWILIO"}),
        "amazon": ("ses", {"sns_topic_arn": TOPIC}),
        "relay": ("smtp", {}),
    }
    return {
        name: ProviderTable(name, kind, {**given, **more.get(name, {})}) for name, (kind, given) in options.items()
    }  # fmt: skip
