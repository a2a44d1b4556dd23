"""Contacts from CSV: many at once where all are plain, else one record at a time, a ContactRow or the reason why not.

Never sends a row whose borders are uncertain: where quotes are broken, all lines read so far are one bad record.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from sendctl.inputs.contact_rows import IGNORED_COLUMNS, BadRow, ContactRow, ValueProblem, contact_row
from sendctl.inputs.contact_tables import ContactTable, contact_table
from sendctl.inputs.csv_header import Header
from sendctl.inputs.csv_records import broken_column, broken_reason, csv_records
from sendctl.inputs.source_file import RECORD_MAX_CHARACTERS, LineReader, RecordTooLong, find_flaw


def csv_parts(lines: LineReader, header: Header) -> Iterator[ContactTable | ContactRow | BadRow]:
    """The records after the header. Records whose fields are all empty are blank lines and are left out."""
    while texts := lines.ahead():
        table = None if lines.ahead_is_flawed() else contact_table(lines.line + 1, texts, header)
        if table is not None:
            lines.pass_over(texts)
            yield table
        else:
            yield from _one_by_one(lines, header)


def _one_by_one(lines: LineReader, header: Header) -> Iterator[ContactRow | BadRow]:
    """The records that begin in the lines ahead."""
    while not lines.used_up():
        try:
            yield from _well_formed(lines, header)
        except csv.Error as error:
            yield _broken(lines, header, str(error))
        except RecordTooLong:
            reason = f"the record has more than {RECORD_MAX_CHARACTERS} characters; only its beginning is kept"
            yield BadRow(lines.first_line(), 1, reason, lines.raw())
        lines.begin_record()


def _well_formed(lines: LineReader, header: Header) -> Iterator[ContactRow | BadRow]:
    names, width = header.names, len(header.names)
    ignored = IGNORED_COLUMNS.intersection(names)
    for fields in csv_records(lines.read(), header.delimiter):
        if len(fields) == width and not lines.flawed:
            values: dict[str, Any] = {}
            for name, field in zip(names, fields):  # noqa: B905  # lengths are equal; this form costs half of dict(zip)
                values[name] = field
            for name in ignored:
                del values[name]
            get = values.get
            try:
                special = get("email"), get("phone"), get("id"), get("timezone")
                yield contact_row(lines.first_line(), special, values)
            except ValueError as error:
                if any(field.strip() for field in fields):
                    yield _refused(lines, header, error)
        elif any(field.strip() for field in fields):
            yield _misshapen(lines, header, fields)
        lines.begin_record()
        if lines.used_up():
            return


def _refused(lines: LineReader, header: Header, error: ValueError) -> BadRow:
    if isinstance(error, ValueProblem):
        column, reason = header.names.index(error.name) + 1, f"{error.name}: {error}"
    else:
        column = min(header.names.index(name) for name in ("email", "phone") if name in header.names) + 1
        reason = str(error)
    return BadRow(lines.first_line(), column, reason, lines.raw())


def _misshapen(lines: LineReader, header: Header, fields: list[str]) -> BadRow:
    """A record with the wrong number of fields, or with a character that no store can keep."""
    width = len(header.names)
    for column, (name, field) in enumerate(zip(header.names, fields, strict=False), start=1):
        flaw = find_flaw(field)
        if flaw:
            return BadRow(lines.first_line(), column, f"{name}: {flaw[1]}", lines.raw())
    reason = f"{len(fields)} fields where the header has {width}"
    if len(fields) < width:
        return BadRow(
            lines.first_line(), len(fields) + 1, f"{reason}: {header.names[len(fields)]} is missing", lines.raw()
        )
    return BadRow(lines.first_line(), width + 1, f"{reason}: quote a field that has the delimiter in it", lines.raw())


def _broken(lines: LineReader, header: Header, message: str) -> BadRow:
    raw = lines.raw()
    column = broken_column(raw, header.delimiter)
    name = header.names[column - 1] if column <= len(header.names) else f"column {column}"
    reason = broken_reason(message)
    if lines.line > lines.first_line():
        reason += f"; a quoted field took in lines {lines.first_line()} to {lines.line}"
    return BadRow(lines.first_line(), column, f"{name}: {reason}", raw)
