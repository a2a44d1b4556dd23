"""A provider that the test owns: it counts what it accepted, without recognising keys, and answers as it is told.

The maildir delivers a key once however often it is submitted, so it cannot judge duplicates: this one can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sendctl.clock import Deadline
from sendctl.providers.base import Capabilities, Outcome, Outgoing, PhaseMark
from sendctl.states import AttemptOutcome
from tests.store.ground import ACCEPTED, DEFERRED, Backup, Ground

Answer = Callable[[Outgoing], Outcome]


def accept(_message: Outgoing) -> Outcome:
    return ACCEPTED


@dataclass
class Judge:
    """`answer` is asked for each message after its last byte; what it answers ACCEPTED or UNKNOWN was delivered."""

    answer: Answer = accept
    delivered: list[Outgoing] = field(default_factory=list)

    def people(self) -> list[str]:
        """Who got a message, one entry for each."""
        return sorted(message.recipient.partition("@")[0] for message in self.delivered)


def backed_up_in_flight(ground: Ground, judge: Judge) -> list[Backup]:
    """The first message is put off while the one backup of this list is made, which has it in flight; then all go."""
    taken: list[Backup] = []

    def answer(_message: Outgoing) -> Outcome:
        if taken:
            return ACCEPTED
        taken.append(ground.backup())
        return DEFERRED

    judge.answer = answer
    return taken


@dataclass
class JudgedProvider:
    """The provider of one pass, with the judge that outlives it."""

    name: str
    judge: Judge
    capabilities: Capabilities = field(default_factory=Capabilities)
    connections: int = 1

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        mark.begin()
        mark.dot()
        outcome = self.judge.answer(message)
        if outcome.kind in (AttemptOutcome.ACCEPTED, AttemptOutcome.UNKNOWN):
            self.judge.delivered.append(message)
        return outcome

    async def close(self) -> None:
        """Nothing to give back."""
