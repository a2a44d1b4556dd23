"""Survivors that no test can tell from the original, each with its reason: explained.toml, held to its word."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.mutation.mutants import Mutant

FILE = Path(__file__).with_name("explained.toml")


class Explained(NamedTuple):
    """One or several equal breaks of lines that read alike."""

    module: str
    line: str
    what: str
    reason: str


def explanations(path: Path = FILE) -> list[Explained]:
    """All of them; `what` may list several breaks of a line. Raises KeyError where one lacks a word or its reason."""
    entries = tomllib.loads(path.read_text()).get("explained", [])
    return [
        Explained(entry["module"], entry["line"], what, entry["reason"])
        for entry in entries
        for what in ([entry["what"]] if isinstance(entry["what"], str) else entry["what"])
    ]


def explains(entry: Explained, module: str, mutant: Mutant) -> bool:
    """Whether an entry speaks of this break."""
    return (entry.module, entry.line, entry.what) == (module, mutant.line_text, mutant.what)


def stale(entries: Iterable[Explained], module: str, found: Iterable[Mutant]) -> list[Explained]:
    """Entries about a module that match no break of it any more: their line has changed."""
    breaks = {(mutant.line_text, mutant.what) for mutant in found}
    return [entry for entry in entries if entry.module == module and (entry.line, entry.what) not in breaks]
