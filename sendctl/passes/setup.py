"""`init` and `migrate`: the first files, and the store's schema. Overwrites nothing, sends nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sendctl.errors import BadConfig, ExitCode, Unreachable, UsageError
from sendctl.journal.home import place_of
from sendctl.journal.memory import Memory, Remembered, is_ours
from sendctl.passes.context import Context, who
from sendctl.settings import redact, sample_config
from sendctl.settings.store_url import place_of_store, sqlite_path
from sendctl.store import audit, meta
from sendctl.store import migrate as schema
from sendctl.store.engine import Store, open_store

CAMPAIGN = """\
# A campaign. docs/campaign-file.md explains every key.
#
#   sendctl preview campaign.toml --contacts contacts.csv
#   sendctl enqueue campaign.toml --contacts contacts.csv
#   sendctl send-due

[campaign]
name = "hello"
purpose = "transactional"              # "marketing" needs an unsubscribe_url
from = "Shop <news@shop.example>"
reply_to = "help@shop.example"
# start_at = 2026-11-23T09:00:00Z      # else at once
# expires_after = "7d"                 # a message later than this is never sent
# in_doubt = "hold"                    # hold | resend | skip: what nobody can prove

[controls]                             # `sendctl tune` changes them while it runs
batch_size = 100
# rate = "50/s"                        # also per min, h, day
# max_attempts = 3

[[steps]]
name = "hello"
subject = "Hello {{ contact.first_name }}"
text = \"\"\"
Hello {{ contact.first_name }},

this is the sample campaign of sendctl.{% if contact.town %} Your town is {{ contact.town }}.{% endif %}
\"\"\"
"""

CONTACTS = """\
email,first_name,town
ana@example.com,Ana,Lisbon
bjorn.o'neil@example.com,Björn,"Malmö, Sweden"
chloe@bücher.example,Chloé,
dora+news@example.org,Dora,Graz
"""


@dataclass(frozen=True, slots=True)
class MigrateReport:
    """What a migrate did. `before` is None for a new store; `adopted_from` is empty unless it was adopted."""

    url: str  # without a password
    before: int | None
    after: int
    adopted: bool = False
    adopted_from: str = ""
    bound_to: str = ""

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class InitReport:
    """The files that `init` wrote."""

    files: tuple[Path, ...]


def write_samples(config: Path) -> InitReport:
    """Write the configuration (0600), a campaign and contacts beside it. Raises UsageError if any is there."""
    files = {
        config: sample_config("sqlite:///sendctl.db"),
        config.with_name("campaign.toml"): CAMPAIGN,
        config.with_name("contacts.csv"): CONTACTS,
    }
    present = [path for path in files if os.path.lexists(path)]
    if present:
        names = ", ".join(str(path) for path in present)
        raise UsageError(
            f"already there: {names}; nothing was written", hint="init never overwrites: use a new folder."
        )
    for path, text in files.items():
        _write_new(path, text, 0o600 if path == config else 0o644)
    return InitReport(tuple(files))


def _write_new(path: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Unreachable(f"cannot write {path}: {error.strerror}") from error


def migrate(context: Context, *, adopt: bool = False, new: bool = False) -> MigrateReport:
    """Create or upgrade the store; with `adopt`, bind it to this machine or Postgres database. Written to the audit.

    Raises BadConfig where a store was that this host knows and that is gone, unless a `new` one is wanted.
    """
    url = context.settings.store.url
    journal = context.settings.journal
    # Not context.home: that would make the folder, perhaps as another user than that of the passes.
    memory = Memory(journal.path, "", tuple(filter(is_ours, journal.witnesses)))
    gone = memory.stores_at(place_of_store(url))
    if (gone or new) and _is_there(context):
        if new:
            raise UsageError(f"there is a store at {redact(url)}: it was left as it is", hint="leave out --new.")
    elif gone and not new:
        raise _lost(redact(url), gone[0])
    store = open_store(url, context.clock, create=True)
    try:
        before, after = schema.migrate(store, place=place_of(url))
        if new:
            _note_given_up(context, store, gone)
            memory.forget_place(place_of_store(url))
        if not adopt:
            return MigrateReport(redact(url), before, after)
        former, bound_to = _adopt(context, store)
        return MigrateReport(redact(url), before, after, True, former, bound_to)
    finally:
        store.close()


def _is_there(context: Context) -> bool:
    """Whether there is a store to migrate. Makes no file."""
    url = context.settings.store.url
    database = sqlite_path(url)
    if database is not None and not database.exists():
        return False
    store = open_store(url, context.clock)
    try:
        with store.read() as connection:
            return schema.version_of(connection) is not None
    finally:
        store.close()


def _lost(url: str, gone: Remembered) -> BadConfig:
    return BadConfig(
        f"the store {url} is gone: this host knows store {gone.store_id} there, up to its pass {gone.passes:,} at"
        f" {gone.last_at:%Y-%m-%d %H:%M:%SZ}; a new one would know of nobody who was reached",
        hint="put it back from a backup, then `sendctl recover` (docs/runbooks/restored-backup.md). To begin anew on"
        " purpose: `sendctl migrate --new`.",
    )


def _note_given_up(context: Context, store: Store, gone: Sequence[Remembered]) -> None:
    with store.write() as connection:
        audit.write(
            connection, login=who(context.environ), hostname=context.hostname, action="begin anew", campaign_id=None,
            reason="", detail={"stores": [one.store_id for one in gone]}, now=store.now(connection),
        )  # fmt: skip


def _adopt(context: Context, store: Store) -> tuple[str, str]:
    with store.write() as connection:
        row = meta.read(connection)
        if store.sqlite:
            former, bound_to = row.bound_to or "", place_of(context.settings.store.url)
            meta.change(connection, bound_to=bound_to)
        else:
            former, bound_to = row.database_id or "", meta.database_identity(connection) or ""
            meta.change(connection, database_id=bound_to or None)
        if former and former != bound_to:
            # Hosts that used it where it was may know more than this copy: each must replay, or be given up.
            meta.suspect_rewind(connection, "the store was adopted from another place")
        audit.write(
            connection, login=who(context.environ), hostname=context.hostname, action="adopt", campaign_id=None,
            reason="", detail={"before": former, "after": bound_to}, now=store.now(connection),
        )  # fmt: skip
    return former, bound_to
