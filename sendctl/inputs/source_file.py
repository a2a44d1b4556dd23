"""An input file, or standard input kept for a second reading, as a stream of decoded lines in flat memory.

Never guesses an encoding (UTF-8 only), never leaves a copy of standard input behind, and refuses a file that
changed between two readings.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from operator import length_hint
from pathlib import Path
from typing import BinaryIO, Literal

from sendctl.errors import BadInput, StoppedEarly

RECORD_MAX_CHARACTERS = 1024 * 1024
INPUT_MAX_BYTES = 16 * 1024**3  # what standard input may fill of the temporary file system
_BUFFER_BYTES = 128 * 1024
_FLAW = re.compile("[\0\udc80-\udcff]")
_UTF8_BOM = b"\xef\xbb\xbf"
_MAGIC = (  # the longer prefix first: UTF-32 LE begins like UTF-16 LE
    (b"\xff\xfe\x00\x00", "UTF-32", "iconv -f UTF-32 -t UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32", "iconv -f UTF-32 -t UTF-8"),
    (b"\xff\xfe", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\x1f\x8b", "gzip", "gzip -dc"),
)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx or .ods (ZIP), .xls (OLE)


def find_flaw(text: str) -> tuple[int, str] | None:
    """Index and description of the first character that no store can keep: a NUL, or a byte that is not UTF-8."""
    found = _FLAW.search(text)
    if found is None:
        return None
    if found.group() == "\0":
        return found.start(), "a NUL character"
    return found.start(), f"byte 0x{ord(found.group()) - 0xDC00:02X} is not valid UTF-8"


class RecordTooLong(Exception):
    """A record has more characters than it may have; the reader stands at the line after the last one it has read."""


class ChangedInput(BadInput):
    """Somebody writes to the file."""


class _PositionedFile(io.RawIOBase):
    """One reading of a shared file descriptor, with a position of its own."""

    def __init__(self, descriptor: int, offset: int) -> None:
        self._descriptor = descriptor
        self.offset = offset

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed names no common buffer type
        data = os.pread(self._descriptor, len(buffer), self.offset)
        buffer[: len(data)] = data
        self.offset += len(data)
        return len(data)


class SourceFile:
    """The bytes of one input, readable any number of times. `name` is for messages."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name = name
        self._file = file
        self._stat = os.fstat(file.fileno())
        self.size_bytes = self._stat.st_size
        self._reading: _PositionedFile | None = None
        self.head = os.pread(file.fileno(), _BUFFER_BYTES, 0)
        self._refuse_foreign_formats()
        self._start = len(_UTF8_BOM) if self.head.startswith(_UTF8_BOM) else 0
        self.head = self.head[self._start :]
        self.is_blank = not self.head.strip() and self.size_bytes <= _BUFFER_BYTES

    def _refuse_foreign_formats(self) -> None:
        for magic, encoding, command in _MAGIC:
            if self.head.startswith(magic):
                raise BadInput(f"the file is {encoding}, not UTF-8", place=self.name, hint=f"convert it: {command}")
        if self.head.startswith(_WORKBOOKS):
            raise BadInput("the file is a workbook or an archive", place=self.name, hint="save it as CSV UTF-8.")

    def lines(self, most_characters: int = RECORD_MAX_CHARACTERS) -> LineReader:
        """A new reading from the start, after the byte order mark. No record may have more characters than that."""
        self._reading = _PositionedFile(self._file.fileno(), self._start)
        return LineReader(io.BufferedReader(self._reading, _BUFFER_BYTES), most_characters)

    def position_bytes(self) -> int:
        """How far the newest reading is, to a buffer's length."""
        return min(self._reading.offset, self.size_bytes) if self._reading else 0

    def refuse_change(self) -> None:
        """Raises ChangedInput if the file was written to since it was opened."""
        now = os.fstat(self._file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            raise ChangedInput("the file changed while it was read", place=self.name, hint="run the command again.")

    @property
    def written_at(self) -> datetime:
        """When the file was last written to."""
        return datetime.fromtimestamp(self._stat.st_mtime, UTC)

    @property
    def stamp(self) -> tuple[int, int, int, int]:
        """What is another for another file, and for this one once it was written to."""
        return self._stat.st_dev, self._stat.st_ino, self._stat.st_size, self._stat.st_mtime_ns

    def is_at(self, path: Path) -> bool:
        """Whether `path` is this very file."""
        return path.exists() and os.path.samestat(path.stat(), self._stat)

    def close(self) -> None:
        self._file.close()


class LineReader:
    """Physical lines of one reading, decoded, line ends kept; the state that belongs to the record being read."""

    def __init__(self, stream: io.BufferedReader, most_characters: int = RECORD_MAX_CHARACTERS) -> None:
        self.most_characters = most_characters
        self._line_kept_bytes = 4 * most_characters + 1  # UTF-8 has at most 4 bytes for a character
        self._stream = stream
        self._block: Iterator[str] = iter(())
        self._block_flawed = False
        self._together: list[str] = []
        self.line = 0  # of the newest line, 1-based
        self.record: list[str] = []
        self.record_characters = 0
        self.flawed = False  # the record has a NUL, or a byte that is not UTF-8 (decoded as a lone surrogate, PEP 383)

    def ahead(self) -> list[str]:
        """The next lines, many at once, without reading on: one record may begin in them and end behind them.

        Empty at the end of the file. Between two records only.
        """
        self._together = []
        if self.used_up() and not self._next_block():
            return []
        texts = list(self._block)
        self._block = iter(texts)
        return texts

    def ahead_is_flawed(self) -> bool:
        """Whether there is a NUL, or a byte that is not UTF-8, in or before the lines of `ahead`."""
        return self._block_flawed

    def pass_over(self, texts: list[str]) -> None:
        """All lines of `ahead`, of which each is a record, are read."""
        self._block, self._together = iter(()), texts
        self.line += len(texts)

    def used_up(self) -> bool:
        """Whether the lines that were decoded together are all read: the rest of the file is still to be decoded."""
        return length_hint(self._block) == 0

    def begin_record(self) -> None:
        """What was read belongs to a finished record."""
        self.record.clear()
        self.record_characters = 0
        self.flawed = False

    def first_line(self) -> int:
        """Of the record, 1-based."""
        return self.line - len(self.record) + 1

    def read(self) -> Iterator[str]:
        """The lines from here to the end of the file; may be called again to go on.

        Raises RecordTooLong when the lines since `begin_record` have more than `most_characters`.
        """
        record = self.record
        while True:
            for text in self._block:
                self.line += 1
                record.append(text)
                self.record_characters += len(text)
                if self.record_characters > self.most_characters:
                    raise RecordTooLong
                if self._block_flawed and find_flaw(text):
                    self.flawed = True
                yield text
            if not self._next_block():
                return

    def _next_block(self) -> bool:
        """Decode the next whole lines, many at once because that is fast; False at the end of the file."""
        data = self._stream.read(_BUFFER_BYTES)
        if not data:
            return False
        if not data.endswith(b"\n"):
            rest = self._stream.readline(self._line_kept_bytes)
            data += rest
            while rest and not rest.endswith(b"\n"):  # the end of a line that is too long anyway
                rest = self._stream.readline(self._line_kept_bytes)
        try:
            text, self._block_flawed = data.decode(), b"\0" in data
        except UnicodeDecodeError:
            text, self._block_flawed = data.decode(errors="surrogateescape"), True
        self._block = iter(list(io.StringIO(text, newline="\n")))  # unlike splitlines, divides at line feeds only
        return True

    def raw(self) -> str:
        """The record's text without the last line end."""
        return _without_end("".join(self.record))

    def raw_at(self, line: int) -> str | None:
        """The same for the record that begins there, if it is the newest, or among those passed over last."""
        place = line - 1 - self.line + len(self._together)
        if self._together:
            return _without_end(self._together[place]) if 0 <= place < len(self._together) else None
        return self.raw() if line == self.first_line() else None


def _without_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def open_source(source: Path | Literal["-"], stdin: BinaryIO | None = None) -> SourceFile:
    """Open a file; standard input ("-") and pipes are kept in an unnamed temporary file, so nothing stays after a kill.

    `stdin` is by default the process's own. Raises BadInput if it cannot be read, StoppedEarly if the temporary file
    system is full.
    """
    if source == "-":
        name, file = "<stdin>", _spool("<stdin>", stdin or _standard_input())
    else:
        name, file = str(source), _open(source)
    try:
        return SourceFile(name, file)
    except BaseException:
        file.close()
        raise


def _standard_input() -> BinaryIO:
    if sys.stdin is None:  # closed by whoever started this process: `<&-`
        raise BadInput("standard input is closed", place="<stdin>", hint="name a file, or send one: ... < FILE")
    return sys.stdin.buffer


def _open(path: Path) -> BinaryIO:
    try:
        file = open(path, "rb")  # noqa: SIM115  # SourceFile owns it
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        with file:
            return _spool(str(path), file)
    except OSError as error:
        raise BadInput(f"cannot read: {(error.strerror or str(error)).lower()}", place=str(path)) from error


def _spool(name: str, stream: BinaryIO) -> BinaryIO:
    spool = tempfile.TemporaryFile()  # noqa: SIM115  # O_TMPFILE or unlinked at once, mode 0600; SourceFile owns it
    try:
        size_bytes = 0
        while chunk := stream.read(_BUFFER_BYTES):
            size_bytes += len(chunk)
            if size_bytes > INPUT_MAX_BYTES:
                raise BadInput(f"more than {INPUT_MAX_BYTES} bytes", place=name, hint="split the input.")
            spool.write(chunk)
        spool.flush()
    except OSError as error:
        spool.close()
        raise StoppedEarly(f"{name}: cannot keep a copy in {tempfile.gettempdir()}: {error.strerror}") from error
    except BaseException:
        spool.close()
        raise
    return spool
