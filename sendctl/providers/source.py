"""Where the events of a service come from when it is asked for them: lists that are read by time, or a queue.

A source knows nothing of the store: what it is asked for, and whether anything new came of it, is said to it each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable


class Reading(NamedTuple):
    """A list is read when what it has is `lag_s` old, in windows of `least_s` or longer."""

    lag_s: int
    least_s: int = 0


class Feed(NamedTuple):
    """One list of a service, and when each moment of it is read. The last reading finds all that there will be."""

    name: str
    readings: tuple[Reading, ...]


class Asked(NamedTuple):
    """A page of a list: of what is in it from `since` to `until`, both in UTC. `page` is "" for the first."""

    feed: str
    since: datetime
    until: datetime
    page: str = ""


class EventPage(NamedTuple):
    """What a page has, as lines of docs/events.md without `provider`. `next` is "" behind the last page of a window.

    `unread` says of entries that are not in the form that the service documents what is wrong with them.
    """

    lines: Sequence[Mapping[str, Any]]
    next: str = ""
    unread: Sequence[str] = ()


class Delivery(NamedTuple):
    """One message of a queue. `receipt` is what it is taken out with, `queued_at` when it was put in."""

    lines: Sequence[Mapping[str, Any]]
    unread: Sequence[str]
    receipt: str
    queued_at: datetime


class NoEvents(OSError):
    """A source could not be read. `strerror` says why, and what would help where that is known.

    `wait_s`: the service wants to be left alone for so long; None where something is wrong. `stale`: it may not know
    the page any more that it was asked for.
    """

    def __init__(self, text: str, wait_s: float | None = None, *, stale: bool = False) -> None:
        super().__init__(0, text)
        self.wait_s = wait_s
        self.stale = stale


@runtime_checkable
class EventLists(Protocol):
    """The lists of one account. Everything that is asked within `together` goes over one connection."""

    @property
    def feeds(self) -> tuple[Feed, ...]: ...

    def together(self) -> AbstractContextManager[None]: ...

    def page(self, asked: Asked) -> EventPage:
        """One page of a list; the same page may be asked for again. Raises NoEvents."""
        ...


@runtime_checkable
class EventQueue(Protocol):
    """A queue: what is received comes again until it is taken out."""

    def together(self) -> AbstractContextManager[None]: ...

    def receive(self) -> Sequence[Delivery]:
        """Some messages; none when there are none now. Raises NoEvents."""
        ...

    def take_out(self, receipts: Sequence[str]) -> None:
        """These are done with. One that stays for any reason comes again. Raises NoEvents."""
        ...
