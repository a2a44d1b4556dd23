"""May this host send from this store now? Enabled, bound here, not rewound, and every host's journals replayed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.engine import Connection

from sendctl.errors import BadConfig, SendingDisabled, StoreElsewhere, StoreRewound
from sendctl.journal import home as homes
from sendctl.journal.older import put_away
from sendctl.passes.claiming import Claimed
from sendctl.passes.context import Context
from sendctl.passes.importing import Imported, import_dead_runs, run_forgotten
from sendctl.passes.place import elsewhere, put_back
from sendctl.settings.store_url import place_of_store
from sendctl.store import meta, runs


def check_enabled(context: Context) -> None:
    """Raises SendingDisabled where the configuration does not say that this host may send."""
    if not context.settings.send.enabled:
        raise SendingDisabled("sending is not enabled on this host")


def _check_twin(context: Context) -> None:
    """Two machines with one host id take each other's journals for their own. No boot comes back after a later one."""
    if context.store.sqlite:
        return
    with context.store.read() as connection:
        boots = runs.boots_of(connection, context.home.host_id)
    now = homes.boot_id()
    if boots and boots[0] != now and now in boots:
        raise BadConfig(
            f"another machine runs passes with the host id of {context.home.path}: one is a copy of the other",
            hint=f"stop the passes on both, remove {context.home.path}/host-id on both (each gets its own; the journals"
            " stay), and start them again.",
        )


def take_over(context: Context, *, sends: bool = False) -> Imported:
    """Check that this host may write outcomes here, count the pass (as the last one, if it `sends`), import dead runs.

    Raises StoreRewound (a new epoch has begun, or one is not replayed yet), or StoreElsewhere. In this order: an
    import into a copy would end a run that the original then never hears of.
    """
    _check_place(context)
    _check_twin(context)
    _count_pass(context, sends=sends)
    imported = import_dead_runs(context)
    if imported.rewound:
        declare_rewound(context, imported.rewound)
        raise StoreRewound(f"the store was rewound: {imported.rewound}")
    with context.store.write() as connection:
        row, identity = meta.read(connection), meta.database_identity(connection)
        if row.database_id is None and identity is not None:
            meta.change(connection, database_id=identity)
        behind = _join(context, connection, row)
    if behind:
        raise StoreRewound(
            f"the store was rewound ({row.epoch_reason}), and journals are not replayed yet on: {', '.join(behind)}",
            hint="run `sendctl recover --campaign NAME` on each of them; --lost-host gives one up whose disk is gone.",
        )
    put_away(context.home)
    return imported


def rewound_reason(context: Context) -> str:
    """Why this host takes the store for rewound, or "". Only looks."""
    seen = _seen_passes(context)
    with context.store.read() as connection:
        row, identity = meta.read(connection), meta.database_identity(connection)
    if row.passes < seen:
        return f"this host has seen pass {seen}, the store knows only {row.passes}"
    return put_back(row, identity) or import_dead_runs(context, only_look=True).rewound


def check_remembered(context: Context, run_id: str, *, whole: bool, under_way: Sequence[Claimed] = ()) -> None:
    """After a claim: whoever put a backup back in the meantime, the journals of this host know. Raises StoreRewound.

    A run's own journals, of all its workers, are enough unless it has just begun or waited, which is the `whole` look;
    and what this worker has `under_way` by earlier claims, of which the journal may not know yet.
    """
    reason = rewound_reason(context) if whole else run_forgotten(context, run_id)
    reason = reason or _forgotten(context, under_way)
    if reason:
        declare_rewound(context, reason)
        raise StoreRewound(f"the store was rewound: {reason}")


def _forgotten(context: Context, under_way: Sequence[Claimed]) -> str:
    if not under_way:
        return ""
    with context.store.read() as connection:
        known = runs.attempt_states(connection, [(item.due.id, item.number) for item in under_way])
    for item in under_way:
        if known.get((item.due.id, item.number), ("", ""))[0] != item.claim_id:
            return f"message {item.due.id} (attempt {item.number}) is under way and the store does not know it"
    return ""


def declare_rewound(context: Context, reason: str) -> None:
    """Begin an epoch: no host sends before each has replayed its journals. One that waits for us is enough.

    The store may have forgotten hosts that came after the backup was made; those that this host knew are waited for.
    """
    with context.store.write() as connection:
        row, now = meta.read(connection), context.store.now(connection)
        if meta.host_epoch(connection, context.home.host_id) in (None, row.epoch):
            meta.suspect_rewind(connection, reason)
            known = context.home.known_hosts(row.store_id) | {context.home.host_id: context.hostname}
            for host_id in known.keys() - meta.host_names(connection).keys() | {context.home.host_id}:
                meta.mark_host_behind(connection, host_id=host_id, hostname=known[host_id], now=now)


def _check_place(context: Context) -> None:
    """A copy is refused; but a copy that this host's journals are ahead of is a restored backup, and says so."""
    with context.store.read() as connection:
        row, identity = meta.read(connection), meta.database_identity(connection)
    reason = elsewhere(context, row, identity)
    if reason:
        ahead = "" if context.store.sqlite else import_dead_runs(context, only_look=True).rewound
        if not ahead:
            raise StoreElsewhere(reason)
        declare_rewound(context, ahead)
        raise StoreRewound(f"the store was rewound: {ahead}")
    lost = put_back(row, identity)
    if lost:
        declare_rewound(context, lost)
        raise StoreRewound(f"the store was rewound: {lost}")


def _count_pass(context: Context, *, sends: bool) -> None:
    """Number this pass. A store that counts fewer than this host has seen has forgotten commits, whoever's."""
    seen = _seen_passes(context)
    with context.store.write() as connection:
        row = meta.read(connection)
        if row.passes >= seen:
            now = context.store.now(connection)
            number = meta.count_pass(connection, hostname=context.hostname, now=now, sends=sends)
    if row.passes < seen:
        reason = f"this host has seen pass {seen}, the store knows only {row.passes}"
        declare_rewound(context, reason)
        raise StoreRewound(f"the store was rewound: {reason}")
    context.home.note_passes(row.store_id, number)
    context.home.note_place(row.store_id, place_of_store(context.settings.store.url))


def _seen_passes(context: Context) -> int:
    """The highest pass that this host has seen. Asked before the store's own count, which cannot be lower then.

    The other way round, a pass that begins in between would look like a rewind.
    """
    with context.store.read() as connection:
        store_id = meta.read(connection).store_id
    return context.home.seen_passes(store_id)


def _join(context: Context, connection: Connection, row: meta.Meta) -> list[str]:
    """Enter this host; returns the names of hosts whose journals wait to be replayed."""
    host_id = context.home.host_id
    if meta.host_epoch(connection, host_id) in (None, row.epoch):
        now = context.store.now(connection)
        meta.note_host(connection, host_id=host_id, hostname=context.hostname, epoch=row.epoch, now=now)
        meta.note_look(connection, host_id)
        context.home.note_hosts(row.store_id, meta.host_names(connection))
    return meta.hosts_behind(connection, row.epoch)
