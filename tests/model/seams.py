"""What the model gives the real code instead of the world: clock, randomness, store, journal folder and provider.

Nothing of what sendctl decides is replaced. Where the code can be stopped, it asks `pause`; what it learns is observed.
"""

from __future__ import annotations

import copy
import random
import re
import sys
from asyncio import SelectorEventLoop
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from sendctl.clock import Deadline
from sendctl.errors import SendctlError
from sendctl.journal import home as homes
from sendctl.journal import records
from sendctl.journal.home import Home, RunNote
from sendctl.passes import deciding, importing, reconcile, recover, replaying, send_due, startup
from sendctl.passes import evidence as lookups
from sendctl.passes.claiming import Clerk, Done, Window
from sendctl.passes.importing import Imported
from sendctl.passes.reconcile import ReconcileReport
from sendctl.passes.recover import Recovered
from sendctl.passes.replaying import Replayed
from sendctl.providers import registry
from sendctl.providers.base import Capabilities, Outcome, Outgoing, Phase, PhaseMark, Scope
from sendctl.states import AttemptOutcome
from sendctl.store import meta
from tests.model import processes
from tests.model.processes import Call, Execution, observed, pause
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, START

BROKEN_OFF = Outcome(AttemptOutcome.DEFERRED, Phase.BEGUN, Scope.PROVIDER, text="broke off", error_class="reset")
SILENCE = Outcome(AttemptOutcome.UNKNOWN, Phase.DOTTED, text="silence", error_class="timeout")
# What may become of a message whose last byte leaves, and the reply that is then on its way.
FATES = {"accepted": ACCEPTED, "deferred": DEFERRED, "refused": REFUSED, "never arrives": SILENCE}


@dataclass
class World:
    """What clocks and the database's identity say to whoever runs now."""

    seconds: float = 0.0
    timeline: int = 1
    fates: tuple[str, ...] = ("accepted",)

    def utc_now(self) -> datetime:
        return observed(START + timedelta(seconds=self.seconds), "clock")

    def boot_s(self) -> float:
        return observed(1000.0 + self.seconds, "clock")

    def unix_s(self) -> float:
        return self.utc_now().timestamp()


@dataclass
class ModelProvider:
    """Hands over what the world lets through, and tells the judge what was accepted. Recognises no keys."""

    name: str
    world: World
    capabilities: Capabilities = field(default_factory=Capabilities)
    connections: int = 1

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        pause(f"begin {message.recipient}")
        mark.begin()
        broken = ("go", "breaks off") if "breaks off" in self.world.fates else ("go",)
        if pause(f"write the last byte of {message.recipient} into the journal", *broken) != "go":
            return BROKEN_OFF
        mark.dot()
        checked_s = self.world.seconds
        fates = [fate for fate in self.world.fates if fate in FATES]
        fate = pause(f"send the last byte to {message.recipient}", *fates)
        execution = processes.running
        assert execution is not None
        execution.events.append(("byte", message.recipient, message.message_id, message.attempt, checked_s))
        if fate == "accepted":
            header = re.search(rb"^Message-ID: <([^>]+)>", message.content, re.MULTILINE)
            assert header is not None
            execution.events.append(("accepted", message.recipient, header[1].decode()))
        lost = ("go", "is lost") if fate == "accepted" and "is lost" in self.world.fates else ("go",)
        reply = pause(f"hear the reply about {message.recipient}", *lost)
        return FATES[fate] if reply == "go" else SILENCE

    async def close(self) -> None:
        """Nothing to give back."""


class ModelHome(Home):
    """The real journal folder; whoever is scheduled may be stopped before it looks or changes anything there."""

    __slots__ = ()

    def pending(self) -> list[str]:
        pause("list the journals")
        return observed(super().pending(), "pending")

    def confirmed(self, newest: int = 0) -> list[str]:
        pause("list confirmed runs")
        return observed(super().confirmed(newest), "confirmed")

    def all_confirmed(self) -> list[str]:
        pause("list all confirmed runs")
        return observed(sorted(super().all_confirmed()), "confirmed")

    def count_confirmed(self) -> int:
        return observed(super().count_confirmed(), "confirmed")

    def journals(self, run_id: str) -> list[Path]:
        found = super().journals(run_id)
        observed([path.name for path in found], run_id)
        return found

    def seen_passes(self, store_id: str) -> int:
        return observed(super().seen_passes(store_id), "passes")

    def note_passes(self, store_id: str, number: int) -> None:
        pause("note the pass")
        super().note_passes(store_id, number)

    def confirm(self, run_id: str) -> None:
        pause("confirm the run")
        observed(run_id, run_id)
        super().confirm(run_id)


class EvenJitter(random.Random):
    """Spreads nothing."""

    def random(self) -> float:
        return 0.5


@contextmanager
def injected(world: World) -> Iterator[pytest.MonkeyPatch]:
    """The seams in place; what the variants break is broken through the same patch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secrets.token_bytes", _token_bytes)
        patch.setattr("sendctl.journal.writer.time", SimpleNamespace(time=world.unix_s))
        patch.setattr("os.posix_fallocate", lambda *_: None)
        patch.setattr("os.fsync", lambda _: None)
        patch.setattr(deciding, "random", SimpleNamespace(Random=EvenJitter))
        patch.setitem(sys.modules, "uvloop", SimpleNamespace(new_event_loop=SelectorEventLoop))
        patch.setattr("sendctl.passes.worker._woken_by_signals", lambda _loop: nullcontext())  # nobody sends any
        patch.setattr("sendctl.passes.worker.beside", at_once)  # a transaction is one step here
        patch.setattr("sendctl.faults.passing", _passing)
        patch.setitem(registry._ADAPTERS, "model", lambda table, _environ: ModelProvider(table.name, world))
        patch.setattr(homes, "dead_run", _dead_run(homes.dead_run))
        patch.setattr(homes, "held_lock", _held_lock(homes.held_lock))
        note_of, read, newest = homes.note_of, records.read, records.newest
        patch.setattr(homes, "note_of", lambda home, run_id: observed(note_of(home, run_id), run_id))
        patch.setattr(records, "read", lambda path: observed(read(path), _run_of(path)))
        patch.setattr(records, "newest", lambda path: observed(newest(path), _run_of(path)))
        search = lookups.search
        patch.setattr(lookups, "search", lambda *given, **options: observed(search(*given, **options), "log"))
        patch.setattr(meta, "read", _watched(meta.read))
        patch.setattr(Clerk, "turn", _turn(Clerk.turn))
        for module, name in _FORGETFUL:
            if hasattr(module, name):
                patch.setattr(module, name, _forgetting(getattr(module, name)))
        yield patch


async def at_once(call: Callable[..., Any], *given: Any) -> Any:
    """Call it while everything else stands still."""
    return call(*given)


def with_timelines(patch: pytest.MonkeyPatch, world: World) -> None:
    """Let the store say which timeline it is on, as Postgres does (meta.database_identity)."""
    said = "7000/{}/16384/16400".format
    patch.setattr(meta, "database_identity", lambda _connection: observed(said(world.timeline), "clock"))


class Watched:
    """The store's own row, of which a process learns what it looks at and no more."""

    CONSTANT = frozenset({"store_id", "secret", "schema_version", "bound_to"})

    def __init__(self, row: meta.Meta, execution: Execution, constant: bool) -> None:
        self._row, self._execution, self._constant, self._step = row, execution, constant, execution.steps

    def __getattr__(self, name: str) -> Any:
        if name in self.CONSTANT:
            return getattr(self._row, name)
        assert not self._constant, f"{name} may change: the model must stop before it is read"
        assert self._execution.steps == self._step, f"{name} is looked at later than it was read"
        return observed(getattr(self._row, name), "store")


def _watched(real: Callable[[Connection], meta.Meta]) -> Callable[[Connection], Any]:
    def read(connection: Connection) -> Any:
        execution = processes.running
        if execution is None:
            return real(connection)
        execution.listening = False
        row = real(connection)
        execution.listening = True
        return Watched(row, execution, connection.info["constant"])

    return read


def _token_bytes(count: int) -> bytes:
    return processes.running.new_bytes(count) if processes.running else bytes(count)


def _passing(name: str) -> None:
    if name == "journal.dotted":
        pause("ask the clock once more")


def _run_of(journal: Path) -> str:
    return journal.name.partition(".")[0]


def _dead_run(real: Callable[..., Any]) -> Callable[..., Any]:
    @contextmanager
    def dead_run(home: Home, run_id: str) -> Iterator[bool]:
        pause("look whether a run is alive")
        with real(home, run_id) as dead, _holding(home.lock_path(run_id).name if dead else ""):
            yield observed(dead, run_id)

    return dead_run


def _held_lock(real: Callable[..., Any]) -> Callable[..., Any]:
    @contextmanager
    def held_lock(home: Home, note: RunNote) -> Iterator[int]:
        pause("take the lock of a new run")
        observed(note.run_id, note.run_id)
        with real(home, note) as descriptor, _holding(home.lock_path(note.run_id).name):
            yield descriptor

    return held_lock


@contextmanager
def _holding(lock: str) -> Iterator[None]:
    """Says whose lock a process holds while it is stopped: other processes of the model must find it taken."""
    execution = processes.running
    if execution is None or not lock:
        yield
        return
    execution.locks.append(lock)
    try:
        yield
    finally:
        execution.locks.remove(lock)


def _turn(real: Callable[..., Window]) -> Callable[..., Window]:
    """Where a sender stands between two windows is what it carries over: everything before is forgotten.

    Only these fields of a clerk and a worker outlive a turn, beside counts that are printed at the end.
    """

    def turn(clerk: Clerk, done: list[Done], limit: int) -> Window:
        execution = processes.running
        assert execution is not None
        journal = _journal(clerk)
        carried = (repr([(item.claimed, item.outcome, item.at_boot_s) for item in done]), limit, clerk._last)
        execution.place = execution.places["turn", execution.number, carried, clerk.claimed, journal,
                                           execution.drawn]  # fmt: skip
        window = real(clerk, done, limit)
        ends = (window.lease.at_boot_s, window.lease.at) if window.lease else ()
        found = repr(replace(window, lease=None))
        execution.place = execution.places["window", execution.number, found, ends, limit, clerk.claimed,
                                           journal, execution.drawn]  # fmt: skip
        return window

    return turn


def _journal(clerk: Clerk) -> bytes:
    path = clerk.desk.context.home.journal_path(clerk.run_id, clerk.worker)
    return path.read_bytes()


# Functions of which nothing goes on but what they return, raise, or count into a report: what they learnt on the
# way is forgotten with them. One that is not there any more only costs time.
_FORGETFUL = (
    (importing, "_looks_rewound"), (importing, "_newest_forgotten"), (importing, "_import"), (startup, "_check_place"),
    (startup, "_count_pass"), (startup, "rewound_reason"), (startup, "declare_rewound"), (recover, "rewound_reason"),
    (recover, "declare_rewound"), (recover, "expire_foreign"), (reconcile, "expire_foreign"), (recover, "plan"),
    (replaying, "needed"), (replaying, "replay_all"), (replaying, "_replay"), (send_due, "_anything_due"),
    (send_due, "take_over"), (reconcile, "take_over"), (recover, "take_over"), (recover, "_take_over"),
    (reconcile, "_settle_doubt"), (reconcile, "_tidy"), (reconcile, "_prove"),
)  # fmt: skip
_COUNTING = (Imported, ReconcileReport, Recovered, Replayed)  # what such a call counts into, beside what it returns


def _forgetting(real: Callable[..., Any]) -> Callable[..., Any]:
    def forgetting(*arguments: Any, **options: Any) -> Any:
        execution = processes.running
        if execution is None:
            return real(*arguments, **options)
        counts = [argument for argument in arguments if isinstance(argument, _COUNTING)]
        call = execution.entered(real.__name__)
        if call is None:
            call = _called(execution, real.__name__, partial(real, *arguments, **options), counts)
        else:
            for held, then in zip(counts, call.counts, strict=True):
                held.__dict__.update(copy.deepcopy(then.__dict__))
        if call.error is not None:
            raise call.error
        return copy.deepcopy(call.result)

    return forgetting


def _called(execution: Execution, name: str, real: Callable[[], Any], counts: list[Imported]) -> Call:
    entry, result, error = execution.place, None, None
    try:
        result = real()
    except SendctlError as raised:
        error = raised
    then = tuple(copy.deepcopy(counts))
    execution.place = execution.places["after", name, entry, repr(result), repr(error), repr(then), execution.drawn]
    call = Call(name, entry, execution.place, copy.deepcopy(result), error, then, dict(execution.draws))
    execution.calls.append(call)
    return call
