"""Signatures that were made elsewhere: examples that services and their own libraries publish."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sendctl.providers.hooks import resend, sendgrid, twilio
from sendctl.providers.hooks.envelope import Envelope
from sendctl.providers.hooks.section import Section
from sendctl.settings import ProviderTable


def section(kind: str, environ: dict[str, str] | None = None, **options: object) -> Section:
    return Section(ProviderTable("name", kind, options), environ or {}, lambda url: b"")


def envelope(at: int, headers: dict[str, str], body: bytes, **more: Any) -> Envelope:
    return Envelope("name", datetime.fromtimestamp(at, UTC) + timedelta(seconds=3), headers, body, **more)


def test_svix() -> None:
    """docs.svix.com/receiving/verifying-payloads/how-manual."""
    headers = {
        "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "svix-timestamp": "1614265330",
        "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    known = section("resend", {"S": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, webhook_secret_env="S")
    resend.verify(envelope(1614265330, headers, b'{"test": 2432232314}'), known)


def test_sendgrid() -> None:
    """github.com/sendgrid/sendgrid-ruby, spec/sendgrid/helpers/eventwebhook: with the line end that SendGrid posts."""
    event = {
        "email": "hello@world.com",
        "event": "dropped",
        "reason": "Bounced Address",
        "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
        "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
        "timestamp": 1600112492,
    }
    body = json.dumps([event], separators=(",", ":")).encode() + b"\r\n"
    headers = {
        "x-twilio-email-event-webhook-timestamp": "1600112502",
        "x-twilio-email-event-webhook-signature": (
            "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
        ),
    }
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglS"
        "I8eNEc6wEA3F+g=="
    )
    posted = envelope(1600112502, headers, body)
    sendgrid.verify(posted, section("sendgrid", webhook_public_key=key))
    [line] = sendgrid.read(posted).lines
    assert (line["type"], line["provider_message_id"]) == ("bounced", "LRzXl_NHStOGhQ4kofSm_A")


def test_twilio() -> None:
    """github.com/twilio/twilio-python, tests/unit/test_request_validator.py."""
    headers = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    body = b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"
    known = section("twilio", {"T": "12345"}, auth_token_env="T")
    twilio.verify(envelope(0, headers, body, url="https://mycompany.com/myapp.php?foo=1&bar=2"), known)
