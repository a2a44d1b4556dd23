"""What every pass is given: settings, clock, environment, and the store and journal folder opened on demand."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sendctl.calendar import Calendar
from sendctl.clock import Clock, SystemClock
from sendctl.definition import Definition
from sendctl.errors import SchemaMismatch, SchemaMissing
from sendctl.journal.home import Home, open_home
from sendctl.settings import Settings, redact
from sendctl.store import migrate
from sendctl.store.engine import Store, open_store
from sendctl.store.versions import newest_version


@dataclass
class Context:
    """One execution of a command."""

    settings: Settings
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def store(self) -> Store:
        """The store, with a schema of this program's version. Raises SchemaMissing, SchemaMismatch, Unreachable."""
        store = open_store(self.settings.store.url, self.clock)
        with store.read() as connection:
            found, wanted = migrate.version_of(connection), newest_version()
        if found is None:
            raise SchemaMissing(f"the store {redact(self.settings.store.url)} has no schema")
        if found != wanted:
            raise SchemaMismatch(*_mismatch(found, wanted))
        return store

    @cached_property
    def home(self) -> Home:
        """This host's journal folder."""
        return open_home(self.settings.journal.path, self.settings.journal.witnesses)

    def calendar(self, definition: Definition) -> Calendar:
        """When the messages of a campaign may go, by its file and by this host's settings."""
        return Calendar(definition, self.settings.limits.quiet)

    @property
    def hostname(self) -> str:
        return os.uname().nodename


def _mismatch(found: int, wanted: int) -> tuple[str]:
    if found > wanted:
        return (f"the store has schema version {found}, newer than this program's {wanted}: upgrade sendctl here",)
    return (f"the store has schema version {found}, this program needs {wanted}: run `sendctl migrate`",)


def who(environ: Mapping[str, str]) -> str:
    """The person who acts: login name, and the one behind sudo."""
    login = _login()
    behind = environ.get("SUDO_USER") or environ.get("DOAS_USER")
    return f"{login} (sudo by {behind})" if behind else login


def _login() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def started_by(environ: Mapping[str, str]) -> str:
    """How this process was started, for the run's record: who, and from a terminal, systemd, cron or elsewhere."""
    if environ.get("INVOCATION_ID"):
        way = "systemd"
    elif sys.stdin is not None and sys.stdin.isatty():
        way = "terminal"
    else:
        way = "no terminal (cron?)"
    return f"{who(environ)}, {way}"
