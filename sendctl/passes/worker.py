"""One sender: the loop T(1) S(1) T(2) S(2) ... until nothing is due, time is up, or it is told to stop.

A worker owns its journal and its claims; several of them, in one run or in many, never share a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sendctl import stopping
from sendctl.clock import Clock
from sendctl.definition import Definition
from sendctl.errors import ExitCode, StoppedEarly, StoreRewound, Unreachable
from sendctl.journal import home as homes
from sendctl.journal.records import Header
from sendctl.journal.writer import JournalWriter
from sendctl.passes.claiming import Clerk, Done, Window, blamed
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.rendered import Press
from sendctl.passes.startup import check_remembered
from sendctl.passes.submitting import Submitter
from sendctl.providers.base import Provider, Scope
from sendctl.providers.registry import build_provider
from sendctl.states import AttemptOutcome

LONGEST_WAIT_S = 5.0  # for a token or a breaker; beyond that the next pass goes on
FIRST_WINDOW = 20
WINDOW_S = 0.25  # the larger, the longer does a transaction keep the lanes from what has arrived meanwhile


@dataclass(frozen=True, slots=True)
class Orders:
    """What one worker of a run shall do."""

    run_id: str
    worker: int
    store_id: str
    campaign: str | None = None
    limit: int | None = None
    max_seconds: float | None = None


@dataclass
class Report:
    """What a worker did: messages by outcome, why it ended, and what a person should know."""

    outcomes: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    failed: int = 0  # messages that are failed now, whatever their last outcome
    paused: int = 0  # campaigns that sendctl paused
    unreadable: list[str] = field(default_factory=list)  # letters whose contents cannot be opened here
    ended: str = "nothing due"  # nothing due | limit | time | drained | waiting | blocked | failed
    blocked: str = ""
    told: bool = False  # an earlier pass has said why it is blocked
    stops: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Sum up the workers of a run; the most serious end counts."""
        self.outcomes = dict(Counter(self.outcomes) + Counter(other.outcomes))
        self.lost += other.lost
        self.failed += other.failed
        self.paused += other.paused
        self.unreadable = sorted({*self.unreadable, *other.unreadable})
        self.stops += [stop for stop in other.stops if stop not in self.stops]
        order = ["nothing due", "limit", "waiting", "blocked", "time", "drained"]
        if (order.index(other.ended), not other.told) > (order.index(self.ended), not self.told):
            self.ended, self.blocked, self.told = other.ended, other.blocked, other.told


class Worker:
    """Runs the loop. Everything that touches time, store, disk or network is given to it."""

    def __init__(self, context: Context, orders: Orders, report: Report) -> None:
        self.context, self.orders, self.report = context, orders, report
        self.clock: Clock = context.clock
        self.providers = _providers(context)
        self.desk = Desk(context)
        self.clerk = Clerk(self.desk, orders.run_id, orders.worker, frozenset(self.providers), orders.campaign)
        self.draining = asyncio.Event()
        self._put_back: set[int] = set()
        self._down: dict[str, str] = {}  # providers that failed and have accepted nothing since, and why
        header = Header(
            orders.store_id, orders.run_id, orders.worker, context.home.host_id, homes.boot_id(),
            self.clock.utc_now().isoformat(),
        )  # fmt: skip
        self.journal = JournalWriter(context.home.journal_path(orders.run_id, orders.worker), header)
        self.submitter = Submitter(self.clock, self.journal, self.providers, Press(), context.settings.send.deadline_s)

    async def run(self) -> None:
        """Work until there is nothing to do; the report says what was done, also before an error.

        An error of the store leaves the outcomes in the journal, synced.
        """
        try:
            await self._work()
            self._conclude()
            if self.journal.broken:
                raise StoppedEarly(self.journal.broken, hint="free disk space or mend the disk, then run again.")
        except BaseException:
            await self.submitter.finish()
            self.journal.sync()
            raise
        finally:
            await self.submitter.finish()
            self.report.lost, self.report.failed, self.report.paused, self.report.stops = (
                self.clerk.lost, self.clerk.failed, self.clerk.paused, self.clerk.stops
            )  # fmt: skip
            self.report.unreadable = sorted(self.clerk.unreadable)
            for provider in self.providers.values():
                await provider.close()
            self.journal.close()

    async def _work(self) -> None:
        """T(k) begins when half of window k-1 waits for a lane; S(k-1) goes on meanwhile."""
        started_s = turned_s = self.clock.boot_s()
        window_size = FIRST_WINDOW
        vouched = False  # whether the outcomes of a window were just found to be this store's
        while True:
            limit = self._limit(window_size, started_s)
            done = self.submitter.collect()
            self._count(done)
            self._reserve(limit, done)
            under_way = self.submitter.under_way()
            window = await beside(self.clerk.turn, done, limit)
            if window.rewound:
                await self._end_rewound(window.rewound)
            if window.messages:
                # After the commit and before a byte leaves: whoever puts a backup back in between harms nobody.
                check_remembered(self.context, self.orders.run_id, whole=not vouched, under_way=under_way)
                vouched = True
                self.submitter.add(window, self._definitions(window))
                # Side by side only while all is well: what is not is judged by whole windows.
                going_well = any(item.outcome.kind is AttemptOutcome.ACCEPTED for item in done)
                await self.submitter.progress(ahead=len(window.messages) // 2 if going_well else None)
                now_s = self.clock.boot_s()
                window_size, turned_s = self._next_size(self.submitter.ended, now_s - turned_s), now_s
            elif self.submitter.busy or self.submitter.ended:
                await self.submitter.progress(ahead=None)
            elif limit == 0 or not await self._wait(window, started_s):
                return
            else:
                vouched, turned_s = False, self.clock.boot_s()

    async def _end_rewound(self, reason: str) -> NoReturn:
        """Record what is in flight, and no more."""
        await self.submitter.finish()
        done = self.submitter.collect()
        self._count(done)
        self.clerk.turn(done, 0)
        raise StoreRewound(reason)

    def _reserve(self, limit: int, done: Sequence[Done]) -> None:
        """Room for the next window's records; without it nothing is claimed, and what is done is recorded first."""
        try:
            self.journal.reserve(limit + self.submitter.waiting + self.submitter.in_flight)
        except Unreachable:
            self.clerk.turn(done, 0)
            raise

    def drain(self, again: bool = False) -> None:
        """Claim and begin nothing more; what is in flight finishes within its deadline, unless asked `again`."""
        self.draining.set()
        self.submitter.draining = True
        if again:  # stop now: the journal knows how far each message got
            self.journal.sync()
            os._exit(ExitCode.STOPPED_EARLY)

    def _limit(self, window_size: int, started_s: float) -> int:
        """How many to claim next; 0 ends the loop, with the reason in the report."""
        bound = self.orders.max_seconds
        if self.draining.is_set() or self.journal.broken:
            self.report.ended = "drained"
            return 0
        if bound is not None and self.clock.boot_s() - started_s >= bound:
            self.report.ended = "time"
            return 0
        if self.orders.limit is None:
            return window_size
        left = self.orders.limit - self.clerk.claimed
        if left <= 0:
            self.report.ended = "limit"
        return max(0, min(window_size, left))

    async def _wait(self, window: Window, started_s: float) -> bool:
        """Wait for a token or a probe if that is soon; False when the pass should end."""
        if window.wait_s is None and not window.blocked:
            return False
        if window.wait_s is None or window.wait_s > LONGEST_WAIT_S:
            self.report.ended = "waiting" if window.passing else "blocked"
            self.report.blocked, self.report.told = window.blocked, window.told
            return False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.draining.wait(), window.wait_s)
        return True

    def _conclude(self) -> None:
        if self._down and "accepted" not in self.report.outcomes and self.report.ended in ("nothing due", "limit"):
            self.report.ended = "blocked"
            self.report.blocked = "; ".join(f"{name}: {reason}" for name, reason in self._down.items())

    def _definitions(self, window: Window) -> Mapping[int, Definition]:
        revisions = {claimed.revision for claimed in window.messages}
        return {revision: self.desk.known_definition(window.campaign_id, revision) for revision in revisions}

    def _next_size(self, ended: int, took_s: float) -> int:
        """What takes about WINDOW_S, never fewer than there are connections, nor than policy.py judges by (10).

        The campaign's batch_size bounds it.
        """
        connections = sum(provider.connections for provider in self.providers.values())
        return max(connections, FIRST_WINDOW // 2, int(WINDOW_S * ended / max(took_s, 0.001)))

    def _count(self, done: Sequence[Done]) -> None:
        counts = Counter(str(item.outcome.kind) for item in done)
        put_back = {item.claimed.due.id for item in done if item.outcome.kind is AttemptOutcome.UNTOUCHED}
        counts["untouched"] = len(put_back - self._put_back)  # one that is put back again and again is one message
        self._put_back |= put_back
        self.report.outcomes = dict(Counter(self.report.outcomes) + counts)
        for item in blamed(done):
            if item.outcome.kind is AttemptOutcome.ACCEPTED:
                self._down.pop(item.claimed.provider, None)
            elif item.outcome.scope is Scope.PROVIDER:
                self._down[item.claimed.provider] = item.outcome.text


async def beside(turn: Callable[[Sequence[Done], int], Window], done: Sequence[Done], limit: int) -> Window:
    """T(k) in a thread of its own: the lanes go on while it waits for the database. One at a time."""
    return await asyncio.to_thread(turn, done, limit)


def _providers(context: Context) -> dict[str, Provider]:
    """The configured providers that campaigns may use on this host."""
    return {name: build_provider(table, context.environ) for name, table in context.settings.providers.items()}


def work(context: Context, orders: Orders, report: Report, parent_gone: int | None = None) -> None:
    """Run one worker in this process, and fill its report, whatever it raises.

    `parent_gone` is a pipe that reads end-of-file when the parent has died.
    """
    with _collecting_rarely():
        _run(_guarded(context, orders, report, parent_gone))


@contextlib.contextmanager
def _collecting_rarely() -> Iterator[None]:
    """A window's objects live until it is recorded: to look for cycles among them every 700 only costs."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _guarded(context: Context, orders: Orders, report: Report, parent_gone: int | None) -> None:
    worker = Worker(context, orders, report)
    loop = asyncio.get_running_loop()
    if parent_gone is not None:

        def drain() -> None:
            loop.remove_reader(parent_gone)
            worker.drain()

        loop.add_reader(parent_gone, drain)

    def told(again: bool) -> None:
        loop.call_soon_threadsafe(worker.drain, again)

    with _woken_by_signals(loop), stopping.telling(told):
        if stopping.asked():
            worker.drain()
        await worker.run()


@contextlib.contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """A signal ends the loop's wait for its sockets: Python calls the handler only when it is at work itself.

    `loop.add_signal_handler` would do that too, and leave the default action, death, behind it.
    """
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)

    def woken() -> None:  # a function of Python's own: uvloop and os.read alone would not let handlers run
        os.read(read_end, 512)

    loop.add_reader(read_end, woken)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        loop.remove_reader(read_end)
        os.close(read_end)
        os.close(write_end)


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's where it is installed (the extra `speed`), else asyncio's own."""
    try:
        loops = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = loops.new_event_loop
    return factory
