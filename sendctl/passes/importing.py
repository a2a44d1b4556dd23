"""Importing the journals of dead runs: what each left `sending` goes where its journal proves it belongs.

  outcome              -> recorded
  dot, no outcome      -> in_doubt
  begin, no dot        -> queued     } only when the host has not rebooted since:
  nothing              -> queued     } the journal's tail may be lost; then in_doubt
A journal that knows attempts which the store does not means that the store was rewound: a new epoch begins.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Connection

from sendctl import faults
from sendctl.journal import home as homes
from sendctl.journal import records
from sendctl.journal.home import Home, RunNote
from sendctl.journal.records import Trace
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.providers.base import Outcome, Phase
from sendctl.states import AttemptOutcome
from sendctl.store import claims, meta, places, runs
from sendctl.store.outcomes import Settled

log = logging.getLogger("sendctl")


@dataclass
class Imported:
    """What importing did: messages by where they went, and the dead runs."""

    runs: list[str] = field(default_factory=list)
    recorded: int = 0
    requeued: int = 0
    in_doubt: int = 0
    late: int = 0  # in doubt before, settled by a journal now
    failed: int = 0  # of those recorded: refused, or out of attempts
    rewound: str = ""  # why the store must have been rewound, or empty

    def as_detail(self) -> dict[str, object]:
        return {"dead_runs": self.runs, "recorded": self.recorded, "requeued": self.requeued,
                "in_doubt": self.in_doubt, "late": self.late}  # fmt: skip


def import_dead_runs(context: Context, *, only_look: bool = False) -> Imported:
    """Import every dead run of this host, each in a transaction of its own. Live runs are left alone.

    With `only_look` nothing is written: the answer says whether the store was rewound.
    """
    imported = Imported()
    store_id = _store_id(context)
    for run_id in context.home.pending():
        note = homes.note_of(context.home, run_id)
        if note is None or note.store_id != store_id:
            continue
        with homes.dead_run(context.home, run_id) as dead:
            if dead and not only_look:
                _import(context, note, imported)
            else:
                imported.rewound = imported.rewound or _looks_rewound(context, note, alive=not dead)
    if not imported.rewound:
        imported.rewound = _newest_forgotten(context, store_id)
    return imported


def _store_id(context: Context) -> str:
    with context.store.read() as connection:
        return meta.read(connection).store_id


def _newest_forgotten(context: Context, store_id: str) -> str:
    """Runs end in order: a store that knows this host's newest confirmed runs has forgotten none of them."""
    newest: list[str] = []
    for run_id in context.home.confirmed():
        note = homes.note_of(context.home, run_id)
        if note is not None and note.store_id == store_id:
            newest.append(run_id)
        if len(newest) == 3:
            break
    if not newest:
        return ""
    with context.store.read() as connection:
        known = runs.find(connection, newest)
    gone = [run_id for run_id in newest if run_id not in known or known[run_id].finished_at is None]
    return f"run {gone[0]} ended on this host and the store does not know it" if gone else ""


def run_forgotten(context: Context, run_id: str) -> str:
    """Why the store has forgotten something that a living run of this host has done, or ""."""
    note = homes.note_of(context.home, run_id)
    return _looks_rewound(context, note, alive=True) if note is not None else ""


def _looks_rewound(context: Context, note: RunNote, *, alive: bool) -> str:
    """The journal is read before the store: a begin is written only after its claim was committed.

    Of a live run, which grows, the last message of each worker is enough: a rewind forgets the newest claims first.
    """
    traces = newest_traces(context.home, note) if alive else traces_of(context.home, note)[0]
    with context.store.read() as connection:
        known = note.run_id in runs.find(connection, [note.run_id])
        return _contradiction(connection, note, known, traces)


def _import(context: Context, note: RunNote, imported: Imported) -> None:
    traces, intact = traces_of(context.home, note)
    desk = Desk(context)
    with desk.transaction() as connection:
        row = runs.seize(connection, note.run_id)
        imported.rewound = imported.rewound or _contradiction(connection, note, row is not None, traces)
        if imported.rewound:
            return
        if row is not None and row.finished_at is None:
            found = import_run(desk, connection, note, traces, intact=intact)
            imported.recorded += found.recorded
            imported.requeued += found.requeued
            imported.in_doubt += found.in_doubt
            imported.late += found.late
            imported.failed += found.failed
            runs.finish(connection, note.run_id, "died", found.as_detail(), desk.now)
            imported.runs.append(note.run_id)
        faults.passing("import.before_commit")
    faults.passing("import.committed")
    if row is None or note.command != "send-due":
        context.home.lock_path(note.run_id).unlink(missing_ok=True)  # nothing was begun: no journal to keep
    else:
        context.home.confirm(note.run_id)


def traces_of(home: Home, note: RunNote) -> tuple[dict[tuple[int, int], Trace], set[int]]:
    """All traces of a run, and the workers whose journal proves absence: undamaged, written since this boot."""
    traces: dict[tuple[int, int], Trace] = {}
    intact: set[int] = set()
    for path in home.journals(note.run_id):
        journal = records.read(path)
        traces |= journal.traces
        if journal.whole and journal.header is not None and journal.header.boot_id == homes.boot_id() != "unknown":
            intact.add(journal.header.worker)
    return traces, intact


def newest_traces(home: Home, note: RunNote) -> dict[tuple[int, int], Trace]:
    """What began last in each of a run's journals."""
    traces: dict[tuple[int, int], Trace] = {}
    for path in home.journals(note.run_id):
        traces |= records.newest(path)
    return traces


def _contradiction(connection: Connection, note: RunNote, run_known: bool, traces: dict[tuple[int, int], Trace]) -> str:
    """Why this journal proves a rewind, or "". Begin is written only after the claim's commit was confirmed."""
    if not run_known and traces:
        return f"run {note.run_id} sent {len(traces)} messages and the store does not know it"
    known = runs.attempt_states(connection, list(traces))
    for place, trace in traces.items():
        if known.get(place, ("", ""))[0] != trace.claim_id:
            return f"run {note.run_id} tried message {place[0]} (attempt {place[1]}) and the store does not know it"
    return ""


def import_run(
    desk: Desk, connection: Connection, note: RunNote, traces: dict[tuple[int, int], Trace], *, intact: set[int]
) -> Imported:
    """Settle what a dead run left open, from its journals; the caller has made sure that it is dead."""
    found = Imported()
    opened = runs.open_attempts(connection, run_id=note.run_id)
    due = claims.by_id(connection, [attempt.message_id for attempt in opened])
    desk.load(connection, due.values())
    settled = []
    for attempt in opened:
        trace = traces.get((attempt.message_id, attempt.number))
        outcome, evidence = verdict(trace, proves_absence=attempt.worker in intact)
        at = _moment(trace, desk.now)
        settled.append(desk.decided(due[attempt.message_id], attempt, outcome, evidence=evidence, at=at))
    desk.settle(connection, settled)
    _count(found, settled)
    found.late = settle_late(desk, connection, traces)
    return found


def _moment(trace: Trace | None, now: datetime) -> datetime:
    """When the reply came by the host's clock, never later than now by the store's."""
    if trace is None or trace.settled_at is None:
        return now
    return min(now, datetime.fromtimestamp(trace.settled_at, UTC))


def _count(found: Imported, settled: list[Settled]) -> None:
    for item in settled:
        found.failed += item.transition == "refuse"
        if item.transition == "doubt":
            found.in_doubt += 1
        elif item.outcome.kind is AttemptOutcome.UNTOUCHED:
            found.requeued += 1
        else:  # an outcome that the journal had, wherever it leads: as planning.py counts it
            found.recorded += 1


def verdict(trace: Trace | None, *, proves_absence: bool) -> tuple[Outcome, str]:
    """What a journal proves about one open attempt, as (outcome, evidence)."""
    if trace is not None and trace.outcome is not None:
        return trace.outcome, "journal"
    if trace is not None and trace.dotted:
        text = "the run died after the last byte may have left and before a reply was recorded"
        return Outcome(AttemptOutcome.UNKNOWN, Phase.DOTTED, text=text, error_class="run_died"), "journal"
    if proves_absence:
        phase = Phase.BEGUN if trace is not None else Phase.UNTOUCHED
        text = "the run died before the last byte left"
        return Outcome(AttemptOutcome.UNTOUCHED, phase, text=text, error_class="run_died"), "journal"
    text = "the run died and its journal is gone, damaged, or was cut by a reboot"
    return Outcome(AttemptOutcome.UNKNOWN, Phase.DOTTED, text=text, error_class="run_died"), "dead_run"


def settle_late(desk: Desk, connection: Connection, traces: dict[tuple[int, int], Trace]) -> int:
    """Late proof: attempts that were given up as unknown, whose journal has an outcome after all."""
    states = runs.attempt_states(connection, [place for place, trace in traces.items() if trace.outcome])
    places.hold_of(connection, (message_id for message_id, _ in states))
    count = 0
    for place, (claim_id, outcome) in states.items():
        trace = traces.get(place)
        if trace is None or trace.outcome is None or trace.claim_id != claim_id:
            continue
        kind = trace.outcome.kind
        # Deferred, where a service or a log did not have it: that was wrong if its journal has it accepted.
        given_up = outcome == AttemptOutcome.DEFERRED and kind is AttemptOutcome.ACCEPTED
        given_up = given_up or outcome in (AttemptOutcome.UNKNOWN, AttemptOutcome.ABANDONED)
        if given_up and kind is not AttemptOutcome.UNKNOWN:
            count += desk.resolve(
                connection, place[0], trace.outcome, evidence="journal", claim_id=claim_id, at=_moment(trace, desk.now)
            )
    return count


def stalled_runs(context: Context) -> dict[str, int]:
    """Messages with an expired claim by the run that holds them, of runs of this host that live: stopped, or hung."""
    living = {run_id for run_id in context.home.pending() if _alive(context.home, run_id)}
    with context.store.read() as connection:
        opened = runs.open_attempts(connection, expired_at=context.store.now(connection)) if living else []
    return dict(Counter(row.run_id for row in opened if row.run_id in living))


def expire_foreign(context: Context) -> int:
    """Claims of runs whose death nobody here can prove, expired for good: in doubt, never back to the queue."""
    desk = Desk(context)
    with desk.transaction() as connection:
        grace = desk.now - timedelta(seconds=context.settings.send.deadline_s)
        living = {run_id for run_id in context.home.pending() if _alive(context.home, run_id)}
        opened = [row for row in runs.open_attempts(connection, expired_at=grace) if row.run_id not in living]
        due = claims.by_id(connection, [attempt.message_id for attempt in opened])
        desk.load(connection, due.values())
        text = "its claim expired and nobody can say whether its run is dead"
        outcome = Outcome(AttemptOutcome.UNKNOWN, Phase.DOTTED, text=text, error_class="claim_expired")
        settled = [
            desk.decided(due[row.message_id], row, outcome, evidence="claim_expired", at=desk.now) for row in opened
        ]
        return len(settled) - len(desk.settle(connection, settled))


def _alive(home: Home, run_id: str) -> bool:
    with homes.dead_run(home, run_id) as dead:
        return not dead
