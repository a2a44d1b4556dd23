"""Breaks the modules that carry the promise, one small break at a time, and prints what the tests noticed, as Markdown.

    python -m tests.mutation [--only PART]... [--tests PART]... [--jobs N] [--budget SECONDS] [--map FILE]

A line is printed when its module is through. Exits 1 when a break survives that is neither caught by a test nor
explained in explained.toml, when an explanation matches nothing any more, or when a test fails on the unbroken code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.mutation.bench import ROOT, Judge, copied, observed
from tests.mutation.choosing import Choice, merged
from tests.mutation.explained import Explained, explains, explanations, stale
from tests.mutation.judge import Case
from tests.mutation.mutants import Mutant, mutants
from tests.postgres import PostgresServer

MODULES = (
    "states.py", "policy.py", "journal/*.py",
    *(f"store/{name}.py" for name in ("claims", "outcomes", "ledger", "runs", "doubts", "proofs", "finishing", "bulk",
                                      "id_set", "replay")),
    *(f"passes/{name}.py" for name in ("claiming", "fates", "submitting", "worker", "startup", "deciding", "importing",
                                       "replaying", "remembered")),
    *(f"providers/smtp/{name}.py" for name in ("lane", "dialogue", "classify", "replies")),
    *(f"passes/{name}.py" for name in ("evidence", "recover", "planning", "reconcile", "send_due")),
    "evidence/*.py",
)  # fmt: skip
TESTS = ("unit", "journal", "store", "passes", "providers", "evidence")  # what runs in the process that is broken


class Line(NamedTuple):
    """What came of one module."""

    module: str
    mutants: int
    killed: int
    explained: int
    survivors: list[str]  # one line each
    seconds: float


def main() -> int:
    """The command line."""
    asked = _arguments()
    modules = [module for module in _modules() if any(part in module for part in asked.only or [""])]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sendctl-mutation-")))
        if "SENDCTL_TEST_PG_URL" not in os.environ:
            server = PostgresServer()
            stack.callback(server.close)
            os.environ["SENDCTL_TEST_PG_URL"] = server.url()
        copies = [copied(folder / str(number)) for number in range(asked.jobs)]
        files = _test_files(asked.tests)
        found = _observed(copies, files, Path(asked.map) if asked.map else None)
        for test in found["failed"]:
            print(f"WRONG: {test} fails on the unbroken code", file=sys.stderr)
        judges: queue.SimpleQueue[Judge] = queue.SimpleQueue()
        for copy in copies:
            judge = Judge(copy, files)
            stack.callback(judge.close)
            judges.put(judge)
        rounds = _Rounds(judges, Choice(found, ROOT), asked.budget, asked.jobs)
        good = _show(rounds.of(module) for module in modules)
    return 0 if good and not found["failed"] and modules else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Break lines, see who notices.")
    parser.add_argument("--only", action="append", metavar="PART", help="only modules with this in their path")
    parser.add_argument("--tests", action="append", metavar="PART", help="only test files with this in their path")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="breaks at once")
    parser.add_argument("--budget", type=float, default=20, metavar="SECONDS", help="of tests for one break")
    parser.add_argument("--map", default="", metavar="FILE", help="keep there which tests run which lines")
    return parser.parse_args()


def _modules() -> Iterator[str]:
    for pattern in MODULES:
        found = sorted(path for path in (ROOT / "sendctl").glob(pattern) if path.name != "__init__.py")
        assert found, f"no module {pattern}"
        yield from (str(path.relative_to(ROOT)) for path in found)


def _test_files(wanted: Sequence[str] | None) -> list[str]:
    found = sorted(str(path.relative_to(ROOT)) for name in TESTS for path in (ROOT / "tests" / name).rglob("test_*.py"))
    return [file for file in found if any(part in file for part in wanted or [""])]


def _observed(copies: Sequence[Path], files: Sequence[str], kept: Path | None) -> dict[str, Any]:
    """Which tests run which lines: of an earlier run for the test files that are as they were, else found out now."""
    known = json.loads(kept.read_text()) if kept and kept.exists() else {}
    digests = {file: _digest(file) for file in files}
    missing = [file for file, digest in digests.items() if known.get(file, {}).get("digest") != digest]
    shares = [missing[number :: len(copies)] for number in range(len(copies))]
    with ThreadPoolExecutor(len(copies)) as pool:
        running = [pool.submit(observed, copy, share, 0) for copy, share in zip(copies, shares, strict=True) if share]
        fresh = merged(each.result() for each in running)
    for file in missing:
        known[file] = _part(fresh, file) | {"digest": digests[file]}
    if kept:
        kept.write_text(json.dumps(known))
    return merged(known[file] for file in digests)


def _digest(file: str) -> str:
    """Of a test file and of all that is tested: a line number of an earlier version says nothing."""
    whole = hashlib.sha256((ROOT / file).read_bytes())
    for path in sorted((ROOT / "sendctl").rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _part(found: dict[str, Any], file: str) -> dict[str, Any]:
    return {
        "seconds": {test: seconds for test, seconds in found["seconds"].items() if test.startswith(f"{file}::")},
        "lines": {test: lines for test, lines in found["lines"].items() if test.startswith(f"{file}::")},
        "failed": [test for test in found["failed"] if test.startswith(f"{file}::")],
    }


class _Rounds:
    """Judges all breaks of a module, as many at once as there are judges."""

    def __init__(self, judges: queue.SimpleQueue[Judge], choice: Choice, budget_s: float, jobs: int) -> None:
        self._judges, self._choice, self._budget_s = judges, choice, budget_s
        self._pool = ThreadPoolExecutor(jobs)
        self._entries = explanations()

    def of(self, module: str) -> Line:
        """One module, from its first line to its last."""
        begun_s = time.monotonic()
        source = (ROOT / module).read_text()
        found = mutants(source)
        killed, explained, survivors = 0, 0, list[str]()
        for mutant, verdict in zip(
            found, self._pool.map(lambda each: self._judge(module, source, each), found), strict=True
        ):
            if verdict == "killed":
                killed += 1
            elif any(explains(entry, module, mutant) for entry in self._entries):
                explained += 1
            else:
                survivors.append(f"{verdict}: {module}:{mutant.line}: {mutant.line_text} [{mutant.what}]")
        survivors += map(_said, stale(self._entries, module, found))
        return Line(module, len(found), killed, explained, survivors, time.monotonic() - begun_s)

    def _judge(self, module: str, source: str, mutant: Mutant) -> str:
        """ "killed", "SURVIVED" or "NOT COVERED"."""
        tests = self._choice.tests(module, mutant, self._budget_s)
        if not tests:
            return "NOT COVERED"
        limit_s = 30 + 4 * sum(self._choice.seconds[test] for test in tests)
        anew = self._choice.is_import(module, mutant)
        judge = self._judges.get()
        try:
            case = Case(module, mutant.applied(source), tests, anew, limit_s)
            verdict = judge.verdict(case)
            if verdict in tests:  # once more, alone: a test that fails for another reason has noticed nothing
                verdict = judge.verdict(case._replace(tests=[verdict]))
        finally:
            self._judges.put(judge)
        self._choice.note(module, mutant, verdict)
        return "killed" if verdict else "SURVIVED"


def _said(entry: Explained) -> str:
    return f"EXPLAINS NOTHING: {entry.module}: {entry.line} [{entry.what}]"


def _show(lines: Iterator[Line]) -> bool:
    """Print the account as it grows; whether nothing survived unexplained."""
    print("| module | mutants | killed | explained | survived | minutes |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    good = True
    for one in lines:
        print(f"| `{one.module}` | {one.mutants:,} | {one.killed:,} | {one.explained:,} | {len(one.survivors):,} "
              f"| {one.seconds / 60:.1f} |", flush=True)  # fmt: skip
        for survivor in one.survivors:
            print(survivor, file=sys.stderr, flush=True)
        good &= not one.survivors
    return good


if __name__ == "__main__":
    sys.exit(main())
