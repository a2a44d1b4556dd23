"""A disk that loses power: what was synced is there; of what was not, nothing, all, or any part in any order.

A model of what POSIX promises, which is less than any real file system keeps: a file's bytes are safe after fsync of
the file, its name after fsync of its folder. Sources: fsync(2); https://sqlite.org/atomiccommit.html, section 2.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from tests.faults.disk_log import Op

PAGE_BYTES, SECTOR_BYTES = 4096, 512
WAYS = ("nothing", "everything", "in order", "any part", "any part, torn")
Deed = TypeVar("Deed")


@dataclass(frozen=True, slots=True)
class Keep:
    """What survives of the deeds that were not synced, by one of WAYS."""

    way: str
    chance: random.Random
    share: float  # of the parts that survive

    @classmethod
    def by(cls, way: str, seed: str) -> Keep:
        chance = random.Random(seed)
        return cls(way, chance, chance.choice((0.2, 0.5, 0.8, 0.95)))

    def of(self, pending: list[Deed]) -> list[Deed]:
        """Those of which anything survives."""
        match self.way:
            case "nothing":
                return []
            case "in order":
                return pending[: self.chance.randint(0, len(pending))]
            case "any part" | "any part, torn":
                return [deed for deed in pending if self.chance.random() < self.share]
        return pending

    def pieces(self, op: Op) -> Iterator[tuple[int, bytes]]:
        """What of one write survives, by pages, as (offset, bytes)."""
        if not self.way.startswith("any part"):
            yield op.offset, op.data
            return
        for offset, piece in _cut(op.offset, op.data, PAGE_BYTES):
            if self.way.endswith("torn") and self.chance.random() < 0.3:
                yield from (each for each in _cut(offset, piece, SECTOR_BYTES) if self.chance.random() < 0.5)
            elif self.chance.random() < self.share:
                yield offset, piece


def _cut(offset: int, data: bytes, unit: int) -> Iterator[tuple[int, bytes]]:
    begin = 0
    while begin < len(data):
        end = min(len(data), begin + unit - (offset + begin) % unit)
        yield offset + begin, data[begin:end]
        begin = end


@dataclass(eq=False)
class File:
    """One inode: its bytes as they are safe, and what came since; or a folder."""

    safe: bytes = b""
    pending: list[Op] = field(default_factory=list)
    folder: bool = False

    def content(self, keep: Keep) -> bytes:
        """Its bytes after a power loss."""
        content = bytearray(self.safe)
        for op in keep.of(self.pending):
            if op.kind == "truncate":
                content = content[: op.size].ljust(op.size, b"\0")
            elif op.kind == "allocate":
                content = content.ljust(op.size, b"\0")
            else:
                for offset, piece in keep.pieces(op):
                    content = content.ljust(offset, b"\0")
                    content[offset : offset + len(piece)] = piece
        return bytes(content)

    def sync(self) -> None:
        """All that came is safe from now on."""
        self.safe, self.pending = self.content(Keep("everything", random.Random(0), 1.0)), []


@dataclass(frozen=True, slots=True)
class Naming:
    """A name given (`file`) or taken (None) in a folder; a rename is both at once."""

    folder: str
    names: tuple[tuple[str, File | None], ...]


@dataclass
class Disk:
    """Files by name, as a running system sees them, and what is safe of that."""

    names: dict[str, File] = field(default_factory=dict)
    safe_names: dict[str, File] = field(default_factory=dict)
    pending: list[Naming] = field(default_factory=list)
    opened: dict[int, File] = field(default_factory=dict)  # by descriptor

    @classmethod
    def of(cls, root: Path) -> Disk:
        """All that lies below a folder, safe."""
        found = {
            str(path.relative_to(root)): File(folder=True) if path.is_dir() else File(path.read_bytes())
            for path in root.rglob("*")
        }
        return cls(dict(found), found)

    def apply(self, op: Op) -> None:
        """One deed of the running system."""
        match op.kind:
            case "create":
                self.opened[op.descriptor] = self._created(op)
            case "open":
                self.opened[op.descriptor] = self.names[op.name]
            case "mkdir":
                self._name(op.name, (op.name, File(folder=True)))
            case "link":
                self._name(op.other, (op.other, self.names[op.name]))
            case "rename":
                self._name(op.other, (op.name, None), (op.other, self.names[op.name]))
            case "unlink":
                self._name(op.name, (op.name, None))
            case "sync":
                self._sync(op)
            case "write" | "truncate" | "allocate":
                self.opened[op.descriptor].pending.append(op)

    def _created(self, op: Op) -> File:
        if op.name not in self.names:
            self._name(op.name, (op.name, File()))
        elif op.size:  # O_TRUNC
            self.names[op.name].pending.append(Op("truncate", op.name))
        return self.names[op.name]

    def _name(self, place: str, *changes: tuple[str, File | None]) -> None:
        _rename(self.names, changes)
        self.pending.append(Naming(str(PurePosixPath(place).parent), changes))

    def _sync(self, op: Op) -> None:
        file = self.opened[op.descriptor]
        if not file.folder:
            file.sync()
            return
        for naming in self.pending:
            if naming.folder == op.name:
                _rename(self.safe_names, naming.names)
        self.pending = [naming for naming in self.pending if naming.folder != op.name]

    def write_image(self, root: Path, keep: Keep) -> None:
        """Exchange what lies below a folder for what may be there after a power loss now."""
        names = dict(self.safe_names)
        for naming in keep.of(self.pending):
            _rename(names, naming.names)
        shutil.rmtree(root)
        root.mkdir(0o700)
        for name in sorted(names):
            place = root / name
            if not place.parent.is_dir():
                continue  # its folder has lost its name
            if names[name].folder:
                place.mkdir(0o700)
            else:
                place.write_bytes(names[name].content(keep))
                place.chmod(0o600)


def _rename(names: dict[str, File], changes: tuple[tuple[str, File | None], ...]) -> None:
    for name, file in changes:
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file
