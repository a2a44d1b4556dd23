"""Where each key and value of a TOML text stands: tomllib tells no positions of what it accepts.

Reads only text that tomllib has accepted, and only once something is wrong, so it is lenient and never fast.
Grammar: TOML v1.0.0, https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]
"""Keys from the top, with the index in an array: `("steps", 1, "after")`."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a text; both numbers count from 1, columns in characters."""

    line: int
    column: int


@dataclass(slots=True)
class Places:
    """Offsets of keys (or of their table's header) and of values."""

    text: str
    keys: dict[KeyPath, int] = field(default_factory=dict)
    values: dict[KeyPath, int] = field(default_factory=dict)

    def of_key(self, path: KeyPath) -> Place:
        """The key's place; that of the nearest thing around it when the file does not have it."""
        while path and path not in self.keys:
            path = path[:-1]
        return place_at(self.text, self.keys.get(path, 0))

    def of_value(self, path: KeyPath) -> Place:
        """The value's place, else the key's."""
        return place_at(self.text, self.values[path]) if path in self.values else self.of_key(path)


def place_at(text: str, offset: int) -> Place:
    """Line and column of the character at `offset`."""
    return Place(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def find_places(text: str) -> Places:
    """Places of everything in `text`, which tomllib must have accepted and whose lines end in LF."""
    scanner = _Scanner(text)
    with suppress(RecursionError):  # arrays nested as deep as tomllib just managed: what was found so far serves
        scanner.scan()
    return scanner.places


_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}\n#]*")
# The two quotes that may end a multi-line string's content stand before its delimiter, hence the tail.
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""(?:"{0,2})' r"|'''.*?'''(?:'{0,2})" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)


class _Scanner:
    """A position moving through the text once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places = Places(text)
        self.last_index: dict[KeyPath, int] = {}  # of each array of tables

    def scan(self) -> None:
        table: KeyPath = ()
        while self._skip(_BLANK):
            if self._next() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.match(self.text, self.at)
        assert match is not None, "every pattern matches the text that tomllib accepted"
        self.at = match.end()
        return self.at < len(self.text)

    def _next(self) -> str:
        return self.text[self.at : self.at + 1]

    def _header(self) -> KeyPath:
        width = 2 if self.text.startswith("[[", self.at) else 1
        start = self.at
        self.at += width
        parts = self._key()
        path: KeyPath = ()
        for number, (part, _) in enumerate(parts, 1):
            path += (part,)
            if width == 2 and number == len(parts):
                self.last_index[path] = self.last_index.get(path, -1) + 1
            if path in self.last_index:
                self.places.keys.setdefault(path, start)
                path += (self.last_index[path],)
            self.places.keys.setdefault(path, start)
        self.at += width
        return path

    def _key(self) -> list[tuple[str, int]]:
        parts: list[tuple[str, int]] = []
        while True:
            self._skip(_SPACE)
            start = self.at
            quoted = self._next() in ('"', "'")
            self._skip(_STRING if quoted else _BARE_KEY)
            raw = self.text[start : self.at]
            parts.append((tomllib.loads(f"k = {raw}")["k"] if quoted else raw, start))
            self._skip(_SPACE)
            if self._next() != ".":
                return parts
            self.at += 1

    def _pair(self, table: KeyPath) -> None:
        path = table
        for part, start in self._key():
            path += (part,)
            self.places.keys.setdefault(path, start)
        self.at += 1  # the equals sign
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip(_SPACE)
        self.places.values.setdefault(path, self.at)
        first = self._next()
        if first in ('"', "'"):
            self._skip(_STRING)
        elif first == "[":
            self._items(path, "]")
        elif first == "{":
            self._items(path, "}")
        else:
            self._skip(_SCALAR)

    def _items(self, path: KeyPath, closing: str) -> None:
        self.at += 1
        index = 0
        while self._skip(_BLANK) and self._next() != closing:
            if closing == "]":
                self._value((*path, index))
            else:
                self._pair(path)
            index += 1
            self._skip(_BLANK)
            if self._next() == ",":
                self.at += 1
        self.at += 1
