"""From configuration sections to providers: the right adapter, clear errors, nothing imported in vain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sendctl.errors import BadConfig
from sendctl.providers.maildir import MaildirProvider
from sendctl.providers.registry import build_provider
from sendctl.providers.smtp import SmtpProvider
from sendctl.settings import ProviderTable


def table(kind: str, **options: object) -> ProviderTable:
    return ProviderTable("primary", kind, options, place="sendctl.toml:9:1")


def test_a_maildir_section_makes_a_maildir_provider(tmp_path: Path) -> None:
    provider = build_provider(table("maildir", path=str(tmp_path / "mail"), fsync=False), {})
    assert isinstance(provider, MaildirProvider)
    assert provider.name == "primary"
    assert not (tmp_path / "mail").exists()


def test_an_smtp_section_makes_an_smtp_provider() -> None:
    options = {"host": "mx.shop.example", "username": "app", "password_env": "MAIL_PASSWORD"}
    provider = build_provider(table("smtp", **options), {"MAIL_PASSWORD": "secret"})
    assert isinstance(provider, SmtpProvider)
    assert provider.name == "primary"


def test_a_missing_secret_is_named() -> None:
    with pytest.raises(BadConfig, match="MAIL_PASSWORD"):
        build_provider(table("smtp", host="mx", username="app", password_env="MAIL_PASSWORD"), {})


def test_an_unknown_type_names_the_nearest_and_all_known_ones() -> None:
    with pytest.raises(
        BadConfig, match=r"sendctl\.toml:9:1: \[providers\.primary\] has unknown type 'maildr'"
    ) as caught:
        build_provider(table("maildr"), {})
    assert "did you mean" in caught.value.hint
    assert "smtp, maildir" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "path"),
        ({"path": ""}, "path"),
        ({"path": 7}, "path"),
        ({"path": "/x", "fsync": "no"}, "fsync"),
        ({"path": "/x", "host": "y"}, "host"),
    ],
)
def test_wrong_maildir_options_are_named(options: dict[str, object], word: str) -> None:
    with pytest.raises(BadConfig, match=word):
        build_provider(table("maildir", **options), {})


def test_adapters_are_imported_only_when_asked_for() -> None:
    script = (
        "import sys, sendctl.providers.registry; "
        "print([name for name in ('asyncio', 'ssl', 'sendctl.providers.smtp', 'sendctl.providers.maildir') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
