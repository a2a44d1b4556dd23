"""Which tests run which lines: runs tests of the unbroken code once under coverage, one context for each test.

    python -m tests.mutation.nearest OUT TEST_FILE...

Runs in a copy of the project; writes a JSON object to OUT. Never judges anything.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest


class Watch:
    """A pytest plugin: tells coverage which test runs, and keeps how long each took and which failed."""

    def __init__(self, watched: coverage.Coverage) -> None:
        self._watched = watched
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """What fixtures of this test run counts as the test's own."""
        self._watched.switch_context(item.nodeid)
        yield_value = yield
        self._watched.switch_context("")
        return yield_value

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One of its three phases is over."""
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.append(report.nodeid)


def main(out: str, files: list[str]) -> int:
    """Run the tests of these files; returns pytest's exit status."""
    watched = coverage.Coverage(data_file=None, source=["sendctl"], config_file=False, messages=False)
    watch = Watch(watched)
    watched.start()
    status = pytest.main(["--basetemp=tmp", "-p", "no:cacheprovider", "--hypothesis-seed=0", *files], plugins=[watch])
    watched.stop()
    found = {"seconds": watch.seconds, "failed": watch.failed, "lines": _lines(watched.get_data())}
    Path(out).write_text(json.dumps(found))
    return int(status)


def _lines(data: coverage.CoverageData) -> dict[str, dict[str, list[int]]]:
    """Each test's lines, module by module."""
    lines: dict[str, Any] = defaultdict(lambda: defaultdict(list))
    for file in data.measured_files():
        module = str(Path(file).relative_to(Path.cwd()))
        for line, contexts in data.contexts_by_lineno(file).items():
            for context in filter(None, contexts):
                lines[context][module].append(line)
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
