"""Opens envelopes: finds the section and the service of each, checks who sent it, and reads what it says."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

from sendctl.providers.hooks.envelope import Envelope, Opened, Refused
from sendctl.providers.hooks.section import Fetch, Section, fetch
from sendctl.settings import ProviderTable

_WITH_HOOKS = frozenset({"resend", "postmark", "sendgrid", "mailgun", "ses", "twilio"})


class _Service(Protocol):
    """What each file of this folder has."""

    def verify(self, envelope: Envelope, section: Section) -> None: ...
    def read(self, envelope: Envelope) -> Opened: ...


class Opener:
    """The providers of this host, as far as their webhooks go. `environ` is where `*_env` secrets are looked up."""

    def __init__(
        self, tables: Mapping[str, ProviderTable], environ: Mapping[str, str], fetch: Fetch = fetch
    ) -> None:  # fmt: skip
        self._tables = tables
        self._environ = environ
        self._fetch = fetch
        self._fetched: dict[str, bytes] = {}
        self._sections: dict[str, Section] = {}

    def open(self, envelope: Envelope) -> Opened:
        """What an envelope says, once its signature has been found good.

        Raises Refused or OtherForm (both are ValueError); SecretMissing and CertificateAway where nobody can tell now.
        """
        table = self._tables.get(envelope.provider)
        if table is None:
            known = ", ".join(self._tables) or "none"
            raise Refused(f"there is no section [providers.{envelope.provider[:60]}] here, but {known}")
        service = _service(table.type)
        if service is None:
            raise Refused(f"[providers.{table.name}] is of type {table.type}, which has no webhooks")
        if table.name not in self._sections:
            self._sections[table.name] = Section(table, self._environ, self._certificate)
        service.verify(envelope, self._sections[table.name])
        return service.read(envelope)

    def _certificate(self, url: str) -> bytes:
        """Once for each address, as long as this command lasts."""
        if url not in self._fetched:
            self._fetched[url] = self._fetch(url)
        return self._fetched[url]


def _service(kind: str) -> _Service | None:
    """Imported when the first envelope of its kind is read: most commands read none."""
    return cast("_Service", import_module(f"sendctl.providers.hooks.{kind}")) if kind in _WITH_HOOKS else None
