"""Judges breaks one after the other: a process in which all tests are collected, and which forks for each break.

    python -m tests.mutation.judge TEST_FILE...

Runs in a private copy of the project. Each line on stdin is a Case as JSON, each line on stdout its verdict. In the
fork the broken function gets its broken code: nothing is imported or collected again, so that a break costs little more
than its tests. What is broken outside of functions is judged by a new process. Never writes outside of its copy.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import _lru_cache_wrapper
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple, TextIO

import pytest

FIRST_FEW = 8
MOST_BYTES = 1 << 28  # of one file: a broken loop shall not fill the disk
OPTIONS = ["-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-o", "tmp_path_retention_policy=none"]


class Case(NamedTuple):
    """One broken module, and the tests that judge it, in order. `anew` when the break acts at import."""

    module: str
    source: str
    tests: list[str]
    anew: bool
    limit_s: float


def main(files: list[str]) -> int:
    """Collect, then judge until stdin ends."""
    asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what pytest itself has to say
    return int(pytest.main([*OPTIONS, *files], plugins=[_Bench(asked, answers)]))


class _Bench:
    """A pytest plugin that serves in the place of the loop over all tests."""

    def __init__(self, asked: TextIO, answers: TextIO) -> None:
        self._asked, self._answers = asked, answers

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        _warm(session)
        _forget()
        gc.freeze()
        for line in self._asked:
            case = Case(*json.loads(line))
            print(json.dumps(judged(session, case)), file=self._answers, flush=True)
        return True


def _warm(session: pytest.Session) -> None:
    """Set up what the whole session shares (migrated stores to copy), by the first test on each database."""
    for word in ("sqlite", "postgres"):
        for item in [item for item in session.items if item.nodeid.endswith(f"[{word}]")][:1]:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=session.items[-1])


def judged(session: pytest.Session, case: Case) -> str:
    """The test that failed; "" when none did, "time" when they did not end, "import" when it cannot be imported."""
    path = Path(case.module)
    original = path.read_text()
    path.write_text(case.source)
    try:
        if case.anew or not _applied(case, try_only=True):
            # In two goes: to collect many test files takes longer than the few tests that most breaks need.
            first, rest = case.tests[:FIRST_FEW], case.tests[FIRST_FEW:]
            return _judged_anew(case, first) or (_judged_anew(case, rest) if rest else "")
        return _judged_in_fork(session, case)
    finally:
        path.write_text(original)


def _judged_in_fork(session: pytest.Session, case: Case) -> str:
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(session, case, writer.fileno()))
    child.start()
    writer.close()
    child.join(case.limit_s)
    late = child.is_alive()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid or 0, signal.SIGKILL)  # with what its tests have left behind
    child.join()
    said = os.read(reader.fileno(), 4096).decode() if not late else "time"
    reader.close()
    return said or ("" if child.exitcode == 0 else f"exit {child.exitcode}")


def _run(session: pytest.Session, case: Case, answer_fd: int) -> None:
    """In the fork: break the code, run the tests, tell the first failure, and die without tidying up.

    Stopping at the first failure is done here: pytest's own `-x` would tear down what the session shares, as the
    Postgres database that all later stores are copied from, and every break after that would seem to be noticed.
    """
    os.setsid()
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))
    _applied(case)
    by_id = {item.nodeid: item for item in session.items}
    chosen = [by_id[name] for name in case.tests]
    for place, item in enumerate(chosen):
        # Never the last one: what the session shares belongs to all forks.
        following = chosen[place + 1] if place + 1 < len(chosen) else _another(session, item)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            os.write(answer_fd, item.nodeid.encode()[:4096])
            os._exit(1)
    os._exit(0)


def _another(session: pytest.Session, item: pytest.Item) -> pytest.Item:
    return session.items[-1] if item is not session.items[-1] else session.items[0]


def _judged_anew(case: Case, tests: list[str]) -> str:
    arguments = [sys.executable, "-B", "-m", "pytest", "-x", *OPTIONS, "--basetemp=anew", *tests]
    child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    try:
        said = child.communicate(timeout=case.limit_s)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        said = "FAILED time"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.wait() == 0:
        return ""
    failures = [line.split()[1] for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return failures[0] if failures else "import"


# -- the broken code -----------------------------------------------------------------------------------------------


def _applied(case: Case, *, try_only: bool = False) -> bool:
    """Give every function of the module its code of the broken source; False when some function is not to be found."""
    name = case.module.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    functions = dict(_functions(vars(importlib.import_module(name)), name))
    codes = dict(_codes(compile(case.source, case.module, "exec")))
    if try_only:
        return codes.keys() <= functions.keys()
    for qualname, code in codes.items():
        functions[qualname].__code__ = code
    return True


def _functions(namespace: Any, module: str) -> Iterator[tuple[str, FunctionType]]:
    """Every function and method that a module defines, under what wraps it."""
    for value in list(namespace.values()):
        if isinstance(value, type) and value.__module__ == module:
            yield from _functions(vars(value), module)
            continue
        inner: Any = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        inner = inner.fget if isinstance(inner, property) else inner
        while hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
        if isinstance(inner, FunctionType) and inner.__module__ == module:
            yield inner.__qualname__, inner


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """The code of each function outside of other functions; class bodies are looked into."""
    for constant in code.co_consts:
        if not isinstance(constant, CodeType) or constant.co_name.startswith("<"):
            continue
        if constant.co_flags & 0x2:  # CO_NEWLOCALS: a function; a class body has none of its own
            yield constant.co_qualname, constant
        else:
            yield from _codes(constant)


def _forget() -> None:
    """Empty the caches that warming up has filled: they may hold what the unbroken code made."""
    for wrapper in gc.get_objects():
        if isinstance(wrapper, _lru_cache_wrapper) and str(wrapper.__module__).startswith("sendctl"):
            wrapper.cache_clear()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
