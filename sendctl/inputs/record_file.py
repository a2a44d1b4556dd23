"""What every input has that is opened once and read as often as needed, and what those have whose bad records are kept.

Reads nothing itself.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from sendctl.errors import BadInput, UsageError
from sendctl.inputs.contact_rows import BadRow
from sendctl.inputs.csv_header import Header
from sendctl.inputs.skip_file import SkipFile
from sendctl.inputs.source_file import SourceFile


class OpenInput:
    """An open input; a context manager. `name` is for messages ("<stdin>" for standard input)."""

    def __init__(self, source: SourceFile) -> None:
        self._source = source
        self.name = source.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()


class RecordFile(OpenInput):
    """One that consists of records, of which the bad ones are named, or left out and kept."""

    WHOLE: ClassVar[str]  # what the file is called
    ONE: ClassVar[str]  # what a record of it is called
    _header: Header | None = None  # of a CSV file

    def error(self, bad: BadRow) -> BadInput:
        """The error that names the file, line, column and reason of one bad record."""
        hint = f"correct the {self.ONE}, or go on without the bad ones: --skip-bad FILE keeps them in FILE."
        column = "" if bad.column is None else f":{bad.column}"
        return BadInput(bad.reason, place=f"{self.name}:{bad.line}{column}", hint=hint)

    def skip_file(self, path: Path) -> SkipFile:
        """Where bad records go. Raises UsageError if anything is at `path` already."""
        if self._source.is_at(path):
            raise UsageError(f"--skip-bad {path} is {self.WHOLE} itself", hint="name a new file.")
        return SkipFile(path, self._header)
