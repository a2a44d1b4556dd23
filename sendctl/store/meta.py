"""The store's own row: what it is, where it may be used, and whether it was rewound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.identity import new_id
from sendctl.store.dialect import upsert
from sendctl.store.problems import being_put_back
from sendctl.store.tables import hosts, store
from sendctl.store.versions import DATABASE_IDENTITY

# After a start of the server, for how long hosts that have not looked are waited for: five passes of each.
LOOK_S = 300
# A host that has run no pass for so long is not waited for. As long as journals are kept (journal/home.py).
KNOWN_S = 30 * 86400
_AWAITED = sa.text("""
SELECT h.host_id, s.at + make_interval(secs => :look_s) AS until,
       CAST(extract(epoch FROM s.at + make_interval(secs => :look_s) - clock_timestamp()) AS double precision) AS left_s
FROM hosts h CROSS JOIN (SELECT pg_postmaster_start_time() AS at) s
WHERE h.host_id <> :host_id AND h.server_start IS DISTINCT FROM s.at AND h.last_run_at > :since
  AND clock_timestamp() < s.at + make_interval(secs => :look_s)""")


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


@dataclass(frozen=True, slots=True)
class Awaited:
    """Hosts that have not looked at the store since its server was started; they are waited for until a moment."""

    hosts: tuple[str, ...]
    until: datetime
    left_s: float

    def __str__(self) -> str:
        until = f"{self.until:%H:%M:%SZ}"
        return f"Postgres was started, and {', '.join(self.hosts)} must look at the store first (until {until} at most)"


def read(connection: Connection) -> Meta:
    """The store's row; there is exactly one. Raises Unreachable while a restore has not put it back yet."""
    row = connection.execute(sa.select(store)).one_or_none()
    if row is None:
        raise being_put_back("the table store is empty")
    return Meta(
        row.store_id, row.secret, row.schema_version, row.bound_to, row.database_id, row.epoch, row.epoch_reason,
        row.last_pass_at, row.last_pass_host, row.passes,
    )  # fmt: skip


def count_pass(
    connection: Connection, *, hostname: str, now: datetime, at_least: int = 0, sends: bool = False
) -> int:  # fmt: skip
    """Note that a pass began; returns its number in the store. A host that has seen a higher one met a rewind.

    Only one that `sends` is a sign that cron works: a reconcile every five minutes would hide that nothing is sent.
    """
    count = sa.case((store.c.passes >= at_least, store.c.passes), else_=at_least) + 1
    sign = {"last_pass_at": now, "last_pass_host": hostname} if sends else {}
    statement = sa.update(store).values(passes=count, **sign)
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


def note_look(connection: Connection, host_id: str) -> None:
    """Record that a host which has just looked for a rewind did so since the server was started. Nothing on SQLite."""
    if connection.dialect.name != "sqlite":
        seen = sa.update(hosts).values(server_start=sa.func.pg_postmaster_start_time())
        connection.execute(seen.where(hosts.c.host_id == host_id))


def awaited(connection: Connection, *, host_id: str, now: datetime) -> Awaited | None:
    """The other hosts that must look before this one claims, or None. A SQLite store is one machine's: always None.

    Whoever puts the data folder or a snapshot of it back starts the server: another host may know what the store has
    forgotten. `now` is the store's time. Source: PostgreSQL documentation, "pg_postmaster_start_time".
    """
    if connection.dialect.name == "sqlite":
        return None
    values = {"host_id": host_id, "look_s": LOOK_S, "since": now - timedelta(seconds=KNOWN_S)}
    rows = connection.execute(_AWAITED, values).all()
    if not rows:
        return None
    return Awaited(_shown(connection, [row.host_id for row in rows]), rows[0].until.astimezone(UTC), rows[0].left_s)


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
    ids = connection.execute(sa.select(hosts.c.host_id).where(hosts.c.epoch != epoch)).scalars().all()
    return list(_shown(connection, ids)) if ids else []


def _shown(connection: Connection, ids: Iterable[str]) -> tuple[str, ...]:
    """How hosts are called: by name, and with the id where several have it."""
    names = host_names(connection)
    count = Counter(names.values())
    return tuple(sorted(names[each] + (f" ({each})" if count[names[each]] > 1 else "") for each in ids))


def forget_host(connection: Connection, name: str) -> list[str]:
    """Give up a host, by name or id, whose journals are lost; returns the ids found. It enters again when it runs.

    Of several with that name none is given up: only an id says which.
    """
    wanted = sorted(key for key, hostname in host_names(connection).items() if name in (key, hostname))
    if len(wanted) == 1:
        connection.execute(sa.delete(hosts).where(hosts.c.host_id.in_(wanted)))
    return wanted
