"""Where a store may be used: SQLite on one machine at one path, Postgres in one database of one cluster."""

from __future__ import annotations

from typing import NamedTuple

from sendctl.journal.home import place_of
from sendctl.passes.context import Context
from sendctl.store.meta import Meta


def elsewhere(context: Context, row: Meta, identity: str | None) -> str:
    """Why the store is not where it was bound, or "". `identity` is meta.database_identity."""
    if context.store.sqlite:
        here = place_of(context.settings.store.url)
        if row.bound_to in (None, here):
            return ""
        machine, _, path = (row.bound_to or "").partition(":")
        if machine == here.partition(":")[0]:
            return f"the store belongs to {path}: this file is a copy, or was moved"
        return "the store belongs to another machine"
    if row.database_id is None or identity is None:
        return ""
    copied = _Identity.of(row.database_id).database != _Identity.of(identity).database
    return "the store is a copy: it was made in another Postgres database" if copied else ""


def put_back(row: Meta, identity: str | None) -> str:
    """Why commits may be missing in this very database: another timeline, or tables made anew; or ""."""
    if row.database_id is None or identity is None or row.database_id == identity:
        return ""
    before, now = _Identity.of(row.database_id), _Identity.of(identity)
    if before.timeline != now.timeline:
        return (
            f"Postgres went from timeline {before.timeline} to {now.timeline}: a failover or a restore may have lost"
            " commits"
        )
    return "" if before.table == now.table else "its tables were made anew: a dump was put back into the database"


class _Identity(NamedTuple):
    """The parts of meta.database_identity."""

    database: tuple[str, str]  # system identifier, oid of the database
    timeline: str
    table: str

    @classmethod
    def of(cls, text: str) -> _Identity:
        system, timeline, database, table = text.split("/")
        return cls((system, database), timeline, table)
