"""The journal folders of the model's hosts, as values: what their files hold, and in which order runs were confirmed.

Each process of the model has its own copy of its host's folder; the copy is brought up to date before it goes on.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Files(NamedTuple):
    """What a journal folder holds. Preallocated space is left out; `confirmed` has the .done files, oldest first."""

    contents: tuple[tuple[str, bytes], ...] = ()
    confirmed: tuple[str, ...] = ()


def part(files: Files, name: str) -> object:
    """What a look at one part of a folder shows: the pending runs, the confirmed ones, the passes, or one run."""
    match name:
        case "pending":
            return tuple(file for file, _ in files.contents if file.endswith(".lock"))
        case "confirmed":
            return files.confirmed
        case "passes":
            return tuple(content for file, content in files.contents if file.endswith(".passes"))
        case run_id:
            return tuple(file for file in files.contents if file[0].startswith(run_id))


class Change(NamedTuple):
    """What one step did to its folder; None is a file that went."""

    contents: tuple[tuple[str, bytes | None], ...]

    def on(self, files: Files) -> Files:
        """The folder afterwards."""
        held = dict(files.contents)
        for name, content in self.contents:
            held.pop(name, None) if content is None else held.update({name: content})
        new = [name for name, content in self.contents if content is not None and name.endswith(".done")]
        order = [name for name in files.confirmed if name in held and name not in new]
        return Files(tuple(sorted(held.items())), (*order, *sorted(new)))


def change(before: Files, after: Mapping[str, bytes]) -> Change:
    """The difference between a folder and what it holds now."""
    held = dict(before.contents)
    names = sorted(held.keys() | after.keys())
    return Change(tuple((name, after.get(name)) for name in names if held.get(name) != after.get(name)))


@dataclass
class Folder:
    """One real folder on disk. `locked` holds the locks of runs that are alive in other processes of the model."""

    path: Path
    contents: dict[str, bytes] = field(default_factory=dict)
    _signs: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    _locked: dict[str, int] = field(default_factory=dict)

    def put(self, files: Files, alive: Iterable[str]) -> None:
        """Make the folder hold these files, with these lock files held by others."""
        wanted = dict(files.contents)
        for name in self._locked.keys() - set(alive):
            os.close(self._locked.pop(name))
        for name in self.contents.keys() - wanted.keys():
            (self.path / name).unlink()
            del self.contents[name], self._signs[name]
        for name, content in wanted.items():
            if self.contents.get(name) != content:
                (self.path / name).write_bytes(content)
                self._keep(name, content)
        for place, name in enumerate(files.confirmed):
            os.utime(self.path / name, (1e9 + place, 1e9 + place))  # journals of the model never grow old
        for name in set(alive) - self._locked.keys():
            self._locked[name] = os.open(self.path / name, os.O_RDWR)
            fcntl.flock(self._locked[name], fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _keep(self, name: str, content: bytes) -> None:
        found = (self.path / name).stat()
        self.contents[name], self._signs[name] = content, (found.st_ino, found.st_size, found.st_mtime_ns)

    def look(self) -> dict[str, bytes]:
        """What the folder holds now. Only files that look changed are read."""
        seen = set()
        for entry in os.scandir(self.path):
            found = entry.stat()
            seen.add(entry.name)
            if self._signs.get(entry.name) != (found.st_ino, found.st_size, found.st_mtime_ns):
                self._keep(entry.name, Path(entry.path).read_bytes().rstrip(b"\0"))
        for name in self.contents.keys() - seen:
            del self.contents[name], self._signs[name]
        return dict(self.contents)

    def close(self) -> None:
        """Let go of the locks and remove the folder."""
        for descriptor in self._locked.values():
            os.close(descriptor)
        for entry in os.scandir(self.path):
            os.unlink(entry.path)
        self.path.rmdir()
