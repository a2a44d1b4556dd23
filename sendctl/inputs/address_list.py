"""A list of addresses, one on a line: e-mail addresses and phone numbers. Read as often as needed, in flat memory.

Never guesses: a line that is no address is named, and nothing else of the file is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sendctl.addresses import address_key
from sendctl.errors import BadInput
from sendctl.inputs.record_file import OpenInput
from sendctl.inputs.source_file import RecordTooLong, SourceFile, find_flaw, open_source

_HINT = "one address on a line and nothing else; the list was left as it was."


class AddressList(OpenInput):
    """An open list; a context manager. `name` is for messages ("<stdin>" for standard input)."""

    def __init__(self, source: SourceFile) -> None:
        super().__init__(source)

    def keys(self) -> Iterator[str]:
        """Each address in its normal form (addresses.address_key), in the file's order; blank lines are left out.

        Each call reads from the start. Raises BadInput for a line that is no address, and if the file has changed.
        """
        self._source.refuse_change()
        lines = self._source.lines()
        try:
            for line in lines.read():
                text = line.strip()
                if text:
                    yield self._key(text, lines.line, flawed=lines.flawed)
                lines.begin_record()
        except RecordTooLong:
            raise self._error(lines.line, "the line is too long for an address") from None
        self._source.refuse_change()

    def _key(self, text: str, line: int, *, flawed: bool) -> str:
        flaw = find_flaw(text) if flawed else None
        if flaw is not None:
            raise self._error(line, flaw[1])
        try:
            return address_key(text)
        except ValueError as error:
            raise self._error(line, str(error)) from None

    def _error(self, line: int, reason: str) -> BadInput:
        return BadInput(reason, place=f"{self.name}:{line}", hint=_HINT)


def open_address_list(source: Path | Literal["-"]) -> AddressList:
    """Open a list, or "-" for standard input. Raises BadInput if it cannot be read, or is plainly something else."""
    return AddressList(open_source(source))
