"""Reading a TOML table key by key: types, bounds, allowed words, unknown keys. Collects every mistake.

A key may also come from an environment variable, which wins. Never stops at the first mistake: a wrong value
counts as its default until `Findings.check` raises for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar

from sendctl.tomlfile.places import KeyPath, Place, Places, find_places
from sendctl.tomlfile.reading import Document, TomlError

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable that stands for a key; its text may be secret and is never shown."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Problem:
    path: KeyPath
    text: str
    at_key: bool = False
    elsewhere: str = ""  # a place outside the document: a template file, an environment variable
    follows: tuple[KeyPath, ...] = ()  # keys that are only missing, or misread, if one of these is misspelt


@dataclass(slots=True)
class Findings:
    """Everything wrong with one document, and the keys that were asked for in each of its sections."""

    document: Document
    problems: list[_Problem] = field(default_factory=list)
    known: dict[str, set[str]] = field(default_factory=dict)
    unknown: list[KeyPath] = field(default_factory=list)

    def root(self) -> Table:
        """The document's top-level table."""
        return Table(self, self.document.data, ())

    def add(self, path: KeyPath, text: str, *, elsewhere: str = "", follows: tuple[KeyPath, ...] = ()) -> None:
        """Note that the value at `path` is wrong; `elsewhere` when its place is not in the document.

        It goes unsaid where one of the keys that it `follows` from is misspelt: that is said, and explains it.
        """
        self.problems.append(_Problem(path, text, elsewhere=elsewhere, follows=follows))

    def place(self, path: KeyPath) -> str:
        """The key's place as "file:line:column"; "environment" when there is no file."""
        return self._name(find_places(self.document.text).of_key(path))

    def check(self) -> None:
        """Raise TomlError with all problems in the order of the file, if there is one."""
        meant = {(*path[:-1], self._meant(path)) for path in self.unknown}
        self.problems = [problem for problem in self.problems if not _explained(problem, meant)]
        for path in self.unknown:
            self.problems.append(_Problem(path, self._unknown_key(path), at_key=True))
        if not self.problems:
            return
        places = find_places(self.document.text)
        located = [(_place(places, problem), problem) for problem in self.problems]
        located.sort(key=lambda pair: (bool(pair[1].elsewhere), pair[0]))
        raise TomlError([(problem.elsewhere or self._name(place), problem.text) for place, problem in located])

    def _name(self, place: Place) -> str:
        if self.document.path is None:
            return "environment"
        return f"{self.document.path}:{place.line}:{place.column}"

    def _meant(self, path: KeyPath) -> str:
        """The known key that an unknown one is most like, or empty."""
        return nearest_word(str(path[-1]), self.known.get(section_of(path[:-1]), set()))

    def _unknown_key(self, path: KeyPath) -> str:
        key, section = str(path[-1]), section_of(path[:-1])
        known = self.known.get(section, set())
        where = f" in {section}" if section else ""
        advice = nearest(key, known)
        if not advice:
            homes = [name for name, keys in self.known.items() if key in keys and name]
            advice = f"it belongs in {homes[0]}" if homes else f"known keys: {', '.join(sorted(known))}"
        return f'unknown key "{printable(key)}"{where}; {advice}'


def _explained(problem: _Problem, meant: Collection[KeyPath]) -> bool:
    """Whether a misspelt key explains the problem: it is `meant` to be what is missing, or what that is in."""
    return any(path[:length] in meant for path in problem.follows for length in range(1, len(path) + 1))


def _place(places: Places, problem: _Problem) -> Place:
    return places.of_key(problem.path) if problem.at_key else places.of_value(problem.path)


def section_of(path: KeyPath) -> str:
    """How the file writes the table's header: `[controls]`, `[[steps]]`; empty for the top level."""
    if not path:
        return ""
    if isinstance(path[-1], int):
        return f"[[{'.'.join(str(part) for part in path[:-1])}]]"
    return f"[{'.'.join(str(part) for part in path)}]"


def nearest(word: str, known: Collection[str]) -> str:
    """`did you mean "..."?` for the known word most like `word`, or empty."""
    match = nearest_word(word, known)
    return f'did you mean "{match}"?' if match else ""


def nearest_word(word: str, known: Collection[str]) -> str:
    """The known word most like `word`, or empty."""
    from difflib import get_close_matches  # noqa: PLC0415 - only mistakes need it, and every pass would pay

    return next(iter(get_close_matches(word.lower(), sorted(known), n=1)), "")


def printable(text: str, longest: int = 80) -> str:
    """At most `longest` characters of `text` for a message, with control and invisible characters escaped."""
    shown = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text[:longest])
    return shown + "..." if len(text) > longest else shown


def plain_name(text: str) -> str:
    """The name of a campaign, step or provider: 1 to 64 letters, digits and dashes, the first no dash.

    Raises ValueError otherwise: a dash in front would read as an option, other characters need quoting in a shell.
    """
    if not _NAME.fullmatch(text):
        raise ValueError(f'"{printable(text)}" is no name: want 1 to 64 letters, digits and dashes, no dash in front')
    return text


class Table:
    """One table being read. Each method names a key, checks its value and returns it, or the default."""

    def __init__(
        self,
        findings: Findings,
        data: Mapping[str, Any],
        path: KeyPath,
        variables: Mapping[str, Variable] | None = None,
    ) -> None:
        self.findings = findings
        self.data = data
        self.path = path
        self.variables = variables or {}
        self.known = findings.known.setdefault(section_of(path), set())

    def has(self, key: str) -> bool:
        """Whether the file or the environment gives the key."""
        self.known.add(key)
        return key in self.data or key in self.variables

    def wrong(self, key: str, text: str, *, follows: tuple[KeyPath, ...] = ()) -> None:
        """Note a problem with the key's value, at its place or its variable. `follows` as in Findings.add."""
        variable = self.variables.get(key)
        elsewhere = f"${variable.name}" if variable else ""
        self.findings.add((*self.path, key), text, elsewhere=elsewhere, follows=follows)

    def missing(self, key: str, advice: str = "", *, follows: tuple[KeyPath, ...] = ()) -> None:
        """Note that a key which must be there is not; in a table that only variables make, at one of those."""
        where = f" in {section_of(self.path)}" if self.path else ""
        text = f'missing key "{key}"{where}' + (f": {advice}" if advice else "")
        made_by = "" if self.data else next((f"${variable.name}" for variable in self.variables.values()), "")
        self.findings.add(self.path, text, elsewhere=made_by, follows=((*self.path, key), *follows))

    def text(self, key: str, default: str = "") -> str:
        """Text; a missing key gives the default."""
        value = self._value(key, str, "text in quotes")
        return default if value is None else str(value)

    def boolean(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._value(key, bool, "true or false", _boolean)
        return default if value is None else bool(value)

    def integer(self, key: str, default: int, *, least: int, most: int) -> int:
        """A whole number within bounds, both included."""
        wanted = f"a whole number from {least} to {most}"
        value = self._value(key, int, wanted, int)
        return int(self._bounded(key, value, default, wanted, (least, most)))

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        """A number within bounds, both included; not a number and infinity are outside."""
        wanted = f"a number from {least:.12g} to {most:.12g}"
        value = self._value(key, int | float, wanted, float)
        return float(self._bounded(key, value, default, wanted, (least, most)))

    def word(self, key: str, default: str, choices: Collection[str]) -> str:
        """One of a few words."""
        value = self.text(key, default)
        if value == default or value in choices:
            return value
        listed = ", ".join(choices)
        self.wrong(
            key, f'"{key}" is "{printable(value)}"; want one of {listed}; {nearest(value, choices)}'.rstrip("; ")
        )
        return default

    def words(self, key: str) -> tuple[str, ...]:
        """A list of texts without repetition; in a variable they are separated by commas."""
        value = self._value(key, list, "a list of texts", _split) or []
        words = tuple(item for item in value if isinstance(item, str) and item)
        if len(words) != len(value):
            self.wrong(key, f'"{key}" must list texts in quotes only')
        repeated = sorted({word for word in words if words.count(word) > 1})
        if repeated:
            self.wrong(key, f'"{key}" names "{printable(repeated[0])}" twice')
        return tuple(dict.fromkeys(words))

    def parsed(self, key: str, parse: Callable[[str], T], default: T) -> T:
        """Text in a form of its own; `parse` raises ValueError with the problem."""
        value = self._value(key, str, "text in quotes")
        if value is None:
            return default
        try:
            return parse(str(value))
        except ValueError as error:
            self.wrong(key, f'"{key}": {printable(str(error), 300)}')
            return default

    def moment(self, key: str) -> datetime | None:
        """A date and time with its offset from UTC."""
        value = self._value(key, date, "a date and time without quotes, such as 2026-11-23T09:00:00Z")
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value
        if isinstance(value, datetime):
            form = value.isoformat()
            self.wrong(key, f'"{key}" has no offset from UTC: write {form}Z, or {form}+01:00 for local time there')
        elif value is not None:
            self.wrong(key, f'"{key}" has no time of day: write {value}T09:00:00Z')
        return None

    def table(self, key: str, variables: Mapping[str, Variable] | None = None) -> Table:
        """The table under `key`; an empty one when it is missing. `variables` go before the keys in it."""
        value = self._value(key, dict, f"a section: {section_of((*self.path, key))}") or {}
        return Table(self.findings, value, (*self.path, key), variables)

    def tables(self, key: str) -> list[Table]:
        """The tables of the array `key`."""
        value = self._value(key, list, f"sections: [[{key}]]") or []
        if not all(isinstance(item, dict) for item in value):
            self.wrong(key, f'"{key}" must be written as sections: [[{key}]]')
            return []
        return [Table(self.findings, item, (*self.path, key, index)) for index, item in enumerate(value)]

    def finish(self) -> None:
        """Note every key, and every variable, that no method has asked for."""
        self.findings.unknown.extend((*self.path, key) for key in self.data if key not in self.known)
        for key, variable in self.variables.items():
            if key not in self.known:
                advice = nearest(key, self.known) or f"known keys: {', '.join(sorted(self.known))}"
                text = f'no key "{key}" in {section_of(self.path)}; {advice}'
                self.findings.add(self.path, text, elsewhere=f"${variable.name}")

    def _value(
        self, key: str, kinds: Any, wanted: str, convert: Callable[[str], Any] = str
    ) -> Any:  # Any: the value of a TOML key has the type its writer chose
        self.known.add(key)
        variable = self.variables.get(key)
        if variable is not None:
            try:
                return convert(variable.text)
            except ValueError:
                self.wrong(key, f"want {wanted}")
                return None
        value = self.data.get(key)
        if value is None or (isinstance(value, kinds) and (kinds is bool or not isinstance(value, bool))):
            return value
        self.wrong(key, f'"{key}" is {_kind(value)}; want {wanted}')
        return None

    def _bounded(
        self, key: str, value: float | None, default: float, wanted: str, bounds: tuple[float, float]
    ) -> float:
        if value is None:
            return default
        if bounds[0] <= value <= bounds[1]:
            return value
        self.wrong(key, f'"{key}" is {value}; want {wanted}')
        return default


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE + _FALSE:
        return text.lower() in _TRUE
    raise ValueError(text)


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _kind(value: object) -> str:
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a section"}
    return names.get(type(value), "a date or time")
