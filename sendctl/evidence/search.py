"""Settles messages in doubt from an MTA's logs: one streaming pass over all files, then one verdict for each.

Never holds a file in memory, never raises for what a log contains, never says Absent while it could be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

from sendctl.evidence import logs
from sendctl.evidence.coverage import Coverage, Span
from sendctl.evidence.exim import EximReader
from sendctl.evidence.model import (
    Absent,
    Accepted,
    CannotTell,
    Finding,
    Moment,
    Trail,
    Wanted,
    as_logged,
    trails_of,
)
from sendctl.evidence.postfix import PostfixReader
from sendctl.evidence.stamps import Stamps

Mta = Literal["postfix", "exim"]

_LINES_TO_TRY = 1000  # at a file's start, for the first line with a time


class _Reader(Protocol):
    """One MTA's way of logging. The groups 1 and 2 of `start` are the stamp and the host."""

    start: re.Pattern[bytes]

    def read(self, start: re.Match[bytes], line: bytes, stamps: Stamps) -> None: ...


def search(
    paths: Sequence[str | Path],
    mta: Mta,
    wanted: Sequence[Wanted],
    *,
    settle_s: float = 600,
    now: datetime,
    zone: tzinfo | None = None,
) -> dict[str, Finding]:
    """A finding for each wanted key.

    `paths` are files or glob patterns, of all hosts that may have taken the messages; `settle_s` seconds after
    `dotted_at` a message that is nowhere in the log will not come any more; `now` is UTC; `zone` is that of the MTA's
    host where its log names none, by default this host's. Absent is only true of an owner proven dead: a stopped
    process may still send its last byte. Raises nothing for the logs' sake: what is unreadable is CannotTell.
    """
    coverage, trails = Coverage(), trails_of(list(wanted))
    reader: _Reader = (PostfixReader if mta == "postfix" else EximReader)(trails, coverage)
    files, coverage.problems = logs.find(paths)
    for file in _by_content(files, reader, coverage, now, zone):
        _read_file(file, reader, coverage, Stamps(min(file.modified_at, now), zone))
    settle = timedelta(seconds=settle_s)
    return {one.key: _judge(one, trails[as_logged(one.key)], coverage, settle, now) for one in wanted}


def _by_content(
    files: list[logs.LogFile], reader: _Reader, coverage: Coverage, now: datetime, zone: tzinfo | None
) -> Iterator[logs.LogFile]:
    """The files that hold anything, by the time of their first line: names differ from one rotation to another."""
    dated: list[tuple[datetime, logs.LogFile]] = []
    for file in files:
        try:
            head = list(islice(logs.lines(file), _LINES_TO_TRY))
        except logs.READ_ERRORS:
            head = []  # read as far as it goes; _read_file reports it
        stamps = Stamps(min(file.modified_at, now), zone)
        moments = (_moment_of(line, reader, stamps) for line in head)
        first = next((moment for moment in moments if moment), None)
        if first is None and head:
            coverage.problems.append(f"{file.path}: no line in it looks like this MTA's log")
        else:
            dated.append((first.earliest if first else file.modified_at, file))
    return (file for _, file in sorted(dated, key=lambda pair: pair[0]))


def _moment_of(line: bytes, reader: _Reader, stamps: Stamps) -> Moment | None:
    start = reader.start.match(line)
    return stamps.moment(start[1]) if start else None


def _read_file(file: logs.LogFile, reader: _Reader, coverage: Coverage, stamps: Stamps) -> None:
    """Feed a file to the reader and record which time it covers, for each host in it."""
    first: dict[bytes, bytes] = {}
    last: dict[bytes, bytes] = {}
    match, read = reader.start.match, reader.read
    try:
        for line in logs.lines(file):
            start = match(line)
            if start is None:
                continue
            stamp, host = start[1], start[2]
            first.setdefault(host, stamp)
            last[host] = stamp
            read(start, line, stamps)
    except logs.READ_ERRORS as error:
        coverage.problems.append(f"{file.path}: {getattr(error, 'strerror', None) or error or 'damaged'}")
    for host, stamp in first.items():
        begin, end = stamps.moment(stamp), stamps.moment(last[host])
        if begin and end:
            coverage.spans.append(Span(host.decode("ascii", "replace"), file.path, begin.latest, end.earliest))


def _judge(wanted: Wanted, trail: Trail, coverage: Coverage, settle: timedelta, now: datetime) -> Finding:
    accepted = next((one for one in trail.handovers if one.accepted), None)
    if accepted:
        return Accepted(accepted.queue_id, accepted.seen.earliest, trail.status)
    unsettled = next((one for one in trail.handovers if not one.ended), None)
    if unsettled:
        return CannotTell(
            f"queue id {unsettled.queue_id} carries the message, but the log shows neither that it entered the queue "
            "nor that it was cut off or refused: it may be on hold"
        )
    if missing := coverage.what_is_missing(wanted.begun_at or wanted.dotted_at, wanted.dotted_at + settle, now):
        return missing
    if trail.handovers:
        ended = trail.handovers[-1]
        return Absent(f"queue id {ended.queue_id} began to take it, but {ended.ended}")
    return Absent("the log is complete from before the message was handed over until long after, and never names it")
