"""Where a store may be used: SQLite on one machine at one path, Postgres in one database of one cluster."""

from __future__ import annotations

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
    copied = _without_timeline(row.database_id) != _without_timeline(identity)
    return "the store is a copy: it was made in another Postgres database" if copied else ""


def failed_over(row: Meta, identity: str | None) -> str:
    """Why commits may be missing since the database went to a new timeline, or ""."""
    if row.database_id is None or identity is None or row.database_id == identity:
        return ""
    before, now = row.database_id.split("/")[1], identity.split("/")[1]
    if before == now:
        return ""
    return f"Postgres went from timeline {before} to {now}: a failover or a restore may have lost commits"


def _without_timeline(identity: str) -> tuple[str, str]:
    system, _, database = identity.split("/")
    return system, database
