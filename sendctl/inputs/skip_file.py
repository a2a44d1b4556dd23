"""The file that `--skip-bad` writes: bad records in the format they came in, to be repaired and read again.

Never changes a record's text, never overwrites a file, and never leaves half of one: it appears whole, synced, 0600.
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
    """A context manager: nothing is left of the file unless `keep` was called.

    CSV: the header and each record as written, with sendctl_line and sendctl_reason put before the first column. JSON
    Lines: the same two as first keys of the object; a line that is no object stands as text under sendctl_raw. The
    reader ignores these names, so a repaired file needs no other change. `header` is None for JSON Lines.
    """

    def __init__(self, path: Path, header: Header | None) -> None:
        """Raises UsageError if anything is at `path` already."""
        if os.path.lexists(path):
            raise _in_the_way(path)
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

    def sync(self) -> None:
        """Make durable what was written, while there is still time to give up. Raises StoppedEarly."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoppedEarly(f"cannot write {self.path}: {error.strerror}") from error

    def keep(self) -> None:
        """Put the file in its place, if there is anything in it. Raises UsageError, StoppedEarly."""
        if not self.count:
            return
        self.sync()
        try:
            self._put_in_place()
        except FileExistsError:
            raise _in_the_way(self.path) from None
        except OSError as error:
            raise StoppedEarly(f"cannot write {self.path}: {error.strerror}") from error

    def _put_in_place(self) -> None:
        # The name is taken first: rename(2) alone would replace what has appeared there meanwhile.
        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        try:
            os.replace(self._temporary, self.path)
        except OSError:
            self.path.unlink()
            raise
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the rename itself: fsync(2), notes
        finally:
            os.close(directory)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # on a full disk closing flushes, and fails, again
            self._file.close()
        Path(self._temporary).unlink(missing_ok=True)


def _in_the_way(path: Path) -> UsageError:
    kind = "a folder" if path.is_dir() else "there already"
    return UsageError(
        f"--skip-bad {path}: is {kind}, and nothing is ever overwritten",
        hint="name a file that is not there yet, or move that one away.",
    )


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
    text = bad.reason if bad.column is None else f"column {bad.column}: {bad.reason}"
    return "".join(character if character.isprintable() else " " for character in text)
