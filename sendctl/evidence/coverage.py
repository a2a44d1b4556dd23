"""Whether logs cover a moment well enough to prove that something did not happen.

Silence proves nothing unless the log would have spoken: it must begin before the moment, reach past it, have no
hole on the way, have been read whole, and name every message it records. Never reads a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from sendctl.evidence.model import CannotTell, Moment

MARGIN = timedelta(seconds=60)  # before the moment; also the longest silence allowed between two files
HORIZON = timedelta(days=1)  # a host whose lines all lie further away was retired before, or added after
_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Span:
    """What one file holds of one host, in the reading that covers least; UTC."""

    host: str
    path: Path
    first_at: datetime
    last_at: datetime


@dataclass(slots=True)
class Coverage:
    """What was read. `problems` are files that could not be read whole; `blind` the minutes since 1970 in which
    the log took in a message without naming it, or lost lines.
    """

    spans: list[Span] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    blind: set[int] = field(default_factory=set)

    def blind_at(self, moment: Moment | None, *, before: timedelta = timedelta(0)) -> None:
        """Mark the minutes of a moment, and those `before` it, as blind."""
        if moment is None:
            return
        start, end = _minute(moment.earliest - before), _minute(moment.latest)
        self.blind.update(range(start, end + 1))

    def what_is_missing(self, begun_at: datetime, settled_at: datetime, now: datetime) -> CannotTell | None:
        """Why silence from `begun_at` to `settled_at` proves nothing; None if it proves absence."""
        if now < settled_at:
            return CannotTell(f"it is too early: absence counts from {_clock(settled_at)} on", "early")
        if self.problems:
            return CannotTell(f"not every log could be read: {self.problems[0]}")
        start = begun_at - MARGIN
        if self.blind and any(minute in self.blind for minute in range(_minute(start), _minute(settled_at) + 1)):
            return CannotTell(
                f"the log around {_clock(begun_at)} lost lines or took in messages without naming their Message-ID",
                "blind",
            )
        hosts: dict[str, list[Span]] = {}
        for span in self.spans:
            hosts.setdefault(span.host, []).append(span)
        near = [spans for spans in hosts.values() if _is_near(spans, start, settled_at)]
        if not near:
            return CannotTell(f"no log covers {_clock(begun_at)}", "uncovered")
        return next((hole for spans in near if (hole := _hole(spans, start, settled_at))), None)


def _is_near(spans: list[Span], start: datetime, end: datetime) -> bool:
    first, last = min(span.first_at for span in spans), max(span.last_at for span in spans)
    return first - HORIZON <= end and start <= last + HORIZON


def _hole(spans: list[Span], start: datetime, end: datetime) -> CannotTell | None:
    ordered = sorted(spans, key=lambda span: span.first_at)
    whose = f"the log of {ordered[0].host}" if ordered[0].host else "the log"
    if ordered[0].first_at > start:
        return CannotTell(f"{whose} begins at {_clock(ordered[0].first_at)}, too late to have seen the message")
    reached, path = ordered[0].last_at, ordered[0].path
    for span in ordered[1:]:
        if span.first_at > reached + MARGIN and reached < end and span.first_at > start:
            return CannotTell(
                f"{whose} has a hole between {path} ({_clock(reached)}) and {span.path} ({_clock(span.first_at)})"
            )
        if span.last_at > reached:
            reached, path = span.last_at, span.path
    if reached >= end:
        return None
    return CannotTell(f"{whose} ends at {_clock(reached)}; absence needs it to reach {_clock(end)}", f"{whose} ends")


def _minute(moment: datetime) -> int:
    return int(moment.timestamp()) // _MINUTE_S


def _clock(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
