"""What tests of the store and the passes stand on: a migrated store, a journal folder, a clock the test owns.

Campaigns come in through the real `enqueue`; windows through the real clerk. No part of sendctl is replaced but
its clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.identity import new_id
from sendctl.journal.home import RunNote, boot_id, place_of
from sendctl.passes import enqueue, letters, planning, recover, send_due
from sendctl.passes.claiming import Clerk, Done, Window
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.send_due import run_row
from sendctl.passes.startup import take_over
from sendctl.providers.base import Outcome, Phase, Scope
from sendctl.settings import (
    AccountTable,
    EventsSettings,
    JournalSettings,
    LettersSettings,
    LimitsSettings,
    ProviderTable,
    ReconcileSettings,
    SendSettings,
    Settings,
    StoreSettings,
)
from sendctl.states import AttemptOutcome
from sendctl.store import migrate, proofs, runs
from sendctl.store.engine import Store, open_store
from sendctl.store.tables import metadata

Backup = dict[str, list[dict[str, Any]]]
SENDING = SendSettings(enabled=True, providers=("primary",), max_seconds=None)
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
STEP = 'name = "offer"\nsubject = "Hello {{ contact.first_name }}"\ntext = "Hello {{ contact.first_name }}"\n'
DRIP = 'name = "reminder"\nafter = "3d"\nsubject = "Still there?"\ntext = "Hello again {{ contact.first_name }}"\n'

ACCEPTED = Outcome(AttemptOutcome.ACCEPTED, Phase.REPLIED, code=250, text="250 ok", provider_message_id="Q1")
REFUSED = Outcome(AttemptOutcome.REFUSED, Phase.REPLIED, code=550, enhanced="5.1.1", text="no such user",
                  error_class="rcpt")  # fmt: skip
DEFERRED = Outcome(AttemptOutcome.DEFERRED, Phase.REPLIED, code=450, enhanced="4.2.1", text="later",
                   error_class="rcpt")  # fmt: skip
DOWN = Outcome(AttemptOutcome.DEFERRED, Phase.UNTOUCHED, Scope.PROVIDER, text="refused", error_class="connect")
UNTOUCHED = Outcome(AttemptOutcome.UNTOUCHED, Phase.UNTOUCHED)
UNKNOWN = Outcome(AttemptOutcome.UNKNOWN, Phase.DOTTED, text="silence", error_class="timeout")
NO_CREDENTIALS = Outcome(AttemptOutcome.HALTED, Phase.UNTOUCHED, Scope.PROVIDER, code=535, text="bad credentials",
                         error_class="auth")  # fmt: skip
SENDER_REFUSED = Outcome(AttemptOutcome.HALTED, Phase.BEGUN, Scope.CAMPAIGN, code=553, text="sender not verified",
                         error_class="mail")  # fmt: skip


@dataclass
class OwnedClock:
    """A clock that stands still until the test moves it."""

    now: datetime = START
    boot: float = 1000.0

    def utc_now(self) -> datetime:
        return self.now

    def boot_s(self) -> float:
        return self.boot

    def forward(self, **delay: float) -> None:
        """Let both clocks run on, e.g. `forward(hours=1)`."""
        step = timedelta(**delay)
        self.now += step
        self.boot += step.total_seconds()


def campaign_file(
    name: str = "sale", *, campaign: str = "", controls: str = "", steps: Sequence[str] = (STEP,), rest: str = "",
    marketing: bool = False,
) -> str:  # fmt: skip
    """A campaign file; each argument is TOML for its section."""
    purpose = '"marketing"\nunsubscribe_url = "https://x.example/u/{{ token }}"' if marketing else '"transactional"'
    sender = "Shop" if 'channel = "sms"' in campaign else "Shop <news@shop.example>"  # texts come from a name
    head = f'[campaign]\nname = "{name}"\npurpose = {purpose}\nfrom = "{sender}"\n{campaign}\n'
    return f"{head}[controls]\n{controls}\n{rest}\n" + "".join(f"[[steps]]\n{step}\n" for step in steps)


def contacts_file(first: int, last: int) -> str:
    """A contacts file of people number `first` to `last`."""
    return "email,first_name\n" + "".join(f"p{n:05}@x.example,P{n}\n" for n in range(first, last + 1))


@dataclass
class Ground:
    """A store with its host. `provable` is set to False by a test that damages the ledger on purpose."""

    folder: Path
    url: str
    clock: OwnedClock = field(default_factory=OwnedClock)
    journal: str = "journal"
    send: SendSettings = SENDING
    reconcile: ReconcileSettings = field(default_factory=ReconcileSettings)
    providers: dict[str, ProviderTable] = field(default_factory=dict)
    events: EventsSettings = field(default_factory=EventsSettings)
    limits: LimitsSettings = field(default_factory=LimitsSettings)
    accounts: dict[str, AccountTable] = field(default_factory=dict)
    letters: LettersSettings = field(default_factory=LettersSettings)
    provable: bool = True
    _context: Context | None = None
    _joined: bool = False

    def __post_init__(self) -> None:
        for name in ("primary", "fallback"):
            options = {"path": str(self.folder / name), "fsync": False}
            self.providers.setdefault(name, ProviderTable(name, "maildir", options))

    @property
    def context(self) -> Context:
        """This host's context, kept from call to call."""
        if self._context is None:
            settings = Settings(
                None, StoreSettings(self.url), self.send, self.providers,
                JournalSettings(self.folder / self.journal, (self.folder / f"{self.journal}-witness",)), self.reconcile,
                self.events, self.limits, self.accounts, self.letters,
            )  # fmt: skip
            self._context = Context(settings, {}, self.clock)
        return self._context

    @property
    def store(self) -> Store:
        return self.context.store

    def close(self) -> None:
        """Give connections back; the next use opens the store anew."""
        if self._context is not None and "store" in self._context.__dict__:
            self._context.store.close()
        self._context, self._joined = None, False

    def set(self, **changes: Any) -> None:
        """Other settings from now on: fields of [send]."""
        self.close()
        self.send = replace(self.send, **changes)

    def other_host(self) -> Ground:
        """Another host on the same store: its own journal folder, hence its own host id."""
        return Ground(self.folder, self.url, self.clock, "journal-of-b", self.send, self.reconcile, self.providers,
                      limits=self.limits, accounts=self.accounts)  # fmt: skip

    # -- campaigns ------------------------------------------------------------------------------------------------

    def enqueue(
        self, people: int = 0, *, first: int = 1, contacts: str | None = None, at: datetime | None = None,
        dry_run: bool = False, skip_bad: Path | None = None, **campaign: Any,
    ) -> enqueue.EnqueueReport:  # fmt: skip
        """Enqueue a campaign for so many people; the clock goes on a second, as it does between two commands."""
        path, rows = self.folder / "campaign.toml", self.folder / "contacts.csv"
        path.write_text(campaign_file(**campaign))
        rows.write_text(contacts if contacts is not None else contacts_file(first, first + people - 1))
        wanted = rows if people or contacts is not None else None
        report = enqueue.run(self.context, path, contacts=wanted, at=at, dry_run=dry_run, skip_bad=skip_bad)
        self.clock.forward(seconds=1)
        return report

    def letter(self, name: str = "note", *, at: str = '"now"', more: str = "", text: str = "Dear {{ contact.name }}",
               to: str = "ann", moment: datetime | None = None, **options: Any) -> enqueue.EnqueueReport:  # fmt: skip
        """Enqueue a letter; `more` is further TOML for [letter], `moment` is that of --at."""
        path = self.folder / f"{name}.toml"
        path.write_text(
            f'[letter]\nname = "{name}"\nto = "{to}@x.example"\nat = {at}\nfrom = "Me <me@shop.example>"\n'
            f'subject = "About {name}"\ntext = "{text}"\n{more}\n[letter.contact]\nname = "Ann"\n'
        )
        if moment is not None:
            options["at"] = lambda _definition: moment
        report = letters.run(self.context, path, **options)
        self.clock.forward(seconds=1)
        return report

    # -- windows --------------------------------------------------------------------------------------------------

    def clerk(self, campaign: str | None = None, *, run_id: str = "", worker: int = 0) -> Clerk:
        """A clerk of a run on a host that has taken over the store, once."""
        if not self._joined:
            take_over(self.context)
            self._joined = True
        note = RunNote("", run_id or new_id(), "send-due", boot_id(), 1, self.clock.now.isoformat())
        with self.store.write() as connection:
            runs.record(connection, run_row(self.context, note, self.clock.now))
        desk = Desk(self.context, random.Random(1))
        return Clerk(desk, note.run_id, worker, frozenset(self.providers), campaign)

    def pass_with(self, outcome: Outcome, limit: int = 1000) -> Window:
        """Claim one window and let each of its messages have this outcome."""
        clerk = self.clerk()
        window = clerk.turn([], limit)
        clerk.turn(self.done(window, outcome), 0)
        return window

    def done(self, window: Window, *outcomes: Outcome) -> list[Done]:
        """The window's messages with these outcomes; a single one goes for all."""
        each = outcomes * len(window.messages) if len(outcomes) == 1 else outcomes
        return [Done(item, outcome, self.clock.boot) for item, outcome in zip(window.messages, each, strict=True)]

    def recover(self, campaign: str = "sale", *, lost_hosts: Sequence[str] = (), **options: Any) -> recover.Recovered:
        """Make a plan and carry it out."""
        made = planning.plan(self.context, campaign, lost_hosts=lost_hosts, **options)
        return recover.apply(self.context, made, reason="test", lost_hosts=lost_hosts)

    def send_due(self, **options: Any) -> send_due.SendReport:
        """One whole pass over the real maildirs."""
        return send_due.run(self.context, **options)

    def delivered(self, provider: str = "primary") -> list[str]:
        """Who got a message through a maildir, one entry a message: the judge of duplicates."""
        folder = self.folder / provider / "new"
        texts = [path.read_text() for path in folder.iterdir()] if folder.exists() else []
        return sorted(line[4:] for text in texts for line in text.splitlines() if line.startswith("To: "))

    # -- what the ledger says ---------------------------------------------------------------------------------------

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """Rows of a query, as the database gives them."""
        with self.store.read() as connection:
            return list(connection.execute(sa.text(sql), values))

    def one(self, sql: str, **values: Any) -> Any:
        """The only value of a query."""
        ((value,),) = self.rows(sql, **values)
        return value

    def change(self, sql: str, **values: Any) -> int:
        """Change the store by hand, as an operator with SQL would; returns the number of rows."""
        with self.store.write() as connection:
            return connection.execute(sa.text(sql), values).rowcount

    def states(self, campaign: str = "sale") -> dict[str, int]:
        """Messages by state, without the empty ones."""
        rows = self.rows(
            "SELECT m.status, count(*) FROM messages m JOIN campaigns c ON c.id = m.campaign_id"
            " WHERE c.name = :name GROUP BY m.status", name=campaign,
        )  # fmt: skip
        return {row[0]: row[1] for row in rows}

    def violations(self) -> list[str]:
        """What the ledger's own proof finds."""
        with self.store.read() as connection:
            return [found.what for found in proofs.check(connection)]

    def dump(self) -> dict[str, list[Any]]:
        """Every row of every table, for "nothing was written"."""
        with self.store.read() as connection:
            return dump(connection)

    @contextmanager
    def once_after(self, words: str, deed: Callable[[], object]) -> Iterator[None]:
        """Do something when this host has executed a statement with these words for the first time."""
        left = [deed]

        def happen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if left and words in " ".join(statement.split()):
                left.pop()()

        sa.event.listen(self.store.engine, "after_cursor_execute", happen)
        yield
        sa.event.remove(self.store.engine, "after_cursor_execute", happen)
        assert not left

    # -- backups ----------------------------------------------------------------------------------------------------

    def backup(self) -> Backup:
        """All rows, as a logical backup has them."""
        with self.store.read() as connection:
            return {
                table.name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
                for table in metadata.sorted_tables
            }

    def put_back(self, backup: Backup) -> None:
        """Restore a backup into the same database: the store is rewound."""
        with self.store.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(sa.delete(table))
            for table in metadata.sorted_tables:
                if backup[table.name]:
                    connection.execute(sa.insert(table), backup[table.name])


def dump(connection: Connection) -> dict[str, list[Any]]:
    """Every row of every table, sorted."""
    names = sorted(sa.inspect(connection).get_table_names())
    return {name: sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {name}")))) for name in names}


def lay(folder: Path, url: str) -> Ground:
    """A migrated store at an empty URL."""
    store = open_store(url, OwnedClock(), create=True)
    migrate.migrate(store, place=place_of(url))
    store.close()
    return Ground(folder, url)
