"""Visits every state of a scenario: first what takes the fewest switches from one process to another.

So the first violation is told with the fewest changes of scene, which is how a person wants to read it.

In every state the judge's counts and the ledger must agree; from every final state the real commands must lead to an
end in which everybody is accounted for.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.model import seams
from tests.model.ending import Endings
from tests.model.machine import Machine
from tests.model.moves import Moves, Violated
from tests.model.scenario import Scenario
from tests.model.state import Action, State, count
from tests.model.telling import Teller

Break = Callable[[pytest.MonkeyPatch], None]


@dataclass
class Found:
    """What an exploration came to. `violation` is empty, or what went wrong; `trace` then tells how, in words."""

    scenario: str
    states: int = 0
    transitions: int = 0
    depth: int = 0
    final: int = 0
    executed: int = 0  # steps that the real code carried out; all others were answered from memory
    seconds: float = 0.0
    complete: bool = False
    violation: str = ""
    trace: list[str] = field(default_factory=list)


@contextmanager
def model_of(scenario: Scenario, broken: Break | None = None) -> Iterator[Moves]:
    """The real code in the world of a scenario."""
    world = seams.World(fates=scenario.fates)
    with seams.injected(world) as patch:
        if scenario.failovers:
            seams.with_timelines(patch, world)
        if broken is not None:
            broken(patch)
        machine = Machine(scenario, world)
        try:
            yield Moves(scenario, machine)
        finally:
            machine.close()


def explore(
    scenario: Scenario, broken: Break | None = None, *, most_states: int | None = None,
    progress: Callable[[Found], None] | None = None,
) -> Found:  # fmt: skip
    """Visit all states, or stop at the first violation, or after `most_states`."""
    begun_s = time.monotonic()
    found = Found(scenario.name)
    with model_of(scenario, broken) as moves:
        _Search(moves, found, most_states, progress).run()
        found.executed = moves.machine.executed
    found.seconds = time.monotonic() - begun_s
    return found


class _Search:
    """Each state keeps the one that it was first reached from, and how many steps and switches that took."""

    def __init__(
        self, moves: Moves, found: Found, most_states: int | None, progress: Callable[[Found], None] | None
    ) -> None:
        self.moves, self.found, self.most_states, self.progress = moves, found, most_states, progress
        self.endings, self.teller = Endings(moves), Teller(moves)
        self._origins: dict[State, tuple[State, Action] | None] = {}
        self._waiting: dict[int, deque[tuple[State, int, int]]] = defaultdict(deque)  # by switches so far
        self._proven: dict[int, list[str]] = {}

    def run(self) -> None:
        """All of it, unless something is wrong or it is too much."""
        first = self.moves.first()
        self._origins[first] = None
        self._waiting[0].append((first, 0, 0))
        while self._waiting:
            switches = min(self._waiting)
            while self._waiting[switches]:
                state, actor, depth = self._waiting[switches].popleft()
                if not self._expand(state, actor, switches, depth):
                    return
            del self._waiting[switches]
            if self.progress:
                self.progress(self.found)
        self.found.complete = True

    def _expand(self, state: State, actor: int, switches: int, depth: int) -> bool:
        """Visit what comes next; False when the search is over. `actor` is who took the last step."""
        action: Action | None = None
        try:
            for action in self.moves.actions(state):
                self.found.transitions += 1
                after = self.moves.after(state, action)
                if after not in self._origins:
                    self._origins[after] = (state, action)
                    acts = self.moves.actor(state, action, actor)
                    interrupted = acts != actor and any(process.number == actor for process in state.processes)
                    self._waiting[switches + interrupted].append((after, acts, depth + 1))
                    self.found.depth = max(self.found.depth, depth + 1)
                    self._check(after)
            if self._is_final(state):
                self.found.final += 1
                action = None
                self.endings.check(state)
        except Violated as violated:
            self._tell(state, action, violated)
            return False
        self.found.states += 1
        return self.most_states is None or self.found.states < self.most_states

    def _is_final(self, state: State) -> bool:
        return not state.processes and not any(state.left.starts)

    def _check(self, state: State) -> None:
        """What must hold in every state."""
        if state.store not in self._proven:
            self._proven[state.store] = self.moves.machine.proofs(state.store)
        if self._proven[state.store]:
            raise Violated(f"the ledger contradicts itself: {self._proven[state.store][0]}")
        for row in self.moves.machine.ledger.rows(state.store, "messages"):
            if row["status"] == "sent" and not count(state.accepted, row["recipient"]):
                raise Violated(f"{row['recipient']} counts as sent, and nobody accepted anything")

    def _tell(self, state: State, last: Action | None, violated: Violated) -> None:
        """The way to the violation, in words."""
        path = [] if last is None else [(state, last)]
        origin = self._origins[state]
        while origin is not None:
            path.insert(0, origin)
            origin = self._origins[origin[0]]
        self.found.violation = str(violated)
        ending = self.endings.path if last is None else []
        self.found.trace = [line for before, action in [*path, *ending] for line in self.teller.tell(before, action)]
