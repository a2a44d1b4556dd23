"""A provider whose relay outlives the pass, recognises no keys, and can be asked afterwards what it has accepted."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Protocol

from sendctl.clock import Deadline
from sendctl.providers.base import Capabilities, Outcome, Outgoing, PhaseMark, Sought

_SUBJECT = re.compile(rb"^Subject: (\S+)\r$", re.MULTILINE)


def subject(message: Outgoing) -> str:
    """The subject of a message whose subject is one word."""
    found = _SUBJECT.search(message.content)
    assert found is not None
    return found[1].decode()


class Relay(Protocol):
    """Decides about each message after its last byte; `keys` are those of what it has accepted, for ever."""

    keys: set[str]

    def answer(self, message: Outgoing) -> Outcome: ...


@dataclass
class AskedProvider:
    """The provider of one pass."""

    name: str
    relay: Relay
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(lookup=True))
    connections: int = 1

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        mark.begin()
        mark.dot()
        return self.relay.answer(message)

    def find(self, sought: Sought) -> str | None:
        return sought.key if sought.key in self.relay.keys else None

    async def close(self) -> None:
        """Nothing to give back."""
