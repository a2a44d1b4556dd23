"""A contacts file: opened once, its format settled, read as often as needed in flat memory.

Never guesses an encoding, never writes to the file, and yields every record either as a contact or as a bad row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from sendctl.inputs.contact_rows import BadRow, ContactRow
from sendctl.inputs.contact_tables import ContactTable
from sendctl.inputs.csv_header import Header, read_header
from sendctl.inputs.csv_rows import csv_parts
from sendctl.inputs.json_rows import json_rows
from sendctl.inputs.record_file import RecordFile
from sendctl.inputs.skip_file import SkipFile
from sendctl.inputs.sniff import CSV, file_format
from sendctl.inputs.source_file import LineReader, SourceFile, open_source

__all__ = ["BadRow", "ContactFile", "ContactRow", "ContactTable", "SkipFile", "open_contacts"]


class ContactFile(RecordFile):
    """An open contacts file; a context manager.

    `name` is for messages ("<stdin>" for standard input). `columns` are the template names of the CSV columns, without
    those that are ignored, and `delimiter` is what divides them; both are None for JSON Lines.
    """

    WHOLE, ONE = "the contacts file", "record"

    def __init__(self, source: SourceFile) -> None:
        super().__init__(source)
        self._lines: LineReader | None = None
        self.size_bytes = source.size_bytes
        is_csv = file_format(source) == CSV
        self._header: Header | None = read_header(source.name, source.lines()) if is_csv else None
        self.columns = self._header.columns if self._header else None
        self.delimiter = self._header.delimiter if self._header else None

    def rows(self) -> Iterator[ContactRow | BadRow]:
        """Every record in the file's order, one by one; each call reads from the start.

        Raises BadInput if the file changed since it was opened.
        """
        for part in self.parts():
            if isinstance(part, ContactTable):
                yield from part.rows()
            else:
                yield part

    def parts(self) -> Iterator[ContactTable | ContactRow | BadRow]:
        """The same, with many contacts at once where they are plain: that takes a fraction of the time."""
        self._source.refuse_change()
        lines = self._lines = self._source.lines()
        if self._header:
            yield from csv_parts(lines, read_header(self.name, lines))
        else:
            yield from json_rows(lines)
        self._source.refuse_change()

    def refuse_change(self) -> None:
        """Raises BadInput if the file was written to since it was opened."""
        self._source.refuse_change()

    def position_bytes(self) -> int:
        """How far the newest reading is, to the length of a buffer; for a progress bar against `size_bytes`."""
        return self._source.position_bytes()

    def reject(self, row: ContactRow, name: str | None, reason: str) -> BadRow:
        """A contact that the newest reading has just given, as a bad record: for what only the caller can check.

        `name` is the column or key to blame, None where no single one is. Raises ValueError for any other row.
        """
        raw = self._lines.raw_at(row.line) if self._lines is not None else None
        if raw is None:
            raise ValueError(f"line {row.line} is not the one just read")
        if self._header is None or name is None:
            return BadRow(row.line, name, reason, raw)
        return BadRow(row.line, self._header.names.index(name) + 1, f"{name}: {reason}", raw)


def open_contacts(source: Path | Literal["-"], stdin: BinaryIO | None = None) -> ContactFile:
    """Open a contacts file, or "-" for standard input (default: the process's own), and read its header.

    Raises BadInput, with file, line and column as far as they apply, if the whole file is unusable: unreadable,
    empty, not UTF-8 by its byte order mark, or CSV with an unusable header. The format is in docs/contacts.md.
    """
    file = open_source(source, stdin)
    try:
        return ContactFile(file)
    except BaseException:
        file.close()
        raise
