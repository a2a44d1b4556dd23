"""CSV records, and in our own words what is wrong with one. Knows neither columns' names nor files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

FIELD_MAX_CHARACTERS = 64 * 1024


def csv_records(texts: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    """RFC 4180 records of these lines. Raises csv.Error for broken quotes; a new call goes on at the next line."""
    csv.field_size_limit(FIELD_MAX_CHARACTERS)  # process-wide, and sendctl reads CSV nowhere else
    return csv.reader(texts, delimiter=delimiter, strict=True)


def broken_reason(message: str) -> str:
    """What a csv.Error means; its own words are about Python's parameters."""
    if "field larger than" in message:
        return f"a field has more than {FIELD_MAX_CHARACTERS} characters"
    if "unexpected end" in message:
        return "the quote opened here is not closed"
    if "new-line" in message:
        return "a carriage return without a line feed"
    return "text after a closing quote (a quote inside quotes is written twice)"


def broken_column(raw: str, delimiter: str) -> int:
    """1-based column of the first field that is not well-formed or too long, the last one if none is found."""
    field = re.compile(rf'(?:"(?:[^"]++|"")*+"|(?!")[^{delimiter}\r\n]*+)(?={delimiter}|\Z)').match
    column, place = 1, 0
    while (found := field(raw, place)) and found.end() < len(raw) and len(found.group()) <= FIELD_MAX_CHARACTERS:
        column, place = column + 1, found.end() + 1
    return column
