"""What a relay tells when it is asked about itself: it is there, it knows us; and that no recipient is ever named."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from sendctl.providers.checks import Checked
from tests.providers.smtp import world
from tests.smtp_double import write_certificates

LOGIN = {"username": "user", "password": "s3nt1nel-Passw0rd"}
NEWS = "news@shop.example"


def checked(folder: Path, *rules: dict[str, Any], senders: tuple[str, ...] = (), settings: Any = None,
            **options: Any) -> tuple[list[Checked], list[str]]:  # fmt: skip
    """What was told, and the lines that the relay was sent."""

    async def main() -> list[Checked]:
        async with world.server(folder, *rules, **options) as double:
            relay = world.provider(double.port, **({"host": "localhost"} | (settings or {})))
            found = [line async for line in relay.check(senders)]
            await relay.close()
            return found

    found = asyncio.run(main())
    heard = world.heard(folder)
    assert not [line for line in heard if line.startswith(("RCPT", "DATA"))]
    assert world.rows(folder) == []
    return found, [line.split()[0] for line in heard]


def test_a_relay_that_knows_us_is_told_goodbye(tmp_path: Path) -> None:
    files = write_certificates(tmp_path)
    settings = {"tls": "starttls", "ca_file": str(files.ca_file), **LOGIN}
    (line,), heard = checked(
        tmp_path / "relay", settings=settings, starttls=True, cert=files.cert_file, key=files.key_file,
        auth="user:s3nt1nel-Passw0rd",
    )  # fmt: skip
    assert (line.what, line.standing) == ("connection", "ok")
    assert line.said.endswith("STARTTLS, as user")
    assert heard == ["EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT"]


def test_a_relay_without_tls_and_login_is_said_to_be_so(tmp_path: Path) -> None:
    (line,), _ = checked(tmp_path)
    assert line.said.endswith("no TLS, without a login")


@pytest.mark.parametrize(
    ("rule", "settings", "passing", "advice"),
    [
        ({"at": "auth", "do": "reply:535 5.7.8 no"}, LOGIN, False, "username"),
        ({"at": "auth", "do": "reply:454 4.7.0 later"}, LOGIN, True, "username"),
        ({"at": "banner", "do": "reply:554 5.7.1 not you"}, {}, False, ""),
        ({"at": "connect", "do": "close"}, {}, True, ""),
    ],
)
def test_a_relay_that_does_not_let_us_in_says_why(
    tmp_path: Path, rule: dict[str, Any], settings: dict[str, str], passing: bool, advice: str
) -> None:
    (line,), _ = checked(tmp_path, rule, senders=(NEWS,), settings=settings, auth="user:x" if settings else "")
    assert (line.what, line.standing, line.passing) == ("connection", "failed", passing)
    assert advice in line.to_do
    assert LOGIN["password"] not in repr(line)


def test_a_relay_that_is_not_there_may_come_back() -> None:
    async def main(port: int) -> list[Checked]:
        return [line async for line in world.provider(port).check([NEWS])]

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        (line,) = asyncio.run(main(held.getsockname()[1]))
    assert (line.standing, line.passing) == ("failed", True)
    assert "host" in line.to_do


def test_a_certificate_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (line,), heard = checked(tmp_path, settings={"tls": "starttls", "ca_file": str(tmp_path / "none.pem")})
    assert (line.standing, line.passing, heard) == ("failed", False, [])


@pytest.mark.parametrize(("reply", "standing"), [("550 5.7.1 not yours", "failed"), ("451 4.3.0 later", "cannot tell")])
def test_a_sender_that_mail_refuses_is_refused_and_the_next_is_asked_about(
    tmp_path: Path, reply: str, standing: str
) -> None:
    rule = {"at": "mail", "do": f"reply:{reply}", "first": 1}
    found, heard = checked(tmp_path, rule, senders=(NEWS, "other@shop.example"))
    assert [(line.what, line.standing) for line in found[1:]] == [
        (f"sender {NEWS}", standing), ("sender other@shop.example", "cannot tell"),
    ]  # fmt: skip
    assert reply[4:] in found[1].said
    assert heard == ["EHLO", "MAIL", "RSET", "MAIL", "RSET", "QUIT"]


def test_a_sender_that_is_not_ascii_needs_a_relay_that_takes_it(tmp_path: Path) -> None:
    sender = "grüße@shop.example"
    found, _ = checked(tmp_path / "a", senders=(sender,))
    assert found[1].standing == "cannot tell"
    found, heard = checked(tmp_path / "b", senders=(sender,), extensions=("SIZE 1000",))
    assert (found[1].standing, heard) == ("failed", ["EHLO", "QUIT"])


def test_nothing_that_is_no_address_reaches_the_relay(tmp_path: Path) -> None:
    found, heard = checked(tmp_path, senders=("a@shop.example>\r\nRCPT TO:<b@x.example",))
    assert (found[1].standing, heard) == ("failed", ["EHLO", "QUIT"])


@pytest.mark.parametrize("fault", ["close", "silence", "reply:nonsense"])
def test_a_connection_that_breaks_meanwhile_is_no_verdict_about_the_sender(tmp_path: Path, fault: str) -> None:
    found, _ = checked(tmp_path, {"at": "mail", "do": fault}, senders=(NEWS,), settings={"reply_timeout_s": 0.1})
    assert [(line.what, line.standing, line.passing) for line in found[1:]] == [("connection", "failed", True)]
