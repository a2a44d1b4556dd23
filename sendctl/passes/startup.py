"""May this host send from this store now? Enabled, bound here, not rewound, and every host's journals replayed."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from sendctl.errors import SendingDisabled, StoreElsewhere, StoreRewound
from sendctl.journal.home import machine_id
from sendctl.passes.context import Context
from sendctl.passes.importing import Imported, import_dead_runs
from sendctl.store import meta


def check_enabled(context: Context) -> None:
    """Raises SendingDisabled where the configuration does not say that this host may send."""
    if not context.settings.send.enabled:
        raise SendingDisabled("sending is not enabled on this host")


def take_over(context: Context) -> Imported:
    """Check that this host may write outcomes here, and import dead runs.

    Raises StoreRewound (a new epoch has begun, or one is not replayed yet), or StoreElsewhere. In this order: an
    import into a copy would end a run that the original then never hears of.
    """
    with context.store.read() as connection:
        row, identity = meta.read(connection), meta.database_identity(connection)
    _check_place(context, row, identity)
    imported = import_dead_runs(context)
    if imported.rewound:
        _begin_epoch(context, imported.rewound)
    with context.store.write() as connection:
        row = meta.read(connection)
        if row.database_id is None and identity is not None:
            meta.change(connection, database_id=identity)
        behind = _join(context, connection, row)
    if behind:
        raise StoreRewound(
            f"the store was rewound ({row.epoch_reason}), and journals are not replayed yet on: {', '.join(behind)}",
            hint="run `sendctl recover --campaign NAME` on each of them; --lost-host gives one up whose disk is gone.",
        )
    return imported


def _begin_epoch(context: Context, reason: str) -> None:
    """Stop every host that uses this store until journals are replayed. An epoch that waits for us is enough."""
    with context.store.write() as connection:
        row = meta.read(connection)
        if meta.host_epoch(connection, context.home.host_id) in (None, row.epoch):
            meta.suspect_rewind(connection, reason)
            meta.mark_host_behind(connection, host_id=context.home.host_id, hostname=context.hostname,
                                  now=context.store.now(connection))  # fmt: skip
    raise StoreRewound(f"the store was rewound: {reason}")


def _check_place(context: Context, row: meta.Meta, identity: str | None) -> None:
    if context.store.sqlite:
        if row.bound_to not in (None, machine_id()):
            raise StoreElsewhere(f"the store belongs to {_name(row.bound_to)}, this is {_name(machine_id())}")
        return
    if row.database_id is None or identity is None or row.database_id == identity:
        return
    system, timeline, database = row.database_id.split("/")
    now_system, now_timeline, now_database = identity.split("/")
    if (system, database) != (now_system, now_database):
        raise StoreElsewhere("the store is a copy: it was made in another Postgres database")
    _begin_epoch(
        context, f"Postgres went from timeline {timeline} to {now_timeline}: a failover or a restore may forget commits"
    )


def _name(machine: str | None) -> str:
    return (machine or "nobody").rpartition("/")[2]


def _join(context: Context, connection: Connection, row: meta.Meta) -> list[str]:
    """Enter this host; returns the names of hosts whose journals wait to be replayed."""
    host_id = context.home.host_id
    if meta.host_epoch(connection, host_id) in (None, row.epoch):
        now = context.store.now(connection)
        meta.note_host(connection, host_id=host_id, hostname=context.hostname, epoch=row.epoch, now=now)
    return meta.hosts_behind(connection, row.epoch)


def note_idle_pass(context: Context) -> None:
    """Remember that cron works, also when nothing was due."""
    with context.store.write() as connection:
        meta.change(connection, last_pass_at=context.store.now(connection), last_pass_host=context.hostname)
