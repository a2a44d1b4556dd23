"""Carries out single steps of the real code: given what the world holds, what does this process do next?

The same question is answered from memory. A process that is asked again is repeated from its beginning, under the
same worlds as the first time: Python cannot copy a thread.
"""

from __future__ import annotations

import resource
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sendctl.journal.home import place_of
from sendctl.passes import enqueue, planning, reconcile, recover, send_due
from sendctl.passes.context import Context
from sendctl.settings import (
    JournalSettings,
    ProviderTable,
    ReconcileSettings,
    SendSettings,
    Settings,
    StoreSettings,
)
from sendctl.store import migrate, proofs
from sendctl.store.tables import text_of
from tests import in_memory
from tests.model import folders, processes
from tests.model.folders import Folder
from tests.model.ledger import TABLES, Ledger, ModelStore
from tests.model.mail_log import write_log
from tests.model.numbered import Numbered
from tests.model.processes import Call, Execution
from tests.model.scenario import Scenario
from tests.model.seams import ModelHome, World
from tests.store.ground import START, campaign_file

URL = "sqlite:////the-model/store.db"  # never opened: the store is in memory
CAMPAIGN = "sale"
FILES_EACH = 8  # that a waiting execution holds open: journal, locks, event loop


class Surroundings(NamedTuple):
    """What a step may depend on. `taken` are the locks of other processes; `log` is the MTA's log as it can be read."""

    store: int
    files: int
    taken: tuple[str, ...]
    seconds: float
    timeline: int
    log: tuple[tuple[str, float], ...] = ()
    log_seen_s: float = 0.0


class Step(NamedTuple):
    """What a process did: where it stands now (None: it ended), and what changed in the store and in its folder."""

    place: int | None
    tables: tuple[tuple[int, int], ...]  # place in TABLES, content
    change: folders.Change
    events: tuple[tuple[Any, ...], ...]
    ended: str | None
    defect: bool


class Uses(NamedTuple):
    """What a step asked for: nothing else can have had a part in it. `parts` are of the journal folder."""

    tables: tuple[int, ...]
    parts: tuple[str, ...]
    clock: bool
    log: bool


class Standing(NamedTuple):
    """What is known of a place: what the process is about to do, what may come of it, the locks it holds."""

    about: str
    options: tuple[str, ...]
    locks: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """How a place was reached first: from which one, with which result, under which surroundings."""

    before: int
    choice: str
    around: Surroundings
    calls: tuple[Call, ...]  # that ended on the way


class Machine:
    """Everything behind the processes of one exploration."""

    def __init__(self, scenario: Scenario, world: World) -> None:
        self.scenario, self.world = scenario, world
        self.folder = Path(tempfile.mkdtemp(prefix="sendctl-model-", dir=in_memory.folder()))
        self.ledger = Ledger(processes.told)
        self.files, self.places = Numbered(), Numbered()
        self.standings: dict[int, Standing] = {}
        self.executed = self.repeated = 0
        self._origins: dict[int, Origin] = {}
        self._begun: dict[int, tuple[int, str, str, float]] = {}  # by place: what `begin` was given
        self._memory: dict[tuple[int, str], dict[Uses, dict[tuple[Any, ...], Step]]] = defaultdict(dict)
        self._parts: dict[tuple[int, str], object] = {}
        self._waiting: dict[int, list[Execution]] = defaultdict(list)
        self._kept: dict[int, Execution] = {}  # those that wait, the longest first
        self._most_kept = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // FILES_EACH
        self._log = self.folder / "mail.log"
        self.first_store = self._prepare()

    # -- the beginning --------------------------------------------------------------------------------------------

    def _prepare(self) -> int:
        self._write_inputs()
        store = ModelStore(self.ledger, self.world, processes.pause, timelines=False)
        migrate.migrate(store, place=place_of(URL))
        people = range(1, self.scenario.people + 1) if self.scenario.enrolled else ()
        context = self._context("setup", self.folder)
        enqueue.run(context, self.folder / "campaign.toml", contacts=self._contacts("everybody", people))
        self.world.seconds += 1
        return self.ledger.capture()

    def _write_inputs(self) -> None:
        text = campaign_file(CAMPAIGN, controls=f"batch_size = {self.scenario.batch_size}")
        (self.folder / "campaign.toml").write_text(text)

    def _contacts(self, name: str, people: Any) -> Path:
        path = self.folder / f"{name}.csv"
        path.write_text("email,first_name\n" + "".join(f"p{number}@x.example,P{number}\n" for number in people))
        return path

    def _context(self, host: str, folder: Path) -> Context:
        tables = {name: ProviderTable(name, "model", {}) for name in self.scenario.providers}
        send = SendSettings(enabled=True, providers=self.scenario.providers, max_seconds=None)
        looking = ReconcileSettings(mta="postfix", mta_logs=(str(self._log),), mta_providers=("primary",))
        settings = Settings(None, StoreSettings(URL), send, tables, JournalSettings(folder),
                            looking if self.scenario.mail_log else ReconcileSettings())  # fmt: skip
        context = Context(settings, {}, self.world)
        options = ("go", "is not confirmed") if self.scenario.unheard else ("go",)
        pause = lambda about: processes.pause(about, *(options if about.startswith("write: ") else ("go",)))  # noqa: E731
        timelines = self.scenario.failovers > 0
        context.__dict__["store"] = ModelStore(self.ledger, self.world, pause, timelines=timelines)
        context.__dict__["home"] = ModelHome(folder, f"host-{host}")
        return context

    # -- processes ------------------------------------------------------------------------------------------------

    def begin(self, number: int, command: str, host: str, seconds: float) -> int:
        """The place of a process that has just been started."""
        execution = self._new(number, command, host, seconds)
        self._begun[execution.place] = (number, command, host, seconds)
        self._keep(execution)
        return execution.place

    def _new(self, number: int, command: str, host: str, seconds: float) -> Execution:
        path = Path(tempfile.mkdtemp(dir=self.folder))
        context = self._context(host, path)
        self.world.seconds = seconds
        program = partial(self._program, command, context)
        execution = Execution(number, f"{command} on {host}", program, Folder(path), self.places)
        execution.begin()
        self._note(execution)
        return execution

    def _program(self, command: str, context: Context, execution: Execution) -> None:
        verb, _, rest = command.partition(" ")
        programs: dict[str, Callable[[], object]] = {
            "send-due": lambda: self._send_due(context),
            "reconcile": lambda: reconcile.run(context),
            "recover": lambda: self._recover(context, rest),
            "enqueue": lambda: self._enqueue(context, rest),
        }
        programs[verb]()

    def _send_due(self, context: Context) -> None:
        report = send_due.run(context)
        if report.failure is not None:
            raise report.failure

    def _recover(self, context: Context, choice: str) -> None:
        made = planning.plan(context, CAMPAIGN, in_doubt=choice)
        recover.apply(context, made, reason="the model's operator")

    def _enqueue(self, context: Context, person: str) -> None:
        """One action: it neither sends nor settles anything. The moment at which it happens is anyone's."""
        processes.pause("enqueue")
        with processes.in_one_go():
            enqueue.run(context, self.folder / "campaign.toml", contacts=self._contacts(person, [int(person)]))

    def _note(self, execution: Execution) -> None:
        if execution.ended is None and execution.place not in self.standings:
            locks = tuple(execution.locks)
            self.standings[execution.place] = Standing(execution.about, execution.options, locks)

    def _keep(self, execution: Execution) -> None:
        if execution.ended is not None:
            execution.abandon()
            return
        self._waiting[execution.place].append(execution)
        self._kept[id(execution)] = execution
        if len(self._kept) > self._most_kept:
            oldest = next(iter(self._kept.values()))
            self._taken(oldest).abandon()

    def _taken(self, execution: Execution) -> Execution:
        del self._kept[id(execution)]
        self._waiting[execution.place].remove(execution)
        return execution

    # -- steps ----------------------------------------------------------------------------------------------------

    def step(self, place: int, choice: str, around: Surroundings) -> Step:
        """What the process at `place` does when it goes on and this comes of it.

        Answered from memory where the real code, at this place, was once told the same in all that it asked for.
        """
        known = self._memory[place, choice]
        for uses, steps in known.items():
            step = steps.get(self._told(uses, around))
            if step is not None:
                return step
        step, uses = self.carry_out(place, choice, around)
        known.setdefault(uses, {})[self._told(uses, around)] = step
        return step

    def _told(self, uses: Uses, around: Surroundings) -> tuple[Any, ...]:
        parts = self.ledger.parts(around.store)
        return (
            tuple(parts[table] for table in uses.tables),
            tuple(self._part(around.files, name) for name in uses.parts),
            tuple(lock for lock in around.taken if lock.removesuffix(".lock") in uses.parts),
            (around.seconds, around.timeline) if uses.clock else (),
            (around.log, around.log_seen_s) if uses.log else (),
        )

    def _part(self, files: int, name: str) -> object:
        if (files, name) not in self._parts:
            self._parts[files, name] = folders.part(self.files(files), name)
        return self._parts[files, name]

    def carry_out(self, place: int, choice: str, around: Surroundings) -> tuple[Step, Uses]:
        """The same, from the real code."""
        execution = self._at(place)
        self.executed += 1
        self._resume(execution, choice, around)
        before, after = self.ledger.parts(around.store), self.ledger.parts(self.ledger.capture())
        changed = tuple((table, after[table]) for table in range(len(after)) if before[table] != after[table])
        step = Step(
            None if execution.ended is not None else execution.place,
            changed,
            folders.change(self.files(around.files), execution.folder.look()),
            tuple(execution.events), execution.ended, execution.defect,
        )  # fmt: skip
        if step.place is not None:
            self._origins.setdefault(step.place, Origin(place, choice, around, tuple(execution.calls)))
        uses = self._uses(execution)
        self._note(execution)
        self._keep(execution)
        return step, uses

    def _uses(self, execution: Execution) -> Uses:
        tables = tuple(place for place, name in enumerate(TABLES) if name in self.ledger.raw.touched)
        parts = tuple(sorted(execution.used - {"clock", "log", "store"}))
        return Uses(tables, parts, "clock" in execution.used, "log" in execution.used)

    def _resume(self, execution: Execution, choice: str, around: Surroundings) -> None:
        self._surround(execution, around)
        self.ledger.raw.touched.clear()
        execution.resume(choice)

    def _surround(self, execution: Execution, around: Surroundings) -> None:
        self.ledger.put(around.store)
        execution.folder.put(self.files(around.files), around.taken)
        self.world.seconds, self.world.timeline = around.seconds, around.timeline
        if self.scenario.mail_log:
            write_log(self._log, around.log, around.log_seen_s)

    def _at(self, place: int) -> Execution:
        """An execution that stands there: one that waits, or one that is led there again."""
        way = [place]
        while not self._waiting[way[-1]] and way[-1] in self._origins:
            way.append(self._origins[way[-1]].before)
        start = way[-1]
        waiting = self._waiting[start]
        execution = self._taken(waiting[-1]) if waiting else self._new(*self._begun[start])
        self._lead(execution, way[-2::-1])
        return execution

    def _lead(self, execution: Execution, way: list[int]) -> None:
        """Repeat the steps that lead along these places; what is known of whole calls is not repeated."""
        origins = {self._origins[place].before: self._origins[place] for place in way}
        ends = {call.exit: self._origins[place].around for place in way for call in self._origins[place].calls}
        execution.known = {(call.name, call.entry): call for place in way for call in self._origins[place].calls}
        execution.skipping = lambda end: self._skipped(execution, ends[end])
        while way and execution.place != way[-1]:
            assert execution.place in origins, f"not repeatable: {execution.about} after {self.standings[way[-1]]}"
            origin = origins[execution.place]
            self.repeated += 1
            self._resume(execution, origin.choice, origin.around)
            self.ledger.capture()
            execution.folder.look()
        execution.known = {}

    def _skipped(self, execution: Execution, around: Surroundings) -> None:
        """A call need not be repeated: the world is at once as it was when it ended."""
        self.ledger.capture()
        execution.folder.look()
        self._surround(execution, around)

    def claim_ends_s(self, claimed_at: str) -> float:
        """When a claim made then ends, on the model's clock."""
        at = datetime.fromisoformat(claimed_at).replace(tzinfo=UTC)
        return (at - START).total_seconds() + SendSettings().claim_s

    def text_of(self, seconds: float) -> str:
        """A moment of the model as the store writes it."""
        return text_of(START + timedelta(seconds=seconds))

    def proofs(self, store: int) -> list[str]:
        """What the ledger's own proof finds in a content of the store."""
        self.ledger.put(store)
        with self.ledger.engine.connect() as connection:
            return [found.what for found in proofs.check(connection)]

    def close(self) -> None:
        """End all executions and remove what they wrote."""
        for waiting in self._waiting.values():
            for execution in waiting:
                execution.abandon()
        self.ledger.engine.dispose()
        shutil.rmtree(self.folder)
