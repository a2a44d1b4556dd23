"""The header row of a CSV contacts file: which columns it has, and under which names templates know them.

Never renames silently into a collision and never takes a data row for a header.
"""

from __future__ import annotations

import csv
import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from sendctl.errors import BadInput
from sendctl.inputs.contact_rows import IGNORED_COLUMNS, SPECIAL_COLUMNS
from sendctl.inputs.csv_records import broken_column, broken_reason, csv_records
from sendctl.inputs.sniff import column_delimiter
from sendctl.inputs.source_file import RECORD_MAX_CHARACTERS, LineReader, RecordTooLong, find_flaw

COLUMNS_MAX = 1000
_NOT_IN_NAMES = re.compile(r"\W+")
_EXCEL_LINE = re.compile(r'"?sep=.?"?\s*', re.IGNORECASE | re.DOTALL).fullmatch
_MEANT = {"email": re.compile(r"mail"), "phone": re.compile(r"phone|mobile|cell|tel")}


@dataclass(frozen=True, slots=True)
class Header:
    """What the header row says. `names` are template names, in the file's order; `raw` is the row as written."""

    names: tuple[str, ...]
    delimiter: str
    raw: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The names without those of columns that are ignored."""
        return tuple(name for name in self.names if name not in IGNORED_COLUMNS)


def read_header(source_name: str, lines: LineReader) -> Header:
    """Read the first record that is not blank; `lines` then stands at the first contact. Raises BadInput."""
    try:
        texts = lines.read()
        first = next(text for text in _counting_blank(lines, texts) if text.strip())
        if _EXCEL_LINE(first):
            hint = "delete that line: columns are divided by what divides them in the header row."
            raise _problem(source_name, lines, 1, f"{first.strip()!r} is a line for Excel, not a header row", hint)
        delimiter = column_delimiter(source_name, first)
        written = next(csv_records(chain([first], texts), delimiter))
    except RecordTooLong:
        raise _problem(
            source_name, lines, 1, f"the header row has more than {RECORD_MAX_CHARACTERS} characters"
        ) from None
    except csv.Error as error:
        if lines.flawed:
            raise _flawed(source_name, lines, [lines.raw()]) from None
        column = broken_column(lines.raw(), delimiter)
        raise _problem(source_name, lines, column, f"in the header row: {broken_reason(str(error))}") from None
    except StopIteration:
        raise BadInput("the file has blank lines only", place=source_name) from None
    if lines.flawed:
        raise _flawed(source_name, lines, written)
    header = Header(_names(source_name, lines, written), delimiter, lines.raw())
    _refuse_unreachable(source_name, lines, written, header.names)
    lines.begin_record()
    return header


def _counting_blank(lines: LineReader, texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        yield text
        lines.begin_record()


def template_name(written: str) -> str:
    """The name that templates use for a column; "" if the header has no letter, digit or underscore.

    Trimmed and NFC. The special names count in any case. A name that templates can say stays as written; in others each
    run of other characters becomes one underscore, none at the ends, and capitals become small: "First Name" is
    first_name, "2nd line" is _2nd_line, "Email *" is email.
    """
    trimmed = unicodedata.normalize("NFC", written.strip())
    if trimmed.lower() in SPECIAL_COLUMNS:
        return trimmed.lower()
    if trimmed.isidentifier():
        return trimmed
    name = _NOT_IN_NAMES.sub("_", trimmed.lower()).strip("_")
    return name if not name or name.isidentifier() else f"_{name}"


def _names(source_name: str, lines: LineReader, written: list[str]) -> tuple[str, ...]:
    if len(written) > COLUMNS_MAX:
        raise _problem(source_name, lines, COLUMNS_MAX + 1, f"{len(written)} columns, the limit is {COLUMNS_MAX}")
    seen: dict[str, int] = {}
    for column, text in enumerate(written, start=1):
        name = template_name(text)
        if not name:
            raise _problem(source_name, lines, column, f"column {column} has no name", "name it or delete it.")
        if name in seen and name not in IGNORED_COLUMNS:
            first = seen[name]
            message = f"columns {first} ({written[first - 1]!r}) and {column} ({text!r}) are both named {name!r}"
            raise _problem(source_name, lines, column, message, "rename or delete one of them.")
        seen[name] = column
    return tuple(template_name(text) for text in written)


def _refuse_unreachable(source_name: str, lines: LineReader, written: list[str], names: tuple[str, ...]) -> None:
    if "email" in names or "phone" in names:
        return
    if lines.raw().lstrip().startswith(("[", "{")):
        hint = "name it .jsonl, with one JSON object on each line, for example from: jq -c '.[]'"
        raise _problem(source_name, lines, 1, "the file looks like JSON, and its name ends as that of CSV", hint)
    for column, text in enumerate(written, start=1):
        if "@" in text:
            message = f"{text[:60]!r} is an address where a column name is expected"
            raise _problem(source_name, lines, column, message, "put a header row first, for example: email,first_name")
    message, hint = "no column is named 'email' or 'phone'", f"the columns are: {', '.join(names)}"[:300]
    for column, name in enumerate(names, start=1):
        special = meant_column(name)
        if special:
            hint = f"rename the column {written[column - 1]!r} to {special!r}."
            raise _problem(source_name, lines, column, message, hint)
    raise _problem(source_name, lines, 1, message, hint)


def meant_column(name: str) -> str | None:
    """ "email" or "phone" if a column of this name probably holds one."""
    lowered = name.lower()[:60]
    for special, pattern in _MEANT.items():
        if pattern.search(lowered) or difflib.get_close_matches(lowered, [special]):
            return special
    return None


def _flawed(source_name: str, lines: LineReader, written: list[str]) -> BadInput:
    found = ((column, find_flaw(text)) for column, text in enumerate(written, start=1))
    column, reason = next((column, flaw[1]) for column, flaw in found if flaw)
    hint = "save the file as UTF-8; a file with NUL characters may be UTF-16: iconv -f UTF-16 -t UTF-8"
    return _problem(source_name, lines, column, f"in the header row: {reason}", hint)


def _problem(source_name: str, lines: LineReader, column: int, message: str, hint: str | None = None) -> BadInput:
    return BadInput(message, place=f"{source_name}:{lines.first_line()}:{column}", hint=hint)
