"""Tells a way through the model in words that an operator reads, one line for each thing that happened."""

from __future__ import annotations

from tests.model.moves import Moves
from tests.model.state import Action, State

_TO_ALL = {
    "back up": "a backup of the store is made",
    "put back": "the backup is put back",
    "fail over": "the database fails over to a standby that lacks the last commits",
    "log": "the MTA's log catches up",
}


class Teller:
    """Words for the steps of one scenario."""

    def __init__(self, moves: Moves) -> None:
        self.moves = moves

    def tell(self, state: State, action: Action) -> list[str]:
        """What happened in a state."""
        match action.kind:
            case "jump":
                return ["the clocks run on; whoever is stopped does not see it"]
            case "kill":
                return [f"{self._name(state, action.which)} is killed"]
            case "start":
                name, host, _ = self.moves.scenario.commands[action.which]
                return [f"{name} starts as process {state.started} on host {host}"]
            case "go":
                return [self._step(state, action)]
            case _:
                return [_TO_ALL[action.kind]]

    def _name(self, state: State, index: int) -> str:
        process = state.processes[index]
        return f"process {process.number} ({process.command})"

    def _step(self, state: State, action: Action) -> str:
        step = self.moves.step(state, action.which, action.choice)
        standing = self.moves.machine.standings[state.processes[action.which].place]
        chosen = "" if action.choice in ("go", standing.about) else f": {action.choice}"
        moved = self._moved(state.store, self.moves.machine.ledger.with_parts(state.store, step.tables))
        ended = f" [ends: {step.ended}]" if step.ended else ""
        return f"{self._name(state, action.which)}: {standing.about}{chosen}{moved}{ended}"

    def _moved(self, before: int, after: int) -> str:
        rows = self.moves.machine.ledger.rows
        states = {row["id"]: row["status"] for row in rows(before, "messages")}
        changed = [row for row in rows(after, "messages") if states.get(row["id"]) != row["status"]]
        moved = [f"{row['recipient']} {states.get(row['id'], 'nowhere')} -> {row['status']}" for row in changed]
        return f" ({'; '.join(moved)})" if moved else ""
