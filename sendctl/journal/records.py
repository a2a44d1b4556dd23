"""The lines of a journal: a CRC-32 in hex, a space, a JSON array, a newline. A torn or foreign line ends the file."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sendctl.errors import Unreachable
from sendctl.providers.base import Outcome, Phase, Scope
from sendctl.states import AttemptOutcome

VERSION = 1
RESERVED_BYTES = 32 * 1024 * 1024  # more than the largest window takes ahead


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
    """What a journal knows of one attempt: how far it got, and its outcome where a reply came."""

    message_id: int
    number: int
    claim_id: str
    key: str
    provider: str
    begun_at: float  # Unix time on the host's clock
    dotted: bool = False
    outcome: Outcome | None = None
    settled_at: float | None = None


def encode(record: list[Any]) -> bytes:
    """One record as a line."""
    body = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def header_record(header: Header) -> list[Any]:
    return ["run", VERSION, header.store_id, header.run_id, header.worker, header.host_id, header.boot_id,
            header.started_at]  # fmt: skip


def outcome_record(message_id: int, number: int, outcome: Outcome, at: float) -> list[Any]:
    return ["o", message_id, number, outcome.kind, outcome.phase, outcome.scope, outcome.code, outcome.enhanced,
            outcome.text, outcome.error_class, outcome.provider_message_id, outcome.retry_after_s, at]  # fmt: skip


def _decoded(lines: Iterable[bytes]) -> Iterator[list[Any]]:
    """The records up to the first torn line or the preallocated zeros behind the last one."""
    for line in lines:
        body = line[9:-1]
        if line[-1:] != b"\n" or line[8:9] != b" " or line[:8] != b"%08x" % zlib.crc32(body):
            return
        yield json.loads(body)


def read(path: Path) -> tuple[Header | None, dict[tuple[int, int], Trace]]:
    """A journal's header (None when not even that is whole) and its traces by (message id, attempt number).

    Raises Unreachable when it may not be read.
    """
    try:
        with path.open("rb") as file:
            return _collect(_decoded(file))
    except OSError as error:
        raise Unreachable(
            f"the journal {path} cannot be read: {error.strerror}", hint="passes must run as one user: see `ls -l`."
        ) from error


def _collect(found: Iterable[list[Any]]) -> tuple[Header | None, dict[tuple[int, int], Trace]]:
    header: Header | None = None
    traces: dict[tuple[int, int], Trace] = {}
    for record in found:
        match record:
            case ["run", 1, *rest] if header is None:
                header = Header(*rest)
            case ["b", message_id, number, claim_id, key, provider, at]:
                traces[message_id, number] = Trace(message_id, number, claim_id, key, provider, at)
            case ["d", message_id, number] if (message_id, number) in traces:
                traces[message_id, number].dotted = True
            case ["o", message_id, number, *_] if (message_id, number) in traces:
                traces[message_id, number].outcome, traces[message_id, number].settled_at = _outcome(record), record[12]
    return header, traces


def read_end(path: Path, size_bytes: int = 65536) -> dict[tuple[int, int], Trace]:
    """The traces that begin in the last records of a journal that may still grow."""
    with path.open("rb") as file:
        # Behind the last record lie preallocated zeros: at most what `reserve` takes at once.
        file.seek(max(0, path.stat().st_size - RESERVED_BYTES - size_bytes))
        written = file.read().rstrip(b"\0")[-size_bytes:]
    return _collect(_decoded(written[written.find(b"\n") + 1 :].splitlines(keepends=True)))[1]


def _outcome(record: list[Any]) -> Outcome:
    _, _, _, kind, phase, scope, code, enhanced, text, error_class, reference, retry_after_s, _ = record
    return Outcome(
        AttemptOutcome(kind), Phase(phase), Scope(scope), code, enhanced, text, error_class, reference, retry_after_s
    )
