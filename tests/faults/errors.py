"""ENOSPC and EIO at every system call by which a command changes its own files, one after the other, judged after each.

Sockets are left alone here: what a network does is the phase tests' business.
Source: strace(1), "Syscall tampering".
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, count, islice
from pathlib import Path

from tests.crash.accounts import must
from tests.crash.launcher import Finished
from tests.faults.ground import DOCUMENTED, Line, close_account, new_ground
from tests.faults.power import integrity
from tests.kill.drills import DRILLS, MORE, Drill, Range
from tests.kill.tracing import traced

# By which CPython and SQLite change files. Those of OWN are never called for a socket or a pipe here.
NAMES = ("pwrite64", "fdatasync", "fsync", "ftruncate", "fallocate", "rename", "link", "mkdir", "write", "openat")
OWN = frozenset(NAMES) - {"write", "openat"}
VERBS = ("send-due", "reconcile", "recover", "enqueue")
_HIT = re.compile(r"^[0-9]+ +(?P<call>.*) = -1 E[A-Z]+ .*\(INJECTED\)$", re.MULTILINE)
_CALL = re.compile(r"^[0-9]+ +(?P<call>[a-z0-9]+\(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error at the `number`-th call of `name`, and at all that follow where it is `lasting`."""

    name: str
    error: str
    number: int
    lasting: bool

    def __str__(self) -> str:
        return f"{self.error} at {self.name} {self.number}{' and on' if self.lasting else ''}"

    @property
    def options(self) -> list[str]:
        when = f"{self.number}{'+' if self.lasting else ''}"
        return ["-y", "-e", f"trace={self.name}", "-e", f"inject={self.name}:error={self.error}:when={when}"]


@dataclass
class Bench:
    """One command on one database, under injected errors."""

    ground: Range
    drill: Drill
    line: Line
    codes: Counter[int] = field(default_factory=Counter)

    def enumerate(self, names: tuple[str, ...] = NAMES, most: int = 100_000) -> None:
        """Each error at the first call of each name, at the second, and so on until the command gets through."""
        for name in names:
            for error, lasting in (("ENOSPC", name in OWN), ("EIO", False)):
                own = self._own_calls(name)
                last = max(own, default=0)
                beyond = count(last + 1) if name in OWN else ()  # write(2) at an eventfd cannot fail: libuv aborts
                for number in islice(chain(own, beyond), most):
                    if not self._shoot(Fault(name, error, number, lasting)) and number > last:
                        break
            self._compare(name)

    def _own_calls(self, name: str) -> list[int]:
        """Which of the calls that the command makes when all goes well change its own files."""
        log = self._log()
        arguments = self.drill.prepare(self.ground)
        traced(self.ground.world, ["-y", "-o", str(log), "-e", f"trace={name}"], *arguments)
        calls = [found["call"] for found in _CALL.finditer(log.read_text())]
        return [number for number, call in enumerate(calls, 1) if self._is_own(call)]

    def _is_own(self, call: str) -> bool:
        return str(self.ground.world.folder) in call and ("O_CREAT" in call or not call.startswith("openat("))

    def _log(self) -> Path:
        return self.ground.world.folder / "strace.out"

    def _shoot(self, fault: Fault) -> int:
        """Run the command with a fault; returns how often it struck a file of the command."""
        log, arguments = self._log(), self.drill.prepare(self.ground)
        ended = traced(self.ground.world, ["-o", str(log), *fault.options], *arguments)
        hits = sum(self._is_own(found["call"]) for found in _HIT.finditer(log.read_text()))
        self.line.hits += hits
        self._check(fault, ended, hits)
        return hits

    def _check(self, fault: Fault, ended: Finished, hits: int) -> None:
        if hits:
            self.codes[ended.code] += 1
        if ended.code not in DOCUMENTED or "Traceback" in ended.err:
            self.line.wrong.append(f"{self.drill.name}, {fault}: {ended}")
        self.ground.look()

    def _compare(self, name: str) -> None:
        """Judge and store agree about everybody, and the store is whole."""
        world = self.ground.world
        must(world, "reconcile", codes=(0, 3))
        self.ground.compare()
        if self.line.store == "sqlite" and (found := integrity(world.folder / "store.db")) != "ok":
            self.line.wrong.append(f"{self.drill.name} after {name}: integrity_check: {found}")


def injected_errors(
    verb: str, store_url: str, names: tuple[str, ...] = NAMES, most: int = 100_000, more: int = MORE
) -> Line:
    """One command, every error at every call; then everybody gets what is due. `more` join when few are left."""
    begun_s = time.monotonic()
    drill = next(drill for drill in DRILLS if drill.name == verb)
    line = Line(f"ENOSPC, EIO: `{verb}`", "postgres" if store_url else "sqlite", "errors")
    with new_ground(store_url, contacts=0, enqueued=False) as world:
        bench = Bench(Range(world, more), drill, line)
        bench.ground.enqueue(1)
        bench.enumerate(names, most)
        bench.ground.enqueue(1)  # what broken enqueues have not brought in
        close_account(world, line, bench.ground.tally.planned)
    line.note = ", ".join(f"{number} x exit {code}" for code, number in sorted(bench.codes.items()))
    line.seconds = time.monotonic() - begun_s
    return line
