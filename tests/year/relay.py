"""The relay of the simulated year: it writes down whom it accepted a message for and when, and can be asked about it.

It recognises no keys: a message that comes twice is written down twice.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sendctl.clock import Deadline
from sendctl.providers.base import Capabilities, Outcome, Outgoing, PhaseMark, Sought
from tests.store.ground import ACCEPTED, DEFERRED, UNKNOWN, OwnedClock

_SUBJECT = re.compile(rb"^Subject: (\S+)\r$", re.MULTILINE)


class Taken(NamedTuple):
    """One message that the relay accepted."""

    recipient: str
    subject: str
    at: datetime


@dataclass
class Relay:
    """Accepts most, puts some off, and is silent about a few, of which it has accepted half."""

    clock: OwnedClock
    dice: random.Random
    log: list[Taken] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def answer(self, message: Outgoing) -> Outcome:
        fate = self.dice.random()
        if fate < 0.01:
            return DEFERRED
        if fate < 0.015:
            return UNKNOWN
        self._take(message)
        return UNKNOWN if fate < 0.02 else ACCEPTED

    def _take(self, message: Outgoing) -> None:
        subject = _SUBJECT.search(message.content)
        assert subject is not None
        self.log.append(Taken(message.recipient, subject[1].decode(), self.clock.now))
        self.keys.add(message.key)


@dataclass
class YearProvider:
    """The provider of one pass, with the relay that outlives it."""

    name: str
    relay: Relay
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(lookup=True))
    connections: int = 1

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        mark.begin()
        mark.dot()
        return self.relay.answer(message)

    def find(self, sought: Sought) -> str | None:
        """Whether the relay has accepted it; it never forgets."""
        return sought.key if sought.key in self.relay.keys else None

    async def close(self) -> None:
        """Nothing to give back."""
