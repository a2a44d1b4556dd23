"""How it ends: from a state in which nothing is under way, the commands that an operator and cron would run.

Passes, `reconcile`, and `recover` where the store was rewound, until nothing changes; then everybody is accounted for.
"""

from __future__ import annotations

from collections import Counter

from tests.model.moves import Moves, Violated
from tests.model.state import Action, State, count

LONG_S = 700.0  # longer than a claim, its grace, a retry's wait and a breaker's
MOST_ROUNDS = 6


class Endings:
    """Ends of one scenario. `path` is the way of the last one, for its story."""

    def __init__(self, moves: Moves) -> None:
        self.moves = moves
        self.path: list[tuple[State, Action]] = []
        self._seen: set[State] = set()
        self._others: dict[tuple[int, str, str], int] = {}

    def check(self, state: State) -> None:
        """Raises Violated when somebody is not accounted for in the end."""
        plain = state._replace(left=self.moves.first().left, backup=None, recent=())
        if plain in self._seen:
            return
        self._seen.add(plain)
        self.path = []
        self._judge(self._end(plain))

    def _end(self, state: State) -> State:
        for _ in range(MOST_ROUNDS):
            before = state
            state = self._after_a_while(state)
            for command in ("send-due", "reconcile"):
                for host in self.moves.scenario.hosts:
                    state = self._command(state, command, host)
            if self._ledger(state) == self._ledger(before) and self._nothing_waits(state):
                break
        return state

    def _after_a_while(self, state: State) -> State:
        self.path.append((state, Action("jump")))
        moved = self.moves.jump(state, LONG_S)
        return moved._replace(log_seen_s=moved.seconds)

    def _command(self, state: State, command: str, host: str) -> State:
        """Run it as an operator would: where it says that the store was rewound, recover comes first."""
        state, ended = self._run(state, command, host)
        if not ended.startswith("StoreRewound"):
            return state
        for each in self.moves.scenario.hosts:
            state, _ = self._run(state, "recover hold", each)
        return self._run(state, command, host)[0]

    def _run(self, state: State, command: str, host: str) -> tuple[State, str]:
        """One command from its start to its end, with nobody else about."""
        state = self.moves.enter(state, command, host)
        ended = ""
        while state.processes:
            choice = self.moves.machine.standings[state.processes[0].place].options[0]
            self.path.append((state, Action("go", 0, choice)))
            ended = self.moves.step(state, 0, choice).ended or ""
            state = self.moves.go(state, 0, choice)
        return state, ended

    def _ledger(self, state: State) -> tuple[int, ...]:
        return tuple(self.moves.machine.ledger.table(state.store, table) for table in ("messages", "attempts"))

    def _nothing_waits(self, state: State) -> bool:
        rows = self.moves.machine.ledger.rows(state.store, "messages")
        return not any(row["status"] in ("queued", "sending") for row in rows)

    def _judge(self, state: State) -> None:
        contradictions = self.moves.machine.proofs(state.store)
        if contradictions:
            raise Violated(f"in the end the ledger contradicts itself: {contradictions[0]}")
        rows = self.moves.machine.ledger.rows(state.store, "messages")
        attempts = self.moves.machine.ledger.rows(state.store, "attempts")
        for row in rows:
            outcomes = Counter(one["outcome"] for one in attempts if one["message_id"] == row["id"])
            self._accounted_for(row["recipient"], row["status"], outcomes, count(state.accepted, row["recipient"]))

    def _accounted_for(self, person: str, status: str, outcomes: Counter[str], accepted: int) -> None:
        """Each state that is an end says what is true."""
        match status:
            case "sent" if accepted and outcomes["accepted"] == 1:
                return
            case "in_doubt" if outcomes["unknown"] == 1:
                return
            case "failed" if outcomes["refused"] + outcomes["deferred"] and not accepted:
                return
        raise Violated(f"in the end {person} is {status} with attempts {dict(outcomes)}, accepted {accepted} times")
