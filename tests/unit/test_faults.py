"""Failpoints: they strike at the named passage and nowhere else, and without the variable they do nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sendctl import faults

SENDCTL = Path(faults.__file__).parent
PASSING = re.compile(r'faults\.passing\((?:"([a-z_.]+)" if done else )?"([a-z_.]+)"\)')


def passed_by(setting: str, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"from sendctl import faults\n{program}"],
        env={"SENDCTL_FAILPOINT": setting}, cwd=SENDCTL.parent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_every_name_is_passed_somewhere_and_every_passage_is_named() -> None:
    found = {
        name
        for path in SENDCTL.rglob("*.py")
        for match in PASSING.finditer(path.read_text())
        for name in match.groups()
        if name
    }
    assert found == set(faults.FAILPOINTS)


def test_without_the_variable_nothing_happens() -> None:
    for name in faults.FAILPOINTS:
        faults.passing(name)


def test_kill_strikes_at_the_counted_passage_only() -> None:
    program = "for n in range(5):\n print(n, flush=True)\n faults.passing('claim.committed')"
    done = passed_by("claim.committed:kill:3", program)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]


def test_raise_raises_once_and_then_lets_go() -> None:
    program = """
for n in range(3):
    try:
        faults.passing('journal.begun')
        print('passed')
    except faults.InjectedFault as error:
        print('raised', error)
"""
    done = passed_by("journal.begun:raise", program)
    assert done.stdout.splitlines() == ["raised journal.begun", "passed", "passed"]


def test_other_passages_are_let_through() -> None:
    done = passed_by("claim.committed", "faults.passing('settle.committed'); print('passed')")
    assert (done.returncode, done.stdout) == (0, "passed\n")


@pytest.mark.parametrize(
    "setting", ["nowhere", "claim.committed:explode", "claim.committed:kill:x", "claim.committed:a:1:2"]
)
def test_a_wrong_setting_is_refused_with_the_names(setting: str) -> None:
    done = passed_by(setting, "print('started')")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "want NAME" in done.stderr
    assert "claim.before_commit" in done.stderr
