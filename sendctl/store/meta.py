"""The store's own row: what it is, where it may be used, and whether it was rewound."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.identity import new_id
from sendctl.store.dialect import upsert
from sendctl.store.tables import hosts, store
from sendctl.store.versions import DATABASE_IDENTITY


@dataclass(frozen=True, slots=True)
class Meta:
    """The row of `store`."""

    store_id: str
    secret: str
    schema_version: int
    bound_to: str | None
    database_id: str | None
    epoch: str
    epoch_reason: str | None
    last_pass_at: datetime | None
    last_pass_host: str | None
    passes: int


def read(connection: Connection) -> Meta:
    """The store's row; there is exactly one."""
    row = connection.execute(sa.select(store)).one()
    return Meta(
        row.store_id, row.secret, row.schema_version, row.bound_to, row.database_id, row.epoch, row.epoch_reason,
        row.last_pass_at, row.last_pass_host, row.passes,
    )  # fmt: skip


def count_pass(connection: Connection, *, hostname: str, now: datetime, at_least: int = 0) -> int:
    """Note that a pass began; returns its number in the store. A host that has seen a higher one met a rewind."""
    count = sa.case((store.c.passes >= at_least, store.c.passes), else_=at_least) + 1
    statement = sa.update(store).values(passes=count, last_pass_at=now, last_pass_host=hostname)
    return int(connection.execute(statement.returning(store.c.passes)).scalar_one())


def change(connection: Connection, **values: Any) -> None:
    """Set columns of the store's row."""
    connection.execute(sa.update(store).values(**values))


def database_identity(connection: Connection) -> str | None:
    """Postgres: "system identifier/timeline/database/table". None on SQLite, or where the role may not ask.

    A promoted standby or a point-in-time restore begins a new timeline; a dump restored elsewhere has another
    system identifier or database, and one restored in place other tables.

    Source: PostgreSQL documentation, "Control Data Functions" and "Timelines".
    """
    if connection.dialect.name == "sqlite":
        return None
    allowed = connection.execute(sa.text("SELECT has_function_privilege('pg_control_system()', 'execute')"))
    if not allowed.scalar_one():
        return None
    return str(connection.execute(sa.text(f"SELECT {DATABASE_IDENTITY}")).scalar_one())


def suspect_rewind(connection: Connection, reason: str) -> str:
    """Begin a new epoch: no host sends until each has replayed its journals. Returns the new epoch."""
    epoch = new_id()
    change(connection, epoch=epoch, epoch_reason=reason)
    return epoch


def note_host(connection: Connection, *, host_id: str, hostname: str, epoch: str, now: datetime) -> None:
    """Record that this host runs passes here and has replayed its journals up to `epoch`."""
    upsert(connection, hosts, "host_id",
           {"host_id": host_id, "hostname": hostname, "epoch": epoch, "last_run_at": now})  # fmt: skip


def host_epoch(connection: Connection, host_id: str) -> str | None:
    """The epoch up to which a host has replayed its journals; None for a host that never ran here."""
    return connection.execute(sa.select(hosts.c.epoch).where(hosts.c.host_id == host_id)).scalar_one_or_none()


def mark_host_behind(connection: Connection, *, host_id: str, hostname: str, now: datetime) -> None:
    """Record that a host has journals to replay, also one that the rewound store has forgotten."""
    note_host(connection, host_id=host_id, hostname=hostname, epoch="not replayed", now=now)


def host_names(connection: Connection) -> dict[str, str]:
    """The hosts that run passes here, by id: their names."""
    return {row.host_id: row.hostname for row in connection.execute(sa.select(hosts.c.host_id, hosts.c.hostname))}


def hosts_behind(connection: Connection, epoch: str) -> list[str]:
    """Names of hosts that have not replayed their journals in this epoch; with their ids where a name is not enough."""
    names = host_names(connection)
    behind = connection.execute(sa.select(hosts.c.host_id).where(hosts.c.epoch != epoch)).scalars()
    count = Counter(names.values())
    return sorted(names[each] + (f" ({each})" if count[names[each]] > 1 else "") for each in behind)


def forget_host(connection: Connection, name: str) -> list[str]:
    """Give up a host, by name or id, whose journals are lost; returns the ids found. It enters again when it runs.

    Of several with that name none is given up: only an id says which.
    """
    wanted = sorted(key for key, hostname in host_names(connection).items() if name in (key, hostname))
    if len(wanted) == 1:
        connection.execute(sa.delete(hosts).where(hosts.c.host_id.in_(wanted)))
    return wanted
