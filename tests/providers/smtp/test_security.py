"""TLS, AUTH and hostile replies: whatever is stripped, forged or injected, no secret and no message leaves."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from sendctl.providers.base import Outcome
from tests.providers.smtp import world
from tests.smtp_double import Certificates, write_certificates

SECRET = "s3nt1nel-Passw0rd"
LOGIN = {"username": "user", "password": SECRET}
AUTH = f"user:{SECRET}"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("tls"))


def _try(
    folder: Path, *rules: dict[str, Any], settings: dict[str, Any], message: Any = None, **options: Any
) -> tuple[Outcome, list[dict[str, Any]]]:
    """One submission; returns its outcome and every command the server heard, with whether TLS was on."""

    async def main() -> Outcome:
        async with world.server(folder, *rules, **options) as double:
            relay = world.provider(double.port, **({"host": "localhost", "tls": "starttls"} | settings))
            outcome, _ = await world.submit(relay, message)
            await relay.close()
            return outcome

    outcome = world.run(main())
    return outcome, [json.loads(line) for line in world.lines(folder / "heard")]


def _tls(certificates: Certificates) -> dict[str, Path]:
    return {"cert": certificates.cert_file, "key": certificates.key_file}


@pytest.mark.parametrize("mechanisms", ["PLAIN LOGIN", "PLAIN", "LOGIN", "CRAM-MD5 LOGIN"])
@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_a_verified_server_gets_the_password_and_the_message_inside_tls(
    tmp_path: Path, certificates: Certificates, mode: str, mechanisms: str
) -> None:
    settings = {"tls": mode, "ca_file": str(certificates.ca_file), **LOGIN}
    options = {"starttls": mode == "starttls", "tls": mode == "tls", "auth": AUTH, "auth_mechanisms": mechanisms}
    outcome, heard = _try(tmp_path, settings=settings, **options, **_tls(certificates))
    assert outcome.kind == "accepted", outcome.text
    assert all(each["tls"] for each in heard if each["line"].split()[0] not in ("EHLO", "STARTTLS"))


def test_a_large_body_survives_tls(tmp_path: Path, certificates: Certificates) -> None:
    content = b"A: b\r\n\r\n" + b".line\r\n" * 300_000
    outcome, _ = _try(
        tmp_path,
        settings={"ca_file": str(certificates.ca_file)},
        message=world.outgoing(content=content),
        starttls=True,
        **_tls(certificates),
    )
    assert outcome.kind == "accepted"
    assert json.loads(world.lines(tmp_path / "log")[0])["size"] == len(content)


STRIPPED = {
    "not offered": ([], {"starttls": False}, "halted"),
    "454": ([{"at": "starttls", "do": "reply:454 4.7.0 not now"}], {}, "untouched"),
    "502": ([{"at": "starttls", "do": "reply:502 5.5.1 what"}], {}, "halted"),
    "injected reply": ([{"at": "starttls", "do": "reply:220 go\n250-x\n250 AUTH PLAIN"}], {}, "halted"),
    "injected half a reply": ([{"at": "starttls", "do": "reply:220 go\n250-AUTH PLAIN"}], {}, "halted"),
    "plain text instead of a handshake": ([{"at": "tls", "do": "reply:250 AUTH PLAIN"}], {}, "halted"),
    "closed instead of a handshake": ([{"at": "tls", "do": "close"}], {}, "untouched"),
    "reset instead of a handshake": ([{"at": "tls", "do": "reset"}], {}, "untouched"),
    "malformed": ([{"at": "starttls", "do": "reply:go"}], {}, "halted"),
}


@pytest.mark.parametrize("vector", STRIPPED)
def test_a_stripped_tls_sees_no_auth_and_no_mail(tmp_path: Path, certificates: Certificates, vector: str) -> None:
    rules, changed, kind = STRIPPED[vector]
    options = {"starttls": True, "auth": AUTH, **_tls(certificates)} | changed
    outcome, heard = _try(tmp_path, *rules, settings={"ca_file": str(certificates.ca_file), **LOGIN}, **options)
    assert (outcome.kind, outcome.phase, outcome.scope, outcome.error_class) == (kind, "untouched", "provider", "tls")
    _assert_nothing_said(heard)


def test_a_port_that_does_not_begin_with_tls_is_not_called_an_attack(tmp_path: Path) -> None:
    """Whoever mistakes 587 for 465 gets the word that helps, whichever side speaks first."""
    outcome, heard = _try(tmp_path, settings={"tls": "tls"}, starttls=True, **_tls(write_certificates(tmp_path / "c")))
    assert (outcome.kind, outcome.phase, outcome.error_class) == ("halted", "untouched", "tls")
    assert "injected" not in outcome.text
    assert 'does it want tls = "starttls"?' in outcome.text
    assert not [each for each in heard if each["line"].startswith(("EHLO", "MAIL"))]


def _assert_nothing_said(heard: list[dict[str, Any]]) -> None:
    assert {each["line"].split()[0] for each in heard} <= {"EHLO", "STARTTLS"}
    assert SECRET not in json.dumps(heard)


@pytest.mark.parametrize("mode", ["starttls", "tls"])
@pytest.mark.parametrize("flaw", ["unknown authority", "other name", "expired"])
def test_a_certificate_that_does_not_verify_halts_before_auth(
    tmp_path: Path, certificates: Certificates, mode: str, flaw: str
) -> None:
    host = "other.example" if flaw == "other name" else "localhost"
    shown = write_certificates(tmp_path / "flawed", host=host, expired=flaw == "expired")
    trusted = certificates if flaw == "unknown authority" else shown
    settings = {"tls": mode, "ca_file": str(trusted.ca_file), **LOGIN}
    options = {"starttls": mode == "starttls", "tls": mode == "tls", "auth": AUTH}
    outcome, heard = _try(tmp_path, settings=settings, **options, **_tls(shown))
    assert (outcome.kind, outcome.phase, outcome.scope, outcome.error_class) == (
        "halted",
        "untouched",
        "provider",
        "tls",
    )
    assert "certificate" in outcome.text
    _assert_nothing_said(heard)


def test_an_unreadable_ca_file_halts(tmp_path: Path) -> None:
    outcome, heard = _try(tmp_path, settings={"ca_file": str(tmp_path / "none.pem")})
    assert (outcome.kind, outcome.error_class) == ("halted", "tls")
    assert heard == []


@pytest.mark.parametrize("mechanisms", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (None, "halted"),  # the double's own 535
        ({"at": "auth", "do": "reply:530 5.7.0 required"}, "halted"),
        ({"at": "auth", "do": "reply:454 4.7.0 later"}, "untouched"),
        ({"at": "auth", "do": "reply:421 4.3.2 closing"}, "untouched"),
        ({"at": "auth", "do": "reply:250 what"}, "untouched"),
        ({"at": "auth", "do": "close"}, "untouched"),
        ({"at": "auth", "do": "reset"}, "untouched"),
    ],
)
def test_refused_credentials_halt_and_trouble_does_not(
    tmp_path: Path, mechanisms: str, rule: dict[str, str] | None, kind: str
) -> None:
    rules = [rule] if rule else []
    settings = {"tls": "none", "username": "user", "password": "wrong"}
    outcome, heard = _try(tmp_path, *rules, settings=settings, auth=AUTH, auth_mechanisms=mechanisms)
    assert (outcome.kind, outcome.phase, outcome.scope, outcome.error_class) == (kind, "untouched", "provider", "auth")
    assert not [each for each in heard if each["line"].startswith("MAIL")]


def test_a_server_without_a_mechanism_of_ours_halts(tmp_path: Path) -> None:
    outcome, _ = _try(tmp_path, settings={"tls": "none", **LOGIN}, auth=AUTH, auth_mechanisms="CRAM-MD5 XOAUTH2")
    assert (outcome.kind, outcome.error_class) == ("halted", "auth")
    assert "CRAM-MD5 XOAUTH2" in outcome.text


def test_a_server_that_echoes_the_secret_does_not_get_it_into_the_outcome(tmp_path: Path) -> None:
    echoed = base64.b64encode(f"\0user\0{SECRET}".encode()).decode()
    rule = {"at": "auth", "do": f"reply:500 5.5.1 unknown: AUTH PLAIN {echoed} ({SECRET})"}
    outcome, _ = _try(tmp_path, rule, settings={"tls": "none", **LOGIN}, auth=AUTH)
    assert outcome.kind == "halted"
    assert SECRET not in outcome.text
    assert echoed not in outcome.text


def test_escape_codes_in_a_reply_come_out_as_text(tmp_path: Path) -> None:
    rule = {"at": "rcpt", "do": "reply:550 5.1.1 \x1b[2J\x07\x85\u202eevil\u2066\r inside"}
    outcome, _ = _try(tmp_path, rule, settings={"tls": "none"})
    assert outcome.kind == "refused"
    assert outcome.text == r"550 5.1.1 \x1b[2J\x07\x85\u202eevil\u2066\r inside"


def test_nobody_listening_is_a_failed_connect(tmp_path: Path) -> None:
    async def main() -> Outcome:
        async with world.server(tmp_path) as double:
            port = double.port
        outcome, mark = await world.submit(world.provider(port))
        assert mark.calls == []
        return outcome

    outcome = world.run(main())
    assert (outcome.kind, outcome.phase, outcome.scope, outcome.error_class) == (
        "untouched",
        "untouched",
        "provider",
        "connect",
    )


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70 + ".invalid"])
def test_a_name_that_does_not_resolve_is_a_dns_failure(host: str) -> None:
    async def main() -> Outcome:
        return (await world.submit(world.provider(25, host=host)))[0]

    outcome = world.run(main())
    assert (outcome.kind, outcome.scope, outcome.error_class) == ("untouched", "provider", "dns")


def test_the_password_is_not_in_the_settings_text() -> None:
    relay = world.provider(25, **LOGIN)
    assert not re.search(SECRET, repr(vars(relay)))
