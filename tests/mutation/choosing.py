"""Which tests judge a break, and in which order: those that run its line, as an unbroken run has found out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.mutation.mutants import Mutant


class Choice:
    """Knows every test's lines and time (nearest.py), and which tests have caught something before."""

    def __init__(self, found: Mapping[str, Any], root: Path) -> None:
        self.seconds: dict[str, float] = found["seconds"]
        self._root = root
        self._tests: dict[tuple[str, int], set[str]] = defaultdict(set)
        for test, modules in found["lines"].items():
            for module, lines in modules.items():
                for line in lines:
                    self._tests[module, line].add(test)
        self._caught: dict[str, dict[str, int]] = defaultdict(dict)  # module: test: line of what it caught last

    def is_import(self, module: str, mutant: Mutant) -> bool:
        """Whether a break acts when its module is imported: outside of functions, or in one that import alone calls."""
        return mutant.at_import or not self._running(module, mutant.statement)

    def tests(self, module: str, mutant: Mutant, budget_s: float) -> list[str]:
        """The tests to run, as many as their time allows, one at least; [] when none runs the line."""
        anew = self.is_import(module, mutant)
        candidates = self._named(module, mutant) if anew else self._running(module, mutant.statement)
        caught, spoken_of = self._caught[module], _words(f"{mutant.line_text} {mutant.what} {Path(module).stem}")

        def order(test: str) -> tuple[float, int, float]:
            near = abs(caught[test] - mutant.line) if test in caught else float("inf")
            return near, -len(spoken_of & _words(test)), self.seconds[test]

        # Whoever imports anew collects the tests' files anew, too: of these breaks few are worth as much.
        return self._within(sorted(candidates, key=order), budget_s / 4 if anew else budget_s)

    def note(self, module: str, mutant: Mutant, test: str) -> None:
        """A test that caught one break is likely to catch the next."""
        if test in self.seconds:
            self._caught[module][test] = mutant.line

    def _running(self, module: str, lines: tuple[int, int]) -> set[str]:
        return set().union(*(self._tests.get((module, line), ()) for line in range(lines[0], lines[1] + 1)))

    def _named(self, module: str, mutant: Mutant) -> set[str]:
        """Import happens once: the tests of a constant are those of the lines that name it, and the module's own."""
        named = re.compile("|".join(rf"\b{name}\b" for name in mutant.names) or "$^")
        found: set[str] = set()
        for path in sorted(self._root.glob("sendctl/**/*.py")):
            other = str(path.relative_to(self._root))
            for number, line in enumerate(path.read_text().splitlines(), start=1):
                if named.search(line):
                    found |= self._tests.get((other, number), set())
        own = re.compile(rf"/test_{Path(module).stem}\w*\.py::")
        return found | {test for test in self.seconds if own.search(test)}

    def _within(self, tests: Sequence[str], budget_s: float) -> list[str]:
        chosen, spent_s = list[str](), 0.0
        for test in tests:
            spent_s += self.seconds[test]
            if chosen and spent_s > budget_s:
                break
            chosen.append(test)
        return chosen


def _words(text: str) -> frozenset[str]:
    """The beginnings of its words: a test is named after what it is about."""
    return frozenset(word[:6] for word in re.findall(r"[a-z]{4,}", text.lower()))


def merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One finding of several runs over different tests."""
    whole: dict[str, Any] = {"seconds": {}, "failed": [], "lines": {}}
    for part in parts:
        whole["seconds"] |= part["seconds"]
        whole["failed"] += part["failed"]
        whole["lines"] |= part["lines"]
    return whole
