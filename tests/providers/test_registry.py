"""From configuration sections to providers: the right adapter, clear errors, nothing imported in vain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sendctl.errors import BadConfig
from sendctl.providers import registry
from sendctl.providers.base import Lookup, ProvesAbsence
from sendctl.providers.facts import FACTS
from sendctl.providers.maildir import MaildirProvider
from sendctl.providers.registry import build_provider
from sendctl.providers.smtp import SmtpProvider
from sendctl.settings import ProviderTable
from sendctl.settings.provider_options import CHANNELS, OPTIONS


def table(kind: str, **options: object) -> ProviderTable:
    return ProviderTable("primary", kind, options)


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


def test_every_type_that_a_section_may_have_has_an_adapter_and_no_other() -> None:
    assert list(registry._ADAPTERS) == list(OPTIONS)


def test_adapters_are_imported_only_when_asked_for() -> None:
    script = (
        "import sys, sendctl.providers.registry; "
        "print([name for name in ('asyncio', 'ssl', 'sendctl.providers.smtp', 'sendctl.providers.maildir') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_each_type_carries_what_the_settings_say_of_it(tmp_path: Path) -> None:
    """Nobody imports an adapter to ask; so the two must not differ."""
    assert {kind: facts.capabilities.channels for kind, facts in FACTS.items()} == CHANNELS
    texts = build_provider(table("file", path=str(tmp_path / "sms.jsonl")), {})
    assert texts.capabilities == FACTS["file"].capabilities
    assert isinstance(texts, Lookup)
    assert isinstance(texts, ProvesAbsence)
