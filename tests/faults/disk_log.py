"""What a command does to its files and to the network, in order: strace's words, read. Judges nothing.

Source: strace(1), options -xx (every string in hex) and -y (the path behind a file descriptor).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# All by which CPython, SQLite and libuv make, change, sync or name files, and by which bytes leave.
NAMES = (
    "openat,write,writev,pwrite64,pwritev,fsync,fdatasync,ftruncate,fallocate,rename,renameat,renameat2,link,linkat,"
    "unlink,unlinkat,mkdir,mkdirat,rmdir,sendto,sendmsg"
)
OPTIONS = ["-y", "-xx", "-s", "10000000", "-e", f"trace={NAMES}"]
_CALL = re.compile(r"^[0-9]+ +(?P<name>[a-z0-9_]+)\((?P<arguments>.*)\) += (?P<result>-?[0-9]+)")
_BEGUN = re.compile(r"^(?P<thread>[0-9]+) +(?P<call>[a-z0-9_]+\((?P<arguments>.*)) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(?P<thread>[0-9]+) +<\.\.\. [a-z0-9_]+ resumed>(?P<rest>.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PLACE = re.compile(r"^(?P<number>[0-9]+)<(?P<path>[^>]*)>")
_LETTER = re.compile(rb"RCPT TO:<(?P<recipient>[^>]*)>|\r\n\.\r\n")


@dataclass(frozen=True, slots=True)
class Op:
    """One deed. `kind` is create, write, truncate, allocate, sync, rename, link, unlink, mkdir, or left.

    `name` is relative to the disk's root, or the recipient whose last byte has `left`; `descriptor` is set where the
    file may have got another name since it was opened.
    """

    kind: str
    name: str
    descriptor: int = -1
    other: str = ""
    offset: int = 0
    data: bytes = b""
    size: int = 0


def _whole(lines: list[str]) -> list[str]:
    """The log with each call in one line, also where another thread's came between its beginning and its end.

    A call stands where it hurts most: one that sends at its beginning, one that writes or syncs at its end.
    """
    placed: list[str] = []
    begun: dict[str, tuple[int, str]] = {}
    for line in lines:
        if found := _BEGUN.match(line):
            place = _PLACE.match(found["arguments"])
            sends = place is not None and not _path(place).startswith("/")
            begun[found["thread"]] = len(placed) if sends else -1, f"{found['thread']} {found['call']}"
            placed += [""] * sends
        elif found := _RESUMED.match(line):
            index, call = begun.pop(found["thread"])
            placed += [""] * (index == -1)
            placed[index] = call + found["rest"]
        else:
            placed.append(line)
    return placed


@dataclass
class Reader:
    """Reads the log of one process."""

    root: Path
    _positions: dict[int, int] = field(default_factory=dict)  # by descriptor, for write(2)
    _said: dict[str, bytes] = field(default_factory=dict)  # by socket, what is not understood yet
    _recipients: dict[str, list[str]] = field(default_factory=dict)  # by socket, whose dot has not left

    def read(self, log: Path) -> Iterator[Op]:
        """What was done to files below the root, and whose message left, in order."""
        for line in _whole(log.read_text().splitlines()):
            found = _CALL.match(line)
            if found and int(found["result"]) >= 0:
                yield from self._op(found["name"], found["arguments"], int(found["result"]))

    def _op(self, name: str, arguments: str, result: int) -> Iterator[Op]:
        strings = [_bytes(text) for text in _STRING.findall(arguments)]
        if name == "openat":
            self._positions[result] = 0
            below = self._below(strings[0].decode())
            if below and "O_CREAT" in arguments:
                yield Op("create", below, result, size=int("O_TRUNC" in arguments))
            elif below:
                yield Op("open", below, result)
        elif name.startswith(("rename", "link")):
            names = [self._below(text.decode()) for text in strings]
            if any(names):
                yield Op(name[:6] if name.startswith("rename") else "link", names[0], other=names[1])
        elif name.startswith(("unlink", "mkdir", "rmdir")):
            below = self._below(strings[0].decode())
            if below:
                yield Op("mkdir" if name.startswith("mkdir") else "unlink", below)
        else:
            yield from self._on_descriptor(name, arguments, b"".join(strings), result)

    def _on_descriptor(self, name: str, arguments: str, data: bytes, result: int) -> Iterator[Op]:
        place = _PLACE.match(arguments)
        if place is None:
            return
        number, path = int(place["number"]), _path(place)
        below = self._below(path)
        if not below:
            yield from self._sent(place["path"], data[:result])
            return
        numbers = [int(text) for text in re.findall(r", ([0-9]+)(?=,|$)", arguments)]
        match name:
            case "fsync" | "fdatasync":
                yield Op("sync", below, number)
            case "ftruncate":
                yield Op("truncate", below, number, size=numbers[-1])
            case "fallocate":
                yield Op("allocate", below, number, size=numbers[-2] + numbers[-1])
            case "pwrite64" | "pwritev":
                yield Op("write", below, number, offset=numbers[-1], data=data[:result])
            case "write" | "writev":
                offset = self._positions.get(number, 0)
                self._positions[number] = offset + result
                yield Op("write", below, number, offset=offset, data=data[:result])

    def _sent(self, socket: str, data: bytes) -> Iterator[Op]:
        """Who may have been accepted: from the moment on at which a message's dot was handed to the kernel."""
        said, end = self._said.get(socket, b"") + data, 0
        for found in _LETTER.finditer(said):
            end = found.end()
            if found["recipient"]:
                self._recipients.setdefault(socket, []).append(found["recipient"].decode())
            elif self._recipients.get(socket):
                yield Op("left", self._recipients[socket].pop(0))
        self._said[socket] = said[end:][-4096:]

    def _below(self, path: str) -> str:
        place = Path(path)
        return str(place.relative_to(self.root)) if place.is_relative_to(self.root) and place != self.root else ""


def _path(place: re.Match[str]) -> str:
    """What a descriptor stands for: a path, or a word such as `socket:[1]`."""
    return _bytes(place["path"]).decode() or place["path"]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else b""
