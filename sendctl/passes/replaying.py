"""After a rewind: replay this host's journals into the store, oldest run first, until it knows what they know.

Each run is one transaction. What is proven of a message that does not exist (yet) is remembered and asked for at
every claim. Nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from sendctl.errors import StoreElsewhere, StoreLocked, StoreRewound
from sendctl.journal import home as homes
from sendctl.journal.home import RunNote
from sendctl.journal.older import reading
from sendctl.journal.records import Trace
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.importing import import_run, traces_of
from sendctl.passes.place import elsewhere
from sendctl.passes.remembered import acceptance
from sendctl.providers.base import OPTED_OUT
from sendctl.states import TRANSITIONS, AttemptOutcome, State
from sendctl.store import beside, campaigns, claims, effects, meta, replay, runs, touches
from sendctl.store.doubts import Held
from sendctl.store.places import Over
from sendctl.store.replay import Proven

Traces = Mapping[tuple[int, int], Trace]
FORGETFUL = TRANSITIONS["replay_doubt"].sources  # states that say nothing of an attempt that journals know


@dataclass
class Replayed:
    """What the journals put back."""

    runs: int = 0
    sent: int = 0
    in_doubt: int = 0
    remembered: int = 0  # of messages that the store does not have, or cannot settle now
    known: int = 0  # the store knew already, at least that it is in doubt
    recorded: int = 0  # of what dead runs had left in flight, as in every import
    requeued: int = 0
    contradicted: list[int] = field(default_factory=list)  # messages that the store has sent again since: twice

    def as_detail(self) -> dict[str, object]:
        names = ("runs", "sent", "in_doubt", "remembered", "known")
        return {name: getattr(self, name) for name in names} | {"contradictions": len(self.contradicted)}


def needed(context: Context) -> str:
    """Why this host's journals must be replayed, or ""."""
    with context.store.read() as connection:
        row = meta.read(connection)
        mine = meta.host_epoch(connection, context.home.host_id)
    return "" if mine in (None, row.epoch) else row.epoch_reason or "another host found that the store was rewound"


@dataclass
class Foreseen:
    """What a replay will find of one campaign's messages."""

    sent: int = 0
    in_doubt: list[Held] = field(default_factory=list)


def foresee(context: Context, campaign_id: int) -> Foreseen:
    """What the journals here prove of a campaign's messages and the store does not know. Only looks."""
    with context.store.read() as connection:
        reached: dict[int, Proven] = {}
        for note, traces in _journals(context, meta.read(connection).store_id):
            proven = _proven_by(note, _unknown(connection, traces))
            places = replay.known_messages(connection, [item.key for item in proven])
            for item in proven:
                place = places.get(item.key)
                if place is None or place.campaign_id != campaign_id or place.state not in FORGETFUL:
                    continue
                before = reached.get(place.message_id)
                if not replay.attempt_known(connection, place.message_id, item.claim_id) and not (
                    before and before.accepted
                ):
                    reached[place.message_id] = item
    doubtful = [(message_id, item.claim_id) for message_id, item in reached.items() if not item.accepted]
    return Foreseen(len(reached) - len(doubtful), doubtful)


def replay_all(context: Context, *, with_what_is_left: bool = False) -> Replayed:
    """Replay, then enter this host into the store's epoch.

    Raises StoreLocked while a run of this host is alive, StoreElsewhere, and StoreRewound for a backup from before
    the oldest journal, unless `with_what_is_left`.
    """
    done = Replayed()
    with context.store.read() as connection:
        row = meta.read(connection)
    away = elsewhere(context, row, None)
    if away:
        raise StoreElsewhere(away)
    if not with_what_is_left:
        _check_age(context)
        _check_journals(context, row)
    with reading(context.home):
        for note in _notes(context, row.store_id):
            _replay(context, note, done)
    with context.store.write() as connection:
        now = context.store.now(connection)
        row = meta.read(connection)
        meta.note_host(connection, host_id=context.home.host_id, hostname=context.hostname, epoch=row.epoch, now=now)
        # On Postgres a restored backup is another database: who replays journals into it goes on with it.
        meta.change(connection, database_id=meta.database_identity(connection))
        seen = context.home.seen_passes(row.store_id)
        number = meta.count_pass(connection, hostname=context.hostname, now=now, at_least=seen)
    context.home.note_passes(row.store_id, number)
    return done


def _journals(context: Context, store_id: str) -> Iterator[tuple[RunNote, Traces]]:
    """What each of this host's runs on a store wrote, oldest run first."""
    with reading(context.home):
        for note in _notes(context, store_id):
            yield note, traces_of(context.home, note)[0]


def _unknown(connection: Connection, traces: Traces) -> Traces:
    """Those that the store does not have under the same number: in a month of journals, few."""
    known = runs.attempt_states(connection, list(traces))
    return {place: trace for place, trace in traces.items() if known.get(place, ("",))[0] != trace.claim_id}


def _notes(context: Context, store_id: str) -> list[RunNote]:
    """This host's runs on a store, oldest first, whether it confirmed them or not."""
    run_ids = {*context.home.pending(), *context.home.all_confirmed()}
    notes = [homes.note_of(context.home, run_id) for run_id in sorted(run_ids)]
    ours = [note for note in notes if note is not None and note.store_id == store_id]
    return sorted(ours, key=lambda note: note.started_at)


def journals_miss(context: Context) -> bool:
    """Whether this host's journals are lost or were put back too: who was reached meanwhile is not known here."""
    with context.store.read() as connection:
        return context.home.misses_passes(meta.read(connection).store_id)


def _check_journals(context: Context, row: meta.Meta) -> None:
    """Journals that were put back with the store, or began anew, do not know who was reached in between."""
    if context.home.misses_passes(row.store_id):
        raise StoreRewound(
            "the journals of this host are lost or were put back too: they do not know its last passes",
            hint=f"put the newest journals back into {context.home.path}. If they are lost, who was reached in between"
            f" is not known here: cancel what must not go twice, then recover with --lost-host {context.hostname}",
        )


def _check_age(context: Context) -> None:
    with context.store.read() as connection:
        newest = max((run.heartbeat_at for run in runs.latest(connection)), default=None)
    if newest is None:
        return
    age_s = (context.clock.utc_now() - newest).total_seconds()
    if age_s > homes.KEEP_JOURNALS_S:
        raise StoreRewound(
            f"the backup is {age_s / 86400:.0f} days old; journals are kept for {homes.KEEP_JOURNALS_S / 86400:.0f}",
            hint="what was sent in between may be sent again. Take a newer backup; or cancel what must not go twice,"
            f" then recover with --lost-host {context.hostname}",
        )


def _replay(context: Context, note: RunNote, done: Replayed) -> None:
    pending = note.run_id in context.home.pending()
    if not pending:
        _replay_run(context, note, done)
        return
    with homes.dead_run(context.home, note.run_id) as dead:
        if not dead:
            raise StoreLocked(f"run {note.run_id} (pid {note.pid}) is still alive on this host")
        _replay_run(context, note, done)
        context.home.confirm(note.run_id)


def _replay_run(context: Context, note: RunNote, done: Replayed) -> None:
    traces, intact = traces_of(context.home, note)
    desk = Desk(context)
    with desk.transaction() as connection:
        unknown = _proven_by(note, _unknown(connection, traces))
        done.known += len(_proven_by(note, traces)) - len(unknown)
        places = replay.known_messages(connection, [item.key for item in unknown]).values()
        campaigns.lock(connection, {place.campaign_id for place in places}, {place.campaign_id for place in places})
        for item in unknown:
            _put_back(desk, connection, item, done)
        desk.note_opted_out(_opted_out(connection, traces))
        touches.note_change(connection, {place.campaign_id for place in places}, desk.now)
        row = runs.find(connection, [note.run_id]).get(note.run_id)
        if row is None:
            runs.record(connection, _replayed_row(context, note))
            runs.finish(connection, note.run_id, "replayed", {"attempts": len(traces)}, desk.now)
        elif row.finished_at is None:
            found = import_run(desk, connection, note, traces, intact=intact)
            done.recorded += found.recorded
            done.requeued += found.requeued
            runs.finish(connection, note.run_id, "replayed", {"attempts": len(traces)}, desk.now)
    done.runs += 1


def _opted_out(connection: Connection, traces: Traces) -> Iterable[str]:
    """Addresses whose owners told a service to let nothing through, in attempts that the store does not have."""
    unknown = _unknown(connection, traces).values()
    left = [trace.key for trace in unknown if trace.outcome is not None and trace.outcome.error_class == OPTED_OUT]
    if not left:
        return ()
    messages = replay.known_messages(connection, left).values()
    return effects.recipient_keys(connection, [place.message_id for place in messages]).values()


def _replayed_row(context: Context, note: RunNote) -> runs.RunRow:
    started_at = datetime.fromisoformat(note.started_at)
    return runs.RunRow(
        note.run_id, note.command, context.home.host_id, context.hostname, note.pid, note.boot_id,
        "replayed from its journal", started_at, started_at, None, None, {},
    )  # fmt: skip


def _proven_by(note: RunNote, traces: Traces) -> list[Proven]:
    """What a run's journals prove, in the order in which it came about."""
    found = [_proven(note, trace) for trace in sorted(traces.values(), key=lambda trace: trace.begun_at)]
    return [item for item in found if item is not None]


def _proven(note: RunNote, trace: Trace) -> Proven | None:
    """What a trace proves about acceptance: yes, or perhaps. None when it was certainly not accepted."""
    accepted = trace.outcome is not None and trace.outcome.kind is AttemptOutcome.ACCEPTED
    unknown = trace.dotted and (trace.outcome is None or trace.outcome.kind is AttemptOutcome.UNKNOWN)
    if not accepted and not unknown:
        return None
    outcome = trace.outcome
    return Proven(
        trace.key, note.run_id, 0, trace.claim_id, trace.provider, accepted,
        outcome.provider_message_id if outcome else "", outcome.text if outcome else "",
        datetime.fromtimestamp(trace.settled_at or trace.begun_at, UTC), trace.contents,
        datetime.fromtimestamp(trace.composed_at, UTC) if trace.composed_at is not None else None,
    )  # fmt: skip


def _put_back(desk: Desk, connection: Connection, proven: Proven, done: Replayed) -> None:
    place = replay.known_messages(connection, [proven.key]).get(proven.key)
    if place is None:
        replay.remember(connection, proven)
        done.remembered += 1
        return
    message_id = place.message_id
    if replay.attempt_known(connection, message_id, proven.claim_id):
        done.known += 1
        return
    revision = desk.revision_with(connection, place.campaign_id, proven.contents)
    if replay.put_back(connection, place, proven, revision=revision, now=desk.now):
        done.sent += proven.accepted
        done.in_doubt += not proven.accepted
        if proven.accepted:
            due = claims.by_id(connection, [message_id])[message_id]
            desk.conclude(connection, [Over(due, proven.at, "sent")])
    elif proven.accepted and desk.resolve(connection, message_id, acceptance(proven), evidence="journal", at=proven.at):
        done.sent += 1
    elif place.state in (State.SENDING, State.FAILED):
        # In flight under a claim from before the backup, or failed then and retried later: if it comes back to the
        # queue, it must not leave it again without this.
        replay.remember(connection, proven)
        done.remembered += 1
    elif place.state is State.IN_DOUBT and not proven.accepted:
        # In doubt by another attempt: its key is as old as the first of them.
        beside.put_back(connection, place, proven)
        if beside.sent_since(connection, message_id, proven.at):
            done.contradicted.append(message_id)
        else:
            done.known += 1
    else:
        done.contradicted.append(message_id)
