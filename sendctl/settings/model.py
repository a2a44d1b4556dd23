"""The settings as values. Defaults stand here and nowhere else; docs/configuration.md explains them.

Holds no provider's secret, and a store's URL, which may contain a password, is left out of every repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sendctl.durations import Rate
from sendctl.prices import Prices
from sendctl.settings.provider_options import CHANNELS

if TYPE_CHECKING:  # an idle pass reads settings, and needs nothing of a campaign
    from sendctl.definition import Window

MOST_WORKERS = 64


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where the ledger is: `url` in SQLAlchemy's form, `sqlite:////absolute/path` or `postgresql+psycopg://...`."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendSettings:
    """How `send-due` works on this host."""

    enabled: bool = False
    providers: tuple[str, ...] = ()  # in the order of fail-over
    # No claims after this; None is no bound. Cron starts a pass every minute: one that ends claiming before the next
    # begins keeps passes, and with them connections to the provider, from piling up.
    max_seconds: float | None = 55.0
    workers: int = 1
    deadline_s: float = 60.0  # for one message, over all its phases
    claim_s: float = 300.0  # longer than the deadline: nothing is sent on an expired claim


@dataclass(frozen=True, slots=True)
class ProviderTable:
    """One [providers.NAME] section. `options` has the adapter's keys as checked, file names made absolute."""

    name: str
    type: str
    options: Mapping[str, object]
    rate: Rate | None = None
    prices: Prices | None = None  # of a segment of a text


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """The folder of the outcome journals: local to the host, durable, writable by whoever sends."""

    path: Path
    witnesses: tuple[Path, ...] = ()  # folders elsewhere, so that a folder put back whole is noticed


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """What `reconcile` does by itself."""

    overdue_grace_s: float = 300.0
    retry_failed_after_s: float = 86400.0
    max_total_attempts: int = 6
    mta: str = ""  # postfix | exim: whose logs mta_logs are
    mta_logs: tuple[str, ...] = ()  # absolute file name patterns
    # Those that hand over to this MTA and nowhere else: only for them is silence proof.
    mta_providers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventsSettings:
    """Where events come in."""

    spool: Path | None = None  # reconcile takes in the files that are put here
    wait_s: float = 3600.0  # how long an event may match nothing before it is set aside


@dataclass(frozen=True, slots=True)
class LimitsSettings:
    """What protects a person from too many messages of campaigns whose purpose is marketing."""

    per_person: Rate | None = None  # at most so many in any such time
    distance_s: int = 0  # least time between two
    quiet: Window | None = None  # hours of a person's local day in which nothing is sent

    @property
    def counts(self) -> bool:
        """Whether it matters what a person has been sent before."""
        return self.per_person is not None or self.distance_s > 0

    @property
    def reach_s(self) -> int:
        """How long a message matters for those after it."""
        return max(self.per_person.per_s if self.per_person else 0, self.distance_s)


@dataclass(frozen=True, slots=True)
class AccountTable:
    """One [accounts.NAME] section: `allowance` messages in each `period`. Without, it has the credits granted to it."""

    name: str
    allowance: int | None = None
    period: str = ""  # day | week | month | year, by UTC


@dataclass(frozen=True, slots=True)
class LettersSettings:
    """Where the keys are that seal letters: `key_file` or another reference, and `previous_key_file` or another."""

    keys: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything sendctl is told about this host. `path` is None when no configuration file was found."""

    path: Path | None
    store: StoreSettings
    send: SendSettings
    providers: Mapping[str, ProviderTable]
    journal: JournalSettings
    reconcile: ReconcileSettings
    events: EventsSettings = EventsSettings()
    limits: LimitsSettings = LimitsSettings()
    accounts: Mapping[str, AccountTable] = field(default_factory=dict)
    letters: LettersSettings = LettersSettings()

    def providers_of(self, named: tuple[str, ...]) -> tuple[str, ...]:
        """The providers, in order of fail-over, of a campaign that names these or none; not all need be configured."""
        return named or self.send.providers or tuple(self.providers)

    def may_carry(self, name: str, channel: str) -> bool:
        """Whether a provider carries a channel, as far as this host can tell: of one it does not have it cannot."""
        table = self.providers.get(name)
        return table is None or channel in CHANNELS.get(table.type, ("email",))

    def carriers(self, named: tuple[str, ...], channel: str) -> tuple[str, ...]:
        """The providers of this host, in order of fail-over, that carry a channel for a campaign that names these."""
        return tuple(one for one in self.providers_of(named) if one in self.providers and self.may_carry(one, channel))
