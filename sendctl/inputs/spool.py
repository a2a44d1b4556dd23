"""A spool: a folder into which others put files by renaming them, and out of which each goes when it is done with.

Reads names of JSON Lines only, so that a wrong folder is left as it is, and never a name that begins with a dot or ends
in ".tmp", nor a link. Nothing is removed before it is durable at its
new place: a death in between leaves a file that is read again, which changes nothing.
"""

from __future__ import annotations

import errno
import fcntl
import filecmp
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from itertools import count
from pathlib import Path
from typing import TextIO

from sendctl.errors import BadInput, Unreachable
from sendctl.inputs.source_file import SourceFile

DONE, BAD = "done", "bad"
REASON = ".reason"  # what follows the name of a bad file in that of the file which says why
Stamp = tuple[int, int, int, int]  # SourceFile.stamp
ENDINGS = (".jsonl", ".ndjson", ".json")


class SpoolUnusable(Unreachable):
    """The folder is not there, or cannot be read or written."""


def waiting(folder: Path) -> list[Path]:
    """The files to be read, by name. Raises SpoolUnusable when the folder cannot be."""
    return [path for path in _files(folder) if path.name.endswith(ENDINGS)]


def strangers(folder: Path) -> list[Path]:
    """Files with other names: they are left alone, and whoever put them there waits in vain. Raises SpoolUnusable."""
    return [path for path in _files(folder) if not path.name.endswith(ENDINGS)]


def _files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [one.name for one in entries if one.is_file(follow_symlinks=False)]
    except OSError as error:
        raise _unusable(folder, error) from error
    return [folder / name for name in sorted(names) if not name.startswith(".") and not name.endswith(".tmp")]


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Whether this process alone works on the spool meanwhile. Raises SpoolUnusable."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def open_waiting(path: Path) -> SourceFile:
    """A file of a spool, never what a link of that name leads to. Raises BadInput."""
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")
    except OSError as error:
        raise BadInput(f"cannot read: {(error.strerror or str(error)).lower()}", place=str(path)) from error
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BadInput("is no file", place=str(path))
        return SourceFile(str(path), file)
    except BaseException:
        file.close()
        raise


def is_still(path: Path, stamp: Stamp) -> bool:
    """Whether a file is there that is the one that was read, and no newer one of its name."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) == stamp


def put_away(path: Path, day: date) -> Path:
    """Move a file that is done with to the folder of a day; returns where it is. Raises SpoolUnusable."""
    return _moved(path, path.parent / DONE / day.isoformat())


def put_aside(path: Path, reason: str) -> Path:
    """Move a file that cannot be used to the bad ones, beside its reason; returns where it is. Raises SpoolUnusable."""
    folder = path.parent / BAD
    try:
        _make(folder)
        if os.path.lexists(path):
            target = _free(folder, path, beside=REASON)
            _write_whole(_beside(target), f"{reason}\n")
    except OSError as error:
        if os.path.lexists(path):
            raise _unusable(folder, error) from error
    return _moved(path, folder, beside=REASON)


class Rest:
    """Lines of a spool's file that could not be used, on their way to the bad ones; a context manager.

    Nothing is left of them unless `keep` was called: the file stays in the spool then, and is read again.
    """

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path
        self._folder = path.parent / BAD
        self._parts = tuple(self._folder / _unfinished(path.name, kind) for kind in ("lines", "reasons"))
        self._files: list[TextIO] = []
        self._lines = set[int]()

    def __enter__(self) -> Rest:
        return self

    def write(self, line: int, where: str | None, reason: str, raw: str) -> None:
        """Add one line, as it was written, and why; `where` is its column or key. Raises SpoolUnusable.

        A line of which several things cannot be used is there once, and each reason.
        """
        try:
            if not self._files:
                _make(self._folder)
                self._files = [_private(part) for part in self._parts]
            self.count += 1
            place = f"line {line}" if not where else f"line {line}, {where}"
            if line not in self._lines:
                self._lines.add(line)
                self._files[0].write(f"{raw}\n")
            self._files[1].write(f"{place}: {reason}\n")
        except OSError as error:
            raise _unusable(self._folder, error) from error

    def keep(self) -> Path | None:
        """Put the lines among the bad files, beside their reasons; returns where. Raises SpoolUnusable."""
        if not self._files:
            return None
        try:
            for file in self._files:
                file.flush()
                os.fsync(file.fileno())
            target = _free(self._folder, self._parts[0], self._path.name, beside=REASON)
            os.replace(self._parts[1], _beside(target))
            os.replace(self._parts[0], target)
            _sync(self._folder, self._folder.parent)
        except OSError as error:
            raise _unusable(self._folder, error) from error
        return target

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            with suppress(OSError):  # on a full disk closing flushes, and fails, again
                file.close()
        for part in self._parts if self._files else ():
            part.unlink(missing_ok=True)


def _moved(path: Path, folder: Path, *, beside: str = "") -> Path:
    """The second name is durable before the first is taken away, as in journal/older.py.

    Another command may be at the same file, and faster.
    """
    try:
        _make(folder)
        target = _free(folder, path, beside=beside)
        try:
            try:
                os.link(path, target, follow_symlinks=False)
            except FileExistsError:
                if not os.path.samefile(path, target):
                    raise
            _sync(folder)
            path.unlink()
        except PermissionError:
            # Another user's file, to which Linux allows no second name (proc(5), protected_hardlinks).
            path.rename(target)
            _sync(folder)
        _sync(path.parent)
    except OSError as error:
        if os.path.lexists(path):
            raise _unusable(folder, error) from error
        return folder / path.name
    return target


def _free(folder: Path, path: Path, name: str = "", *, beside: str = "") -> Path:
    """A name for it there that nothing else has; the one that has the same contents, after a death, is it already.

    Short enough that one with `beside` behind it is a name too.
    """
    for number in count():
        target = folder / _fitting(folder, name or path.name, f".{number + 1}" if number else "", len(beside))
        if not os.path.lexists(target):
            return target
        if target.is_file() and (os.path.samefile(path, target) or (name and filecmp.cmp(path, target, shallow=False))):
            return target
    raise AssertionError("counting has no end")


def _fitting(folder: Path, name: str, end: str, spare_bytes: int) -> str:
    """The name with an end, cut before its own ending where it would be longer than the folder's names may be."""
    most_bytes = os.pathconf(folder, "PC_NAME_MAX") - spare_bytes
    if len(os.fsencode(name + end)) <= most_bytes:
        return name + end
    stem, ending = os.path.splitext(name)
    ending = ending if ending in ENDINGS else ""
    room = most_bytes - len(ending + end)
    return os.fsencode(stem if ending else name)[:room].decode(errors="ignore") + ending + end


def _beside(target: Path) -> Path:
    return target.with_name(target.name + REASON)


def _unfinished(name: str, kind: str) -> str:
    """A name that no reader takes for a file's, never longer than that of the file, and the same after a death."""
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.{kind}.tmp"


def _make(folder: Path) -> None:
    """A folder of the spool, which is there for good before anything is in it."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with suppress(FileExistsError):
            one.mkdir(mode=0o700)
        _sync(one.parent)


def _private(path: Path) -> TextIO:
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW
    # Surrogates become the very bytes that were read (PEP 383).
    return os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8", errors="surrogateescape", newline="")


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(_unfinished(path.name, str(os.getpid())))  # two commands may be at the same file
    with _private(part) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    _sync(path.parent)


def _sync(*folders: Path) -> None:
    """Force the names in folders to the disk: fsync(2), notes."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unusable(folder: Path, error: OSError) -> SpoolUnusable:
    hint = "make the folder, or name another one."
    if error.errno != errno.ENOENT:
        hint = "mend the folder's owner and mode, or the disk; nothing is lost, run the command again."
    return SpoolUnusable(f"the spool {folder} cannot be used: {(error.strerror or str(error)).lower()}", hint=hint)
