"""What came of asking services for their events, and what both ways of asking share: bounds, and how a line counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from sendctl.errors import ExitCode
from sendctl.inputs.events import Event, event_of
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.events import Applied, apply
from sendctl.passes.whom import Unmatched

PAGES = 100  # of one provider in one pass; of a queue, turns
SECONDS = 60.0  # ... and none more after so many
SHOWN = 20  # entries not understood that are named; all are counted
CLOCKS_S = 600  # a service's clock and the store's differ by less
WAITS_S = 2 * 86400  # how long an outcome that is missing is waited for


@dataclass
class Pulled:
    """What services said. `foreign` events are about nothing of this store, and that is no fault."""

    applied: Applied = field(default_factory=Applied)
    pages: int = 0
    foreign: int = 0
    unread: int = 0  # entries that are not as documented
    not_understood: list[str] = field(default_factory=list)  # the first of them
    trouble: dict[str, str] = field(default_factory=dict)  # provider -> why it could not be read
    asked_to_wait: dict[str, str] = field(default_factory=dict)  # provider -> what it said
    behind: dict[str, datetime] = field(default_factory=dict)  # provider -> all before this has been read, no more
    more: list[str] = field(default_factory=list)  # providers of which the next pass reads on

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.NEEDS_PERSON if self.trouble or self.unread or self.behind else ExitCode.DONE

    def as_detail(self) -> dict[str, object]:
        """The counts, for programs and the run's record."""
        effects = ("known", "proven", "bounced", "stopped", "cancelled", "suppressed", "set_aside", "in_flight")
        return {"events": self.applied.fresh} | {name: getattr(self.applied, name) for name in effects} | {
            "by_type": dict(sorted(self.applied.by_type.items())), "pages": self.pages, "foreign": self.foreign,
            "unread": self.unread, "not_understood": self.not_understood, "trouble": self.trouble,
            "asked_to_wait": self.asked_to_wait, "more": self.more,
            "behind": {name: moment.isoformat() for name, moment in self.behind.items()},
        }  # fmt: skip

    def note_unread(self, provider: str, reasons: Iterable[str]) -> None:
        for reason in reasons:
            self.unread += 1
            if len(self.not_understood) < SHOWN:
                self.not_understood.append(f"provider {provider}: {reason}")


@dataclass
class Bound:
    """How much of one provider is read in one pass."""

    context: Context
    pages: int = field(default_factory=lambda: PAGES)

    def __post_init__(self) -> None:
        self._until = self.context.clock.boot_s() + SECONDS

    def reached(self) -> bool:
        return self.pages <= 0 or self.context.clock.boot_s() >= self._until


def read_lines(
    provider: str, lines: Sequence[Mapping[str, Any]], place: int = 0
) -> tuple[list[Event], list[str]]:  # fmt: skip
    """The events that lines say, each with `place` as its line; and why others are none (docs/events.md)."""
    events, refused = [], []
    for line in lines:
        try:
            events.append(event_of(place, {"provider": provider, **line}))
        except ValueError as error:
            refused.append(f"{error}: {str(dict(line))[:200]}")
    return events, refused


def write_down(desk: Desk, connection: Connection, events: Sequence[Event]) -> tuple[Applied, list[Unmatched]]:
    """Nothing to write takes no locks."""
    return apply(desk, connection, events) if events else (Applied(), [])


def may_be_about(oldest: datetime | None, moment: datetime) -> bool:
    """Whether an event of a moment may be about an attempt whose outcome is missing; the oldest began at `oldest`.

    To be asked before events are looked up: an outcome that comes in between is then one that they had not found.
    """
    return oldest is not None and oldest <= moment + timedelta(seconds=CLOCKS_S)
