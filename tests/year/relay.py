"""The relay of the simulated year: it writes down whom it accepted a message for and when, and can be asked about it.

It recognises no keys: a message that comes twice is written down twice.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sendctl.providers.base import Outcome, Outgoing
from tests.asked_provider import subject
from tests.store.ground import ACCEPTED, DEFERRED, UNKNOWN, OwnedClock


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
        self.log.append(Taken(message.recipient, subject(message), self.clock.now))
        self.keys.add(message.key)
