"""Private copies of the project and the processes in them: one copy for each job, nothing is written elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.mutation.judge import Case

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "demo", "build", "dist")


def copied(folder: Path) -> Path:
    """A copy of the project, without its environment and history."""
    shutil.copytree(ROOT, folder, symlinks=True, ignore=LEFT_OUT)
    return folder


class Judge:
    """A judge process (judge.py) in a copy of its own."""

    def __init__(self, copy: Path, files: Sequence[str]) -> None:
        self._log = (copy / "judge.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.judge", f"--basetemp={copy}/tmp", *files],
            cwd=copy, env=_environment(copy), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip

    def verdict(self, case: Case) -> str:
        """What judge.judged says. Raises RuntimeError when the judge itself has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(case), file=self._process.stdin, flush=True)
        said = self._process.stdout.readline()
        if not said:
            raise RuntimeError(f"the judge has died: see {self._log.name}")
        verdict: str = json.loads(said)
        return verdict

    def close(self) -> None:
        """End it and wait."""
        self._process.communicate()
        self._log.close()


def observed(copy: Path, files: Sequence[str], number: int) -> dict[str, Any]:
    """Run the tests of these files in a copy and see which lines each runs (nearest.py)."""
    out = copy / f"nearest-{number}.json"
    subprocess.run(
        [sys.executable, "-m", "tests.mutation.nearest", str(out), *files], cwd=copy, env=_environment(copy),
        stdout=sys.stderr, check=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def _environment(copy: Path) -> dict[str, str]:
    """The copy's package goes before the installed one, also in the commands that tests start."""
    return os.environ | {"PYTHONPATH": f"{copy}{os.pathsep}{ROOT}"}
