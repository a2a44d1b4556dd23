"""What the tests of HTTP services share: a rendered message, a provider of each, one submission."""

from __future__ import annotations

import asyncio
from typing import Any

from sendctl.providers.base import Outcome, Outgoing
from sendctl.providers.registry import build_provider
from sendctl.settings import ProviderTable
from tests.http_double import API_KEY
from tests.providers.smtp.world import Mark, deadline

SECRETS = {
    "resend": "api_key", "postmark": "server_token", "sendgrid": "api_key", "mailgun": "api_key",
    "ses": "secret_access_key", "twilio": "auth_token",
}  # fmt: skip
OPTIONS: dict[str, dict[str, str]] = {
    "mailgun": {"domain": "mg.shop.example"}, "ses": {"region": "eu-central-1", "access_key_id": "AKIDOFTHEDOUBLE"},
    "twilio": {"account_sid": "AC1", "sender": "+15005550006"},
}  # fmt: skip
CONTENT = (
    b"From: =?utf-8?q?Caf=C3=A9_Ros=C3=A9?= <news@shop.example>\r\n"
    b"To: b@x.example\r\n"
    b"Reply-To: help@shop.example\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <k1@shop.example>\r\n"
    b"List-Unsubscribe: <https://shop.example/u/abc>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"MIME-Version: 1.0\r\n"
    b'Content-Type: multipart/alternative; boundary="b"\r\n'
    b"\r\n"
    b'--b\r\nContent-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    b"Gr=C3=BC=C3=9Fe, you.\r\n"
    b'--b\r\nContent-Type: text/html; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    b"<p>Gr=C3=BC=C3=9Fe</p>\r\n"
    b"--b--\r\n"
)


def outgoing(recipient: str = "b@x.example", **fields: Any) -> Outgoing:
    values = {"message_id": 1, "attempt": 1, "key": "k1", "provider": "api", "sender": "news@shop.example"} | fields
    return Outgoing(recipient=recipient, content=CONTENT, **values)


def text(recipient: str = "+4915112345678", **fields: Any) -> Outgoing:
    return outgoing(recipient, sender="", **fields)._replace(content="Grüße, {you}".encode())


def message_for(service: str, **fields: Any) -> Outgoing:
    """A message that this service carries; `bad=True`: to somebody it refuses."""
    bad = fields.pop("bad", False)
    if service == "twilio":
        return text("+4930000000" if bad else "+4915112345678", **fields)
    return outgoing("invalid@x.example" if bad else "b@x.example", **fields)


def provider(service: str, url: str, key: str = API_KEY, **options: Any) -> Any:
    table = ProviderTable(
        "api", service, {f"{SECRETS[service]}_env": "KEY", "base_url": url, **OPTIONS.get(service, {}), **options}
    )
    return build_provider(table, {"KEY": key})


def submit(
    one: Any, *messages: Outgoing, seconds: float = 20.0, mark: Mark | None = None
) -> list[tuple[Outcome, Mark]]:
    """Each message after the other, over one client that is closed at the end."""

    async def all_of_them() -> list[tuple[Outcome, Mark]]:
        found = []
        for message in messages or (outgoing(),):
            marked = mark or Mark()
            found.append((await one.submit(message, deadline(seconds), marked), marked))
        await one.close()
        return found

    return asyncio.run(all_of_them())
