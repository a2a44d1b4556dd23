"""The file that `--skip-bad` writes: bad records in the format they came in, to be repaired and read again.

Never changes a record's text, and never leaves half a file: it appears whole, synced, mode 0600, by one rename.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from sendctl.errors import StoppedEarly, UsageError
from sendctl.inputs.contact_rows import SKIPPED_LINE, SKIPPED_RAW, SKIPPED_REASON, BadRow
from sendctl.inputs.csv_header import Header


class SkipFile:
    """A context manager: it keeps the file if the block ends well, else nothing is left.

    CSV: the header and each record as written, with sendctl_line and sendctl_reason put before the first column. JSON
    Lines: the same two as first keys of the object; a line that is no object stands as text under sendctl_raw. The
    reader ignores these names, so a repaired file needs no other change. `header` is None for JSON Lines.
    """

    def __init__(self, path: Path, header: Header | None) -> None:
        self.path = path
        self._header = header
        self.count = 0

    def __enter__(self) -> Self:
        try:
            descriptor, self._temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}") from error
        # Surrogates become the very bytes that were read (PEP 383).
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="")
        if self._header:
            titles = (SKIPPED_LINE, SKIPPED_REASON)
            self._put(self._header.delimiter.join((*titles, self._header.raw)))
        return self

    def write(self, bad: BadRow) -> None:
        """Add one record. Raises StoppedEarly when the disk is full."""
        self.count += 1
        self._put(_csv_record(bad, self._header.delimiter) if self._header else _json_line(bad))

    def _put(self, record: str) -> None:
        try:
            self._file.write(f"{record}\n")
        except OSError as error:
            raise StoppedEarly(f"cannot write {self.path}: {error.strerror}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._keep()
        finally:
            with suppress(OSError):  # on a full disk closing flushes, and fails, again
                self._file.close()
            Path(self._temporary).unlink(missing_ok=True)

    def _keep(self) -> None:
        try:
            with self._file as file:
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._temporary, self.path)
            directory = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)  # the rename itself: fsync(2), notes
            finally:
                os.close(directory)
        except OSError as error:
            raise StoppedEarly(f"cannot write {self.path}: {error.strerror}") from error


def _csv_record(bad: BadRow, delimiter: str) -> str:
    cells = io.StringIO()
    csv.writer(cells, delimiter=delimiter, lineterminator="").writerow([bad.line, _one_line(bad)])
    return f"{cells.getvalue()}{delimiter}{bad.raw}"


def _json_line(bad: BadRow) -> str:
    notes = {SKIPPED_LINE: bad.line, SKIPPED_REASON: _one_line(bad)}
    body = bad.raw.strip()
    if not body.startswith("{"):
        return json.dumps({**notes, SKIPPED_RAW: bad.raw}, ensure_ascii=False)
    rest = body[1:].lstrip()
    return json.dumps(notes, ensure_ascii=False)[:-1] + ("" if rest.startswith("}") else ", ") + rest


def _one_line(bad: BadRow) -> str:
    """The reason with its column, without anything that could break a line or start a spreadsheet formula."""
    text = f"column {bad.column}: {bad.reason}"
    return "".join(character if character.isprintable() else " " for character in text)
