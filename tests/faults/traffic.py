"""Many commands at the same time on one store, killed at random moments: the crowd of the parts that need one.

Started again as soon as they end, as an impatient cron does. Breaks nothing but processes; what else goes wrong
meanwhile is the caller's.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.launcher import Command
from tests.crash.world import CAMPAIGN, World
from tests.faults.ground import Line

VERBS = {
    "send-due": ("send-due",),
    "recover": ("recover", "--campaign", CAMPAIGN, "--in-doubt", "hold", "--yes"),
    "reconcile": ("reconcile",),
}
NO_DEFECT = (0, 3, 75, -signal.SIGKILL)
GIVE_UP_S = 1800.0


@dataclass
class Traffic:
    """Commands that run. `crowd` is how many of each at any time; `codes` the exit codes that are no defect."""

    world: World
    line: Line
    crowd: dict[str, int]
    chance: random.Random
    codes: tuple[int, ...] = NO_DEFECT
    kills: int = 0
    ended: Counter[tuple[str, int]] = field(default_factory=Counter)
    _running: dict[Command, str] = field(default_factory=dict)
    _accepted: int = 0
    _read_bytes: int = 0

    def flow(self, kills: int, until: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Keep the crowd going until so many messages are accepted; so many kills, spread over them, must hit."""
        begin = self.accepted()
        aims = sorted(self.chance.uniform(begin, until) for _ in range(kills))
        give_up_at = time.monotonic() + GIVE_UP_S
        while self.accepted() < until or aims:
            self._keep_full()
            meanwhile()
            if aims and self._accepted >= min(aims[0], until) and self._shoot():
                aims.pop(0)
            assert time.monotonic() < give_up_at, self.world.counts()
            time.sleep(self.chance.uniform(0.0, 0.01))

    def stop(self, *, killed: bool = False) -> None:
        """Wait until every command has ended, or kill them all at once."""
        for command in self._running if killed else ():
            command.send(signal.SIGKILL)
        for command, verb in self._running.items():
            self._note(verb, command)
        self._running.clear()

    def accepted(self) -> int:
        """How many messages the judge has accepted so far."""
        more, self._read_bytes = self.world.judge.accepted_after(self._read_bytes)
        self._accepted += len(more)
        return self._accepted

    def _keep_full(self) -> None:
        for command in [command for command in self._running if command.finished()]:
            self._note(self._running.pop(command), command)
        there = Counter(self._running.values())
        for verb, wanted in self.crowd.items():
            for _ in range(wanted - there[verb]):
                self._running[self.world.start(*VERBS[verb])] = verb

    def _shoot(self) -> bool:
        """Kill one of those that are at work; False when all have ended at this moment."""
        running = [command for command in self._running if not command.finished()]
        if running:
            self.chance.choice(running).send(signal.SIGKILL)
        return bool(running)

    def _note(self, verb: str, command: Command) -> None:
        ended = command.ended()
        self.ended[verb, ended.code] += 1
        self.kills += ended.code == -signal.SIGKILL
        if ended.code not in self.codes or "Traceback" in ended.err:
            self.line.wrong.append(f"{verb}: {ended}")
        self.world.started.remove(command)

    def said(self) -> str:
        """How many commands there were, for the account."""
        totals = Counter[str]()
        for (verb, _), number in self.ended.items():
            totals[verb] += number
        return ", ".join(f"{number:,} {verb}" for verb, number in totals.items())
