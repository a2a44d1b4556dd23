"""The far end of the providers: takes what it is told to take, and keeps its own record of what it accepted.

The record is a file that outlives every process; it recognises no keys, so that a second copy is a second line.
Nothing in here knows the store.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sendctl import faults
from sendctl.clock import Deadline
from sendctl.providers.base import Capabilities, Outcome, Outgoing, PhaseMark
from tests.model.seams import BROKEN_OFF, SILENCE
from tests.store.ground import ACCEPTED, DEFERRED, DOWN, NO_CREDENTIALS, REFUSED, SENDER_REFUSED

# What a fate is: how far the message gets, and the reply. A name says both.
REPLIES: dict[str, Outcome] = {
    "accepted": ACCEPTED, "refused": REFUSED, "deferred": DEFERRED, "silence, accepted": SILENCE, "silence": SILENCE,
}  # fmt: skip
BEFORE_THE_DOT: dict[str, Outcome] = {
    "down": DOWN, "no credentials": NO_CREDENTIALS, "breaks off": BROKEN_OFF, "sender refused": SENDER_REFUSED,
}  # fmt: skip
OF_THE_PROVIDER = ("down", "no credentials", "breaks off")  # the second provider is another one: it accepts
FATES = (*REPLIES, *BEFORE_THE_DOT)


class Slot(NamedTuple):
    """One planned message: the subject of its text says which."""

    campaign: str
    step: int
    person: str


class Accepted(NamedTuple):
    """One line of the record. `heard` is whether the reply left, `at_s` the moment on the world's clock."""

    slot: Slot
    heard: bool
    at_s: float


@dataclass
class Record:
    """What was accepted, in order; and the fates that the next messages meet, by person in turn."""

    path: Path
    boot_s: Callable[[], float]
    fates: Sequence[str] = ("accepted",)
    _read: list[Accepted] = field(default_factory=list)
    _place: int = 0

    def fate_of(self, person: str, provider: str) -> str:
        """What happens to a person's message at a provider."""
        fate = self.fates[int(re.sub(r"\D", "", person)) % len(self.fates)]
        return "accepted" if provider != "primary" and fate in OF_THE_PROVIDER else fate

    def forget(self) -> None:
        """An example begins."""
        self.path.unlink(missing_ok=True)
        self._read, self._place = [], 0

    def write(self, message: Outgoing, *, heard: bool) -> None:
        """One more was accepted. Not synced: what is killed here are processes, and the page cache outlives them."""
        subject = re.search(rb"^Subject: ([a-z]+) (\d)\r$", message.content, re.MULTILINE)
        assert subject is not None
        line = [subject[1].decode(), int(subject[2]), message.recipient.lower(), heard, self.boot_s()]
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, json.dumps(line).encode() + b"\n")
        os.close(descriptor)

    def accepted(self) -> list[Accepted]:
        """Everything so far; the list only grows."""
        if self.path.exists():
            with self.path.open() as file:
                file.seek(self._place)
                for campaign, step, person, heard, at_s in map(json.loads, file):
                    self._read.append(Accepted(Slot(campaign, step, person), heard, at_s))
                self._place = self.path.stat().st_size
        return self._read


@dataclass
class Relay:
    """One provider of one pass."""

    name: str
    record: Record
    capabilities: Capabilities = field(default_factory=Capabilities)
    connections: int = 1

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        fate = self.record.fate_of(message.recipient, self.name)
        if fate in ("down", "no credentials"):
            return BEFORE_THE_DOT[fate]
        mark.begin()
        faults.passing("provider.before_dot")
        if fate in BEFORE_THE_DOT:
            return BEFORE_THE_DOT[fate]
        mark.dot()
        if fate in ("accepted", "silence, accepted"):
            self.record.write(message, heard=fate == "accepted")
        faults.passing("provider.replied")
        return REPLIES[fate]

    async def close(self) -> None:
        """Nothing to give back."""
