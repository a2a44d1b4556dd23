"""Order events (JSON Lines): each line an event with its order, or the reason why it is none.

The form is in docs/orders.md. Knows no campaign: whether an event concerns one, and whom, is decided elsewhere. Never
writes to the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from sendctl.durations import YEARS
from sendctl.errors import BadInput
from sendctl.inputs.contact_rows import ID_MAX_CHARACTERS, BadRow, ValueProblem
from sendctl.inputs.json_rows import json_lines
from sendctl.inputs.record_file import RecordFile
from sendctl.inputs.source_file import LineReader, SourceFile, open_source

# RFC 3339 section 5.6; a space for the "T" is its own note.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)")


class OrderEvent(NamedTuple):
    """One event. `line` is 1-based; `occurred_at` is the event's own time, in UTC."""

    line: int
    id: str
    type: str
    occurred_at: datetime
    order: dict[str, Any]


class OrderFile(RecordFile):
    """An open file of order events; a context manager. `name` is for messages ("<stdin>" for standard input)."""

    WHOLE, ONE = "the orders file", "event"

    def __init__(self, source: SourceFile) -> None:
        super().__init__(source)
        self._lines: LineReader | None = None
        self.size_bytes = source.size_bytes
        self.stamp = source.stamp
        if source.head.lstrip()[:1] == b"[":
            hint = "write one JSON object on each line, for example with: jq -c '.[]'"
            raise BadInput("the file is one JSON array, not JSON Lines", place=f"{source.name}:1:1", hint=hint)

    def events(self) -> Iterator[OrderEvent | BadRow]:
        """Every event in the file's order; each call reads from the start. Raises BadInput if the file changed."""
        self._source.refuse_change()
        lines = self._lines = self._source.lines()
        yield from json_lines(lines, _event)
        self._source.refuse_change()

    def position_bytes(self) -> int:
        """How far the newest reading is, to the length of a buffer."""
        return self._source.position_bytes()

    def reject(self, event: OrderEvent, name: str | None, reason: str) -> BadRow:
        """An event that the newest reading has just given, as a bad record; `name` is the key to blame, if one is."""
        raw = self._lines.raw_at(event.line) if self._lines is not None else None
        if raw is None:
            raise ValueError(f"line {event.line} is not the one just read")
        return BadRow(event.line, name, reason, raw)


def open_orders(source: Path | Literal["-"], stdin: BinaryIO | None = None) -> OrderFile:
    """Open a file of order events, or "-" for standard input (default: the process's own).

    Raises BadInput if the whole file is unusable: unreadable, not UTF-8 by its byte order mark, or a JSON array.
    """
    file = open_source(source, stdin)
    try:
        return OrderFile(file)
    except BaseException:
        file.close()
        raise


def _event(line: int, values: dict[str, Any]) -> OrderEvent:
    """Raises ValueProblem naming the key. Other keys than these four mean nothing."""
    order = values.get("order")
    if not isinstance(order, dict):
        raise ValueProblem("order", _wanted("an object", values, "order"))
    return OrderEvent(line, _name(values, "id"), _name(values, "type"), _moment(values), order)


def _name(values: dict[str, Any], key: str) -> str:
    text = values.get(key)
    if not isinstance(text, str) or not text.strip():
        raise ValueProblem(key, _wanted("a text that is not empty", values, key))
    if len(text) > ID_MAX_CHARACTERS:
        raise ValueProblem(key, f"{len(text)} characters, the limit is {ID_MAX_CHARACTERS}")
    return text


def _moment(values: dict[str, Any]) -> datetime:
    text = values.get("occurred_at")
    wanted = 'a time with its offset, such as "2026-11-20T10:00:00Z"'
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        raise ValueProblem("occurred_at", _wanted(wanted, values, "occurred_at"))
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueProblem("occurred_at", _wanted(wanted, values, "occurred_at")) from None
    if moment.year not in YEARS:
        raise ValueProblem("occurred_at", f"the year {moment.year} is outside {YEARS.start} to {YEARS.stop - 1}")
    return moment


def _wanted(what: str, values: dict[str, Any], key: str) -> str:
    return f"must be {what}, is {repr(values[key])[:60]}" if key in values else f"is missing: must be {what}"
