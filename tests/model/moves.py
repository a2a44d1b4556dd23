"""What may happen next in a state, and what the state is then. The judge counts here; nothing of sendctl is known.

A start is one action with its first step, and a kill takes the place of a process's next step: nothing else could be
told apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model.folders import Files
from tests.model.machine import Machine, Step, Surroundings
from tests.model.scenario import Scenario
from tests.model.state import Action, Left, Process, State, count, more


class Violated(Exception):
    """Something that must never be."""


class Moves:
    """The transitions of one scenario."""

    def __init__(self, scenario: Scenario, machine: Machine) -> None:
        self.scenario, self.machine = scenario, machine
        self._begun: dict[tuple[int, str, str, float], int] = {}

    def first(self) -> State:
        """Before anything has happened."""
        scenario = self.scenario
        empty = self.machine.files[Files()]
        left = Left(tuple(times for _, _, times in scenario.commands), scenario.kills, scenario.faults,
                    scenario.unheard, scenario.jumps, scenario.backups, scenario.failovers)  # fmt: skip
        homes = tuple(empty for _ in scenario.hosts)
        return State((), self.machine.first_store, homes, 1.0, 1, (), (), 0, None, (), (), 0.0, 1, left)

    def actions(self, state: State) -> Iterator[Action]:
        """Everything that may happen next."""
        for index, process in enumerate(state.processes):
            for choice in self._choices(state, process):
                yield Action("go", index, choice)
            if state.left.kills:
                yield Action("kill", index)
        if len(state.processes) < self.scenario.alive:
            yield from (Action("start", command) for command, times in enumerate(state.left.starts) if times)
        yield from self._what_may_happen_to_all(state)

    def after(self, state: State, action: Action) -> State:
        """The state when that has happened. Raises Violated for what must not be."""
        match action:
            case Action("go", index, choice):
                return self.go(state, index, choice)
            case Action("kill", index):
                left = state.left._replace(kills=state.left.kills - 1)
                return state._replace(processes=state.processes[:index] + state.processes[index + 1 :], left=left)
            case Action("start", command):
                return self.start(state, command)
            case _:
                return self._happened_to_all(state, action)

    def _choices(self, state: State, process: Process) -> list[str]:
        standing = self.machine.standings[process.place]
        budget = state.left.unheard if standing.about.startswith("write: ") else state.left.faults
        return list(standing.options) if budget else [standing.options[0]]

    def actor(self, state: State, action: Action, before: int) -> int:
        """Who acts, as a process's number; what happens to all interrupts nobody, and `before` stays on the scene."""
        match action.kind:
            case "go":
                return state.processes[action.which].number
            case "start":
                return state.started
            case _:
                return before

    # -- processes ------------------------------------------------------------------------------------------------

    def start(self, state: State, command: int) -> State:
        """A command is started and takes its first step."""
        starts = tuple(times - (place == command) for place, times in enumerate(state.left.starts))
        begun = self.enter(
            state._replace(left=state.left._replace(starts=starts)), *self.scenario.commands[command][:2]
        )
        return self.go(begun, len(begun.processes) - 1, "go")

    def enter(self, state: State, name: str, host: str) -> State:
        """A process that has not taken its first step."""
        key = (state.started, name, host, state.seconds)
        if key not in self._begun:
            self._begun[key] = self.machine.begin(*key)
        process = Process(state.started, name, self.scenario.hosts.index(host), self._begun[key])
        return state._replace(processes=(*state.processes, process), started=state.started + 1)

    def go(self, state: State, index: int, choice: str) -> State:
        """One process takes one step. Raises Violated for what it must not do."""
        return self._taken(state, index, choice, self.step(state, index, choice))

    def step(self, state: State, index: int, choice: str) -> Step:
        """What that step is."""
        return self.machine.step(state.processes[index].place, choice, self.around(state, index))

    def around(self, state: State, index: int) -> Surroundings:
        """What a process sees of a state."""
        host = state.processes[index].host
        others = [other for place, other in enumerate(state.processes) if place != index and other.host == host]
        taken = [lock for other in others for lock in self.machine.standings[other.place].locks]
        return Surroundings(state.store, state.homes[host], tuple(sorted(taken)), state.seconds,
                            state.timeline, state.mail_log, state.log_seen_s)  # fmt: skip

    def _taken(self, state: State, index: int, choice: str, step: Step) -> State:
        process = state.processes[index]
        if step.defect:
            raise Violated(f"a process ended with an error that nobody handles: {step.ended}")
        left = self._paid(state, process, choice)
        remaining = () if step.place is None else (process._replace(place=step.place),)
        processes = (*state.processes[:index], *remaining, *state.processes[index + 1 :])
        homes = list(state.homes)
        host = process.host
        if step.change.contents:
            homes[host] = self.machine.files[step.change.on(self.machine.files(homes[host]))]
        after = state._replace(processes=processes, homes=tuple(homes), left=left)
        if step.tables:
            after = self._committed(state, after, self.machine.ledger.with_parts(state.store, step.tables))
        for event in step.events:
            after = self._judged(after, event)
        return after

    def _paid(self, state: State, process: Process, choice: str) -> Left:
        standing = self.machine.standings[process.place]
        if choice == standing.options[0]:
            return state.left
        if standing.about.startswith("write: "):
            return state.left._replace(unheard=state.left.unheard - 1)
        return state.left._replace(faults=state.left.faults - 1)

    def _committed(self, before: State, after: State, store: int) -> State:
        licensed = after.licensed
        ledger = self.machine.ledger
        if ledger.table(before.store, "attempts") != ledger.table(store, "attempts"):
            for person in self._given_up(before.store, store):
                licensed = more(licensed, person)
        recent = (before.store, *before.recent)[:2] if before.left.failovers else ()
        return after._replace(store=store, licensed=licensed, recent=recent)

    def _given_up(self, before: int, after: int) -> list[str]:
        """People whose message in doubt someone decided to send again in this commit: one more copy may come."""
        rows = self.machine.ledger.rows
        doubtful = {
            (row["message_id"], row["number"]) for row in rows(before, "attempts") if row["outcome"] == "unknown"
        }
        queued = {row["id"]: row["recipient"] for row in rows(after, "messages") if row["status"] == "queued"}
        return [
            queued[row["message_id"]] for row in rows(after, "attempts")
            if row["outcome"] == "abandoned" and row["message_id"] in queued
            and (row["message_id"], row["number"]) in doubtful
        ]  # fmt: skip

    def _judged(self, state: State, event: tuple[Any, ...]) -> State:
        match event:
            case ("accepted", person, key):
                accepted = more(state.accepted, person)
                if count(accepted, person) > 1 + count(state.licensed, person):
                    raise Violated(f"{person} was sent to {count(accepted, person)} times")
                log = (*state.mail_log, (key, state.seconds)) if self.scenario.mail_log else ()
                return state._replace(accepted=accepted, mail_log=log)
            case ("byte", person, message_id, number, checked_s):
                self._claim_holds(state, person, message_id, number, checked_s)
        return state

    def _claim_holds(self, state: State, person: str, message_id: int, number: int, checked_s: float) -> None:
        """Bytes leave only under a claim that was committed, and was not over when the clock was last asked."""
        if state.forgotten:
            return  # the store that had the claim is gone; duplicates are counted all the same
        rows = self.machine.ledger.rows(state.store, "attempts")
        claimed = [row for row in rows if (row["message_id"], row["number"]) == (message_id, number)]
        if not claimed:
            raise Violated(f"the last byte left for {person} under a claim that the store does not have")
        ends = self.machine.claim_ends_s(claimed[0]["started_at"])
        if checked_s >= ends:
            raise Violated(f"the last byte left for {person} under a claim that was over")

    # -- what happens to all --------------------------------------------------------------------------------------

    def _what_may_happen_to_all(self, state: State) -> Iterator[Action]:
        left = state.left
        if left.jumps and self._something_runs_out(state):
            yield Action("jump")
        if left.backups and state.backup is None:
            yield Action("back up")
        # The runbook stops the passes before a backup is put back.
        if left.backups and state.backup not in (None, state.store) and not state.processes:
            yield Action("put back")
        if left.failovers:
            yield from (Action("fail over", which) for which in range(len(set(state.recent) - {state.store})))
        if self.scenario.mail_log and state.log_seen_s < state.seconds:
            yield Action("log")

    def _something_runs_out(self, state: State) -> bool:
        """Whether time means anything now: else all that a jump changes is the date, and nothing is lost without it."""
        if state.forgotten or state.mail_log:
            return True
        rows = self.machine.ledger.rows(state.store, "messages")
        waits = [row["next_attempt_at"] for row in rows if row["status"] == "queued"]
        waits += [row["retry_at"] for row in self.machine.ledger.rows(state.store, "provider_state") if row["retry_at"]]
        return any(row["status"] == "sending" for row in rows) or max(waits, default="") > self.machine.text_of(
            state.seconds
        )

    def _happened_to_all(self, state: State, action: Action) -> State:
        left = state.left
        match action.kind:
            case "jump":
                return self.jump(state, self.scenario.jump_s)._replace(left=left._replace(jumps=left.jumps - 1))
            case "back up":
                return state._replace(backup=state.store)
            case "put back":
                assert state.backup is not None
                left = left._replace(backups=left.backups - 1)
                return state._replace(store=state.backup, forgotten=1, backup=None, left=left)
            case "fail over":
                store = [one for one in dict.fromkeys(state.recent) if one != state.store][action.which]
                left = left._replace(failovers=left.failovers - 1)
                return state._replace(store=store, forgotten=1, timeline=state.timeline + 1, recent=(), left=left)
            case _:
                return state._replace(log_seen_s=state.seconds)

    def jump(self, state: State, by_s: float) -> State:
        """All clocks run on; whoever is stopped does not notice before it looks."""
        return state._replace(seconds=state.seconds + by_s)
