"""Finds and opens log files, current and rotated, plain or compressed, and reads them line by line.

Names say nothing here: the first bytes tell the compression. Never follows a file that is not a regular one, never
holds more than one line in memory, never decodes: lines are untrusted bytes.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import lzma
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedIOBase, BufferedReader
from pathlib import Path

LINE_BYTES = 8192  # syslog daemons cut lines at 1 to 8 KiB (RFC 5424 section 6.1 asks for 2 KiB)

# What a damaged or vanished file raises while it is read.
READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)


class RotatedMeanwhile(OSError):
    """Another file has taken the name since the search began."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file as it was when the search began."""

    path: Path
    device: int
    inode: int
    modified_at: datetime


def find(patterns: Sequence[str | Path]) -> tuple[list[LogFile], list[str]]:
    """The files that paths or glob patterns name, each once, and in plain words what could not be used."""
    found: dict[tuple[int, int], LogFile] = {}
    problems: list[str] = []
    for pattern in patterns:
        names = sorted(glob.glob(str(pattern))) or [str(pattern)]
        for name in names:
            try:
                file = _examine(Path(name))
                found.setdefault((file.device, file.inode), file)
            except OSError as error:
                problems.append(f"{name}: {error.strerror}")
    return list(found.values()), problems


def _examine(path: Path) -> LogFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file")
    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return LogFile(path, status.st_dev, status.st_ino, modified_at)


def lines(file: LogFile) -> Iterator[bytes]:
    """The whole lines of a file, each cut to LINE_BYTES; a last line still being written is left out.

    Raises one of READ_ERRORS when the file is damaged, and RotatedMeanwhile.
    """
    with _opened(file) as stream:
        while line := stream.readline(LINE_BYTES):
            if line.endswith(b"\n"):
                yield line
                continue
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = stream.readline(LINE_BYTES)
            if rest:
                yield line


@contextmanager
def _opened(file: LogFile) -> Iterator[BufferedIOBase]:
    # O_NONBLOCK: a pipe put in the file's place must not hang the pass.
    descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as raw:
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != (file.device, file.inode):
            raise RotatedMeanwhile(0, "was rotated while it was read; run the command again")
        head = raw.read(6)
        raw.seek(0)
        with _decompressed(raw, head) as stream:
            yield stream


def _decompressed(raw: BufferedReader, head: bytes) -> BufferedIOBase:
    if head.startswith(b"\x1f\x8b"):  # RFC 1952 section 2.3.1
        return gzip.GzipFile(fileobj=raw)
    if head.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMAFile(raw)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if head.startswith(b"\x28\xb5\x2f\xfd"):  # RFC 8878 section 3.1.1
        raise OSError(0, "compressed with zstd, which cannot be read here: unpack it beside the others")
    return raw
