"""The commands that are killed, each at every system call that it makes, one kill after the other in one world.

A command that was killed left its run, its claims and its journal to the next one, which takes them up under the
same fire: so each repair is killed as well.
"""

from __future__ import annotations

import logging
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import sqlalchemy as sa

from sendctl.faults import FAILPOINTS
from sendctl.store.tables import runs
from tests.crash.accounts import must, settle_doubt
from tests.crash.world import BATCH_SIZE, CAMPAIGN, CONNECTIONS, World, write_settings
from tests.kill.tracing import Shot, calls_of, killed_at

WINDOWS = ("--limit", str(2 * BATCH_SIZE))
RESERVE = 100  # people who wait at the least: else a pass may have nothing to do
MORE = 1000
EACH = 200  # calls of one name; beyond, further and further apart: a store that grows with each kill has more to read
CHECK_EVERY = 50  # kills between two complete comparisons of judge and store
MOST_IN_DOUBT = 200  # beyond, they are settled: a command that looks at each makes more calls the more there are

_log = logging.getLogger(__name__)


@dataclass
class Tally:
    """What was hit so far."""

    kills: Counter[str] = field(default_factory=Counter)  # by drill
    calls: Counter[str] = field(default_factory=Counter)  # by system call, or failpoint
    planned: int = 0

    @property
    def total(self) -> int:
        return self.kills.total()


@dataclass(frozen=True, slots=True)
class Drill:
    """One command under fire. `prepare` makes it something to do, and gives its arguments."""

    name: str
    prepare: Callable[[Range], list[str]]
    environ: dict[str, str] = field(default_factory=dict)
    failpoints: tuple[str, ...] = ()


@dataclass
class Range:
    """A world under fire."""

    world: World
    more: int = MORE  # people who join when few are left
    tally: Tally = field(default_factory=Tally)
    accepted: Counter[str] = field(default_factory=Counter)  # by person
    _read_bytes: int = 0

    # -- fire -----------------------------------------------------------------------------------------------------

    def enumerate(self, drill: Drill, names: tuple[str, ...] = (), most: int | None = None) -> None:
        """Kill at the first call of each name, at the second, and so on until the command gets through.

        `names` are the only ones, and `most` how often each at the most, where a sample is enough.
        """
        found = calls_of(self.world, *drill.prepare(self), environ=drill.environ)
        for name in sorted(names or found):
            hit = 0
            for number in _numbers():
                if hit == most or not self._shoot(drill, Shot(name, number)):
                    break
                hit += 1
            _log.info("%s: %s was killed at %d calls, up to number %d", drill.name, name, hit, number)
            self.compare()

    def _shoot(self, drill: Drill, shot: Shot) -> bool:
        killed = killed_at(self.world, shot, *drill.prepare(self), environ=drill.environ)
        self._count(drill.name, shot.name, killed)
        return killed > 0

    def at_failpoints(self, drill: Drill, passages: int) -> None:
        """Kill at the named points of the command's code, at several passages of each."""
        for name in drill.failpoints:
            for passage in range(1, passages + 1):
                ended = self.world.run(*drill.prepare(self), failpoint=f"{name}:kill:{passage}", environ=drill.environ)
                workers = int(drill.environ.get("SENDCTL_SEND_WORKERS", 1))
                if ended.code != -signal.SIGKILL and not (workers > 1 and ended.code == 75):
                    break
                self._count(drill.name, name, 1)
            self.compare()

    def _count(self, drill: str, point: str, killed: int) -> None:
        before = self.tally.total // CHECK_EVERY
        self.tally.kills[drill] += killed
        self.tally.calls[point] += killed
        self.look()
        if self.tally.total // CHECK_EVERY > before:
            self.compare()

    # -- judgement ------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Nobody has got a second message: the judge's log, as far as it has grown."""
        more, self._read_bytes = self.world.judge.accepted_after(self._read_bytes)
        self.accepted.update(row["rcpt"] for row in more)
        twice = [row["rcpt"] for row in more if self.accepted[row["rcpt"]] > 1]
        assert not twice, f"sent to more than once: {twice}"

    def compare(self) -> None:
        """Judge and store agree about everybody."""
        self.world.assert_sound()
        if self.world.counts()["in_doubt"] > MOST_IN_DOUBT:
            settled = settle_doubt(self.world, partial(must, self.world), connections=CONNECTIONS)
            assert not settled.last.broken, settled
            write_settings(self.world.folder, self.world.judge.port)  # no log is at hand again

    # -- something to do ------------------------------------------------------------------------------------------

    def keep_people_waiting(self) -> None:
        """Enqueue more people when few are left."""
        if self.tally.planned - self.accepted.total() < min(RESERVE, self.more):
            self.enqueue(self.more)

    def enqueue(self, more: int) -> None:
        """Let the campaign grow."""
        assert self.world.run(*self.contacts(more)).code == 0

    def contacts(self, more: int) -> list[str]:
        """Write a longer contacts file; returns the arguments that enqueue it."""
        path = self.world.folder / "contacts.csv"
        begin = self.tally.planned
        header = "" if begin else "email,first_name\n"
        with path.open("a" if begin else "w") as file:
            file.write(header + "".join(f"p{n}@example.com,Person {n}\n" for n in range(begin, begin + more)))
        self.tally.planned += more
        return ["enqueue", str(self.world.folder / "campaign.toml"), "--contacts", str(path)]

    def leave_a_dead_run(self) -> None:
        """A pass that was killed with messages in flight, if there is none yet that nobody has taken up."""
        if not self._unended_runs():
            self.keep_people_waiting()
            self.world.run("send-due", failpoint="provider.replied:kill:2")

    def _unended_runs(self) -> int:
        with self.world.context() as context, context.store.read() as connection:
            unended = sa.select(sa.func.count()).where(runs.c.result.is_(None), runs.c.command == "send-due")
            return connection.execute(unended).scalar_one()


def _numbers() -> Iterator[int]:
    """Which calls of a name are tried: from 1, each, later one in twenty of those before it."""
    number = 0
    while True:
        number += max(1, number // 20 if number >= EACH else 1)
        yield number


def _send(ground: Range) -> list[str]:
    ground.keep_people_waiting()
    return ["send-due", *WINDOWS]


def _reconcile(ground: Range) -> list[str]:
    ground.leave_a_dead_run()
    return ["reconcile"]


def _recover(ground: Range) -> list[str]:
    ground.leave_a_dead_run()
    return ["recover", "--campaign", CAMPAIGN, "--in-doubt", "hold", "--yes"]


def _enqueue(ground: Range) -> list[str]:
    return ground.contacts(1)


def _points(*prefixes: str) -> tuple[str, ...]:
    return tuple(name for name in FAILPOINTS if name.startswith(prefixes))


_SENDING = ("run.", "claim.", "journal.", "provider.", "settle.", "import.")
DRILLS = (
    Drill("send-due", _send, failpoints=_points(*_SENDING)),
    Drill("send-due with 2 workers", _send, {"SENDCTL_SEND_WORKERS": "2"}, _points(*_SENDING)),
    Drill("reconcile", _reconcile, failpoints=_points("import.", "run.")),
    Drill("recover", _recover, failpoints=_points("import.", "recover.")),
    Drill("enqueue", _enqueue, failpoints=_points("enqueue.")),
)
