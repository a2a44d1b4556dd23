"""JSON Lines (one object on each line): contacts, or what else a caller makes of each object, or the reason why not.

Never accepts what another reader would take differently: duplicate keys, NaN, infinite numbers, lone surrogates.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

from sendctl.inputs.contact_rows import (
    IGNORED_COLUMNS,
    SPECIAL_COLUMNS,
    BadRow,
    ContactRow,
    ValueProblem,
    contact_row,
)
from sendctl.inputs.csv_header import meant_column
from sendctl.inputs.source_file import LineReader, RecordTooLong, find_flaw

DEPTH_MAX = 32
DIGITS_MAX = 100
_KEYS_CONSIDERED = 50  # for the hint; a hostile line has hundreds of thousands of keys
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

T = TypeVar("T")


def json_rows(lines: LineReader) -> Iterator[ContactRow | BadRow]:
    """The contacts of all lines; blank lines are left out."""
    return json_lines(lines, lambda line, values: contact_row(line, _special_values(values), values))


def json_lines(lines: LineReader, made: Callable[[int, dict[str, Any]], T]) -> Iterator[T | BadRow]:
    """What `made` makes of each line's number and object; blank lines are left out.

    It says with ValueProblem, or ValueError where no single key is to blame, what is wrong.
    """
    while True:
        try:
            for text in lines.read():
                if text.strip():
                    yield _row(lines, text, made)
                lines.begin_record()
        except RecordTooLong:
            reason = f"the line has more than {lines.most_characters} characters; only its beginning is kept"
            yield BadRow(lines.first_line(), 1, reason, lines.raw())
            lines.begin_record()
        else:
            return


def _row(lines: LineReader, text: str, made: Callable[[int, dict[str, Any]], T]) -> T | BadRow:
    flaw = find_flaw(text) if lines.flawed else None
    if flaw:
        return BadRow(lines.line, flaw[0] + 1, flaw[1], lines.raw())
    column: int | str = 1
    try:
        return made(lines.line, _object(text))
    except json.JSONDecodeError as error:
        column, reason = error.colno, f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
    except ValueProblem as error:
        column, reason = error.name, str(error)
    except ValueError as error:
        reason = str(error)
    except RecursionError:
        reason = f"nested deeper than {DEPTH_MAX} levels"
    return BadRow(lines.line, column, reason, lines.raw())


def _object(text: str) -> dict[str, Any]:
    values = _DECODER.decode(text)
    if not isinstance(values, dict):
        raise ValueError("the line is not a JSON object")
    # Deep nesting and escapes are rare: only then is a walk through all values worth its time.
    if "\\u" in text or text.count("{") + text.count("[") > DEPTH_MAX:
        refuse_unstorable(values, 1)
    for name in IGNORED_COLUMNS.intersection(values):
        del values[name]
    return values


def _special_values(values: dict[str, Any]) -> tuple[str | None, str | None, str | None, str | None]:
    """The values of SPECIAL_COLUMNS, in that order. Raises ValueError if one is not a string."""
    get = values.get
    special = get("email"), get("phone"), get("id"), get("timezone")
    for name, value in zip(SPECIAL_COLUMNS, special, strict=True):
        if value is not None and not isinstance(value, str):
            raise ValueProblem(name, f"must be a string, is {json.dumps(value)[:40]}")
    if not special[0] and not special[1]:
        for name in islice(values, _KEYS_CONSIDERED):
            meant = meant_column(name)
            if meant and meant not in values:
                raise ValueError(f"neither email nor phone: rename the key {name[:60]!r} to {meant!r}")
    return special


def refuse_unstorable(value: object, depth: int = 1) -> None:
    """Raises ValueError for what no store can keep: a NUL, half of a surrogate pair, a nesting that has no end."""
    if depth > DEPTH_MAX:
        raise ValueError(f"nested deeper than {DEPTH_MAX} levels")
    if isinstance(value, str):
        found = _UNSTORABLE.search(value)
        if found:
            raise ValueError(f"character U+{ord(found.group()):04X} cannot be stored")
    elif isinstance(value, dict):
        for key, inner in value.items():
            refuse_unstorable(key, depth)
            refuse_unstorable(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            refuse_unstorable(inner, depth + 1)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueProblem(name[:60], "the key stands twice in one object")
            seen.add(name)
    return values


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise ValueError(f"a number has more than {DIGITS_MAX} digits")
    return int(text)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_integer, parse_constant=_no_constant
)
