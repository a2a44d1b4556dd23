"""What database drivers say, in words a person can act on: one table, for both databases.

Imports no driver, so that the idle pass can ask as well. Never repeats a statement or its parameters.
"""

from __future__ import annotations

import re

from sendctl.errors import BadConfig, SendctlError, StoppedEarly, Unreachable

BUSY_TIMEOUT_S = 30.0  # for one lock. Cron starts a pass every minute: those that wait must not pile up
CONNECT_TIMEOUT_S = 15

_RUN_AGAIN = "run the command again."
_HELD = (
    "an enqueue of a large file, for one, holds the store until it is through: run the command again until it says that"
    " it is done, or end the enqueue (Ctrl-C or kill; nothing of it stays)."
)
_GRANT = (
    "it needs a role with rights. As the owner of the tables: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN"
    " SCHEMA public TO the role of [store] url."
)
_GRANT_CREATE = (
    "as the owner of the database: GRANT USAGE, CREATE ON SCHEMA public TO the role of [store] url (since Postgres 15"
    " no other role may create tables there), or run `sendctl migrate` as a role that may."
)
_URL_OPTION = "mend the part after `?` in [store] url; Postgres' manual has its connection options."

_POSITION = re.compile(r"\nLINE \d+: ")

# The words to look for, and what a person is told: (words, error, problem, hint).
_KNOWN: tuple[tuple[tuple[str, ...], type[SendctlError], str, str], ...] = (
    (("database is locked", "lock timeout"), StoppedEarly,
     f"another command kept the store busy for {BUSY_TIMEOUT_S:.0f} s", _HELD),
    (("deadlock detected", "could not serialize", "statement timeout"), StoppedEarly, "the store was too busy",
     _RUN_AGAIN),
    (("disk is full", "No space left", "could not extend file"), Unreachable, "the store cannot grow",
     "free disk space; nothing was half-written. Then run the command again."),
    (("disk I/O error",), Unreachable, "the store's disk does not take what is written",
     "free disk space, or look for a failing disk: dmesg. Nothing was half-written."),
    (("readonly database", "read-only transaction", "read-only"), Unreachable, "the store is read-only",
     "check the owner and mode of the file, of those beside it (-wal, -shm) and of the folder, or the server's role."),
    (("no such column", "has no column named"), BadConfig, "the store's tables are not those of this version",
     "it was made by a version that was never released: make a new store, or put its own version back."),
    (("disk image is malformed",), Unreachable, "the store's file is damaged",
     "restore a backup: docs/runbooks/restored-backup.md."),
    (("permission denied for schema", "no schema has been selected"), BadConfig,
     "the store's role may not create its tables", _GRANT_CREATE),
    (("permission denied for database",), BadConfig, "the store's role may not connect",
     "as the owner of the database: GRANT CONNECT ON DATABASE to the role of [store] url."),
    (("permission denied for",), BadConfig, "the store's role may not do this", _GRANT),
    (("must be owner of",), BadConfig, "the store's role may not change its tables",
     "run `sendctl migrate` as the role that owns them."),
    (("invalid connection option", "invalid URI query parameter", "invalid integer value", "bad value for",
      "invalid sslmode value", "invalid port number"), BadConfig,
     "[store] url has an option that Postgres does not take", _URL_OPTION),
    (('" already exists',), BadConfig, "the database has something of another program in it",
     "give sendctl a database of its own in [store] url; this one was left as it is."),
    (("connection timeout expired",), Unreachable, "the store does not answer",
     "check that the server is up and that [store] url names it."),
)  # fmt: skip


# undefined_table, undefined_object, and invalid_column_reference: no unique key for an ON CONFLICT.
# Source: PostgreSQL documentation, appendix A.
_TABLES_CHANGE = frozenset(["42P01", "42704", "42P10"])
_WENT_AWAY = ("no such table: ", "could not open relation with OID")


def being_put_back(said: str) -> Unreachable:
    """What a dump that is put back without a transaction looks like from outside: not all of the tables are there."""
    return Unreachable(
        f"the store's tables are missing, or are being put back right now: {said}",
        hint="nothing is sent. Run the command again when the restore is done; docs/runbooks/restored-backup.md. If"
        " schema.sql was loaded by hand, `sendctl migrate` makes a store of it.",
    )


def explained(text: str, sqlstate: str = "") -> SendctlError | None:
    """The sendctl error for what a driver said, with Postgres' code for it; None for what it is not known to say."""
    said = plain(text)
    if sqlstate in _TABLES_CHANGE or said.startswith(_WENT_AWAY):
        return being_put_back(said)
    for words, kind, problem, hint in _KNOWN:
        if any(word in said for word in words):
            return kind(f"{problem}: {said}", hint=hint)
    return None


def plain(text: str) -> str:
    """What a driver said, on one line, without the place in the statement that Postgres shows below it.

    Source: PostgreSQL documentation, "PQerrorMessage": LINE with a caret under the position.
    """
    return " ".join(_POSITION.split(text)[0].split())
