"""One state of the world: the store, the journal folders, every process's place, what the judge counted, what is left.

States are plain values: equal states are one state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Counts = tuple[tuple[str, int], ...]  # by person


class Process(NamedTuple):
    """A process that is alive: running, waiting or stopped, which the model does not tell apart."""

    number: int
    command: str
    host: int  # of the scenario's
    place: int


class Left(NamedTuple):
    """How often what is bounded may still happen."""

    starts: tuple[int, ...]
    kills: int
    faults: int
    unheard: int
    jumps: int
    backups: int
    failovers: int


class State(NamedTuple):
    """Everything that what comes next depends on. Accepted and licensed are the judge's own counts."""

    processes: tuple[Process, ...]
    store: int
    homes: tuple[int, ...]  # by host
    seconds: float
    timeline: int
    accepted: Counts
    licensed: Counts  # copies that an operator allowed for a message truly in doubt
    forgotten: int  # whether the store has ever lost commits
    backup: int | None
    recent: tuple[int, ...]  # what a standby may hold that lags by one commit, or by two
    mail_log: tuple[tuple[str, float], ...]
    log_seen_s: float  # up to when the MTA's log can be read
    started: int
    left: Left


class Action(NamedTuple):
    """Something that happens next."""

    kind: str  # start | go | kill | jump | back up | put back | fail over | log
    which: int = 0
    choice: str = ""


def count(counts: Counts, person: str) -> int:
    """One person's number, else 0."""
    return dict(counts).get(person, 0)


def more(counts: Counts, person: str) -> Counts:
    """The counts with one more for a person."""
    held: dict[str, Any] = dict(counts)
    return tuple(sorted((held | {person: held.get(person, 0) + 1}).items()))
