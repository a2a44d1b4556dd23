"""The lines of a journal: a CRC-32 in hex, a space, a JSON array, a newline. A torn or foreign line ends the file.

A journal that nobody damaged ends in the zeros taken ahead, or in the record that its writer closed it with. In any
other one records may be missing, so that what it does not say proves nothing.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sendctl.errors import Unreachable
from sendctl.providers.base import Outcome, Phase, Scope
from sendctl.states import AttemptOutcome

_text = json.encoder.encode_basestring_ascii  # as JSON, in quotes
_compact = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
VERSION = 1
NEWEST_WITHIN_BYTES = (8 * 1024, 1024 * 1024)  # the second: more than all connections can write behind a begin


@dataclass(frozen=True, slots=True)
class Header:
    """The first record: whose journal this is."""

    store_id: str
    run_id: str
    worker: int
    host_id: str
    boot_id: str
    started_at: str  # ISO 8601, UTC


@dataclass(slots=True)
class Trace:
    """What a journal knows of one attempt: how far it got, and its outcome where a reply came.

    `contents` (definition.fingerprint) and `composed_at` are what the message's bytes were made of.
    """

    message_id: int
    number: int
    claim_id: str
    key: str
    provider: str
    begun_at: float  # Unix time on the host's clock
    contents: str = ""
    composed_at: float | None = None  # Unix time
    dotted: bool = False
    outcome: Outcome | None = None
    settled_at: float | None = None


def encode(record: list[Any]) -> bytes:
    """One record as a line."""
    return _line(_compact(record))


def _line(record: str) -> bytes:
    body = record.encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(body), body)


def header_record(header: Header) -> list[Any]:
    return ["run", VERSION, header.store_id, header.run_id, header.worker, header.host_id, header.boot_id,
            header.started_at]  # fmt: skip


# The three records of a message are put together by hand: an encoder made for each takes several times as long.


def begin_line(
    message_id: int, number: int, claim_id: str, key: str, provider: str, at: float, contents: str, composed_at: float
) -> bytes:
    """The first byte of this attempt is about to leave; `at` and `composed_at` are Unix times."""
    return _line(
        f'["b",{message_id},{number},{_text(claim_id)},{_text(key)},{_text(provider)},{at!r},{_text(contents)},'
        f"{composed_at!r}]"
    )


def dot_line(message_id: int, number: int) -> bytes:
    """The last byte that makes acceptance possible is about to leave."""
    return _line(f'["d",{message_id},{number}]')


def outcome_line(message_id: int, number: int, outcome: Outcome, at: float) -> bytes:
    """What came of the attempt; `at` is Unix time."""
    kind, phase, scope, code, enhanced, text, error_class, reference, retry_after_s = outcome
    return _line(
        f'["o",{message_id},{number},"{kind}","{phase}","{scope}",{"null" if code is None else code},'
        f"{_text(enhanced)},{_text(text)},{_text(error_class)},{_text(reference)},"
        f"{'null' if retry_after_s is None else _compact(retry_after_s)},{at!r}]"
    )


@dataclass(slots=True)
class Journal:
    """What a file says: `header` is None when not even that is whole; traces by (message id, attempt number).

    `whole` is True when no record can be missing at its end: it was closed, or ends in the zeros taken ahead.
    """

    header: Header | None = None
    traces: dict[tuple[int, int], Trace] = field(default_factory=dict)
    whole: bool = False


def _decoded(lines: Iterable[bytes], rest: list[bytes]) -> Iterator[list[Any]]:
    """The records up to the first torn line; that and what follows it goes into `rest`."""
    lines = iter(lines)
    for line in lines:
        body = line[9:-1]
        if line[-1:] != b"\n" or line[8:9] != b" " or line[:8] != b"%08x" % zlib.crc32(body):
            rest += [line, *lines]
            return
        yield json.loads(body)


def read(path: Path) -> Journal:
    """All that a journal says. Raises Unreachable when it may not be read."""
    rest: list[bytes] = []
    try:
        with path.open("rb") as file:
            return _collect(_decoded(file, rest), rest)
    except OSError as error:
        raise Unreachable(
            f"the journal {path} cannot be read: {error.strerror}", hint="passes must run as one user: see `ls -l`."
        ) from error


def _collect(found: Iterable[list[Any]], rest: list[bytes]) -> Journal:
    journal = Journal()
    traces, closed, unread = journal.traces, False, False
    for record in found:
        match record:
            case ["run", 1, *columns] if journal.header is None:
                journal.header = Header(*columns)
            case ["b", message_id, number, claim_id, key, provider, at, *made_of] if len(made_of) in (0, 2):
                traces[message_id, number] = Trace(message_id, number, claim_id, key, provider, at, *made_of)
            case ["d", message_id, number] if (message_id, number) in traces:
                traces[message_id, number].dotted = True
            case ["o", message_id, number, *_] if (message_id, number) in traces:
                traces[message_id, number].outcome, traces[message_id, number].settled_at = _outcome(record), record[12]
            case ["e"]:
                closed = True
            case _:
                unread = True  # of a later version: what it says is not known, so that silence proves nothing
    journal.whole = not unread and (closed or _torn_at_most(b"".join(rest)))
    return journal


def _torn_at_most(rest: bytes) -> bool:
    """Whether what follows the last whole record is zeros, behind at most the beginning of one record more."""
    torn = rest.rstrip(b"\0")
    cut_at_its_end = torn[:8] == b"%08x" % zlib.crc32(torn[9:-1])  # a whole record whose newline was damaged
    return rest.endswith(b"\0") and b"\n" not in torn and b"\0" not in torn and not cut_at_its_end


def newest(path: Path) -> dict[tuple[int, int], Trace]:
    """The trace that began last in a journal that may still grow; empty when there is none near its end."""
    with path.open("rb", buffering=0) as file:
        descriptor = file.fileno()
        end = _end_of_records(descriptor, os.fstat(descriptor).st_size)
        for size_bytes in NEWEST_WITHIN_BYTES:
            start = max(0, end - size_bytes)
            written = os.pread(descriptor, end - start, start)
            begun = written.rfind(b'["b",', 0, written.rfind(b"\n") + 1)
            first = written.rfind(b"\n", 0, max(begun, 0)) + 1
            if begun >= 0 and (first or not start):  # else its own beginning is cut off
                return _collect(_decoded(written[first:].splitlines(keepends=True), []), []).traces
    return {}


def _end_of_records(descriptor: int, size_bytes: int) -> int:
    """Where the zeros begin that were taken ahead: records have none, so that halving finds it in a few reads."""
    low, high = 0, size_bytes
    while low < high:
        middle = (low + high) // 2
        if os.pread(descriptor, 1, middle) in (b"", b"\0"):
            high = middle
        else:
            low = middle + 1
    return low


def _outcome(record: list[Any]) -> Outcome:
    _, _, _, kind, phase, scope, code, enhanced, text, error_class, reference, retry_after_s, _ = record
    return Outcome(
        AttemptOutcome(kind), Phase(phase), Scope(scope), code, enhanced, text, error_class, reference, retry_after_s
    )
