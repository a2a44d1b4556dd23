"""Runs a program to its end and says what it cost: wall time, CPU time, peak memory. Never trusts an exit code alone.

CPU comes from the kernel (wait4), so it includes every worker process that the program itself has waited for. On a
machine that loses time to its neighbours CPU can be compared, and wall time only within one interleaved run.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
LONGEST_S = 3600.0  # then a program that hangs is ended
LOOK_EVERY_S = 0.05


class BenchmarkFailed(Exception):
    """What was measured did not do its work, so its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one program cost. `cpu_s` is user and system time; `peak_bytes` the memory of its largest process."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    code: int
    said: str
    complained: str


class Running:
    """A program that was started; `ended` waits for it, once."""

    def __init__(
        self, command: Sequence[str | Path], *, environ: Mapping[str, str], folder: Path, longest_s: float = LONGEST_S
    ) -> None:
        self.command = [str(part) for part in command]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  closed by `ended`
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._begun_s = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603  programs of the benchmark's own choice
            self.command, env=dict(environ), cwd=folder, stdin=subprocess.DEVNULL, stdout=self._output,
            stderr=self._errors,
        )  # fmt: skip
        self._peak_bytes, self._over = 0, threading.Event()
        self._watch = threading.Thread(target=self._look_on, args=(longest_s,), daemon=True)
        self._watch.start()

    def _look_on(self, longest_s: float) -> None:
        """Until its end: note its memory, and end it when it takes too long.

        The kernel's own figure (ru_maxrss) begins with the memory of the process that started it: with ours.
        """
        while not self._over.wait(LOOK_EVERY_S):
            self._peak_bytes = max(self._peak_bytes, _peak_bytes(self._process.pid))
            if time.monotonic() - self._begun_s > longest_s:
                self._signal(signal.SIGKILL)

    def alive(self) -> bool:
        """Whether it still runs; leaves what it cost for `ended`."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def terminate(self) -> None:
        """Ask it to end; nothing when it has ended."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        # Not by Popen, which would take its exit status away from `ended`. The pid is ours until `ended`.
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def ended(self, *, codes: Iterable[int] = (0,)) -> Usage:
        """Wait for its end. Raises BenchmarkFailed when its exit code is not one of `codes`."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        wall_s = time.monotonic() - self._begun_s
        self._over.set()
        self._watch.join()
        _, status, spent = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        usage = Usage(
            wall_s, spent.ru_utime + spent.ru_stime, self._peak_bytes, self._process.returncode,
            _content(self._output), _content(self._errors),
        )  # fmt: skip
        if usage.code not in codes:
            said = (usage.said + usage.complained).strip()[-2000:]
            raise BenchmarkFailed(f"{' '.join(self.command)} ended with {usage.code}: {said}")
        return usage


def _peak_bytes(pid: int) -> int:
    """The most memory that a process or one of its children has held so far (VmHWM in proc(5)); 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return max([int(found[1]) * 1024 if found else 0, *(_peak_bytes(int(child)) for child in children)])


def run(
    command: Sequence[str | Path], *, environ: Mapping[str, str], folder: Path, codes: Iterable[int] = (0,)
) -> Usage:
    """Run a program to its end. Raises BenchmarkFailed when its exit code is not one of `codes`."""
    return Running(command, environ=environ, folder=folder).ended(codes=codes)


def _content(file: IO[bytes]) -> str:
    with file:
        file.seek(0)
        return file.read().decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds of the same measurement gave."""

    median: float
    least: float
    most: float

    def text(self, digits: int = 0) -> str:
        """`median (least to most)`; the median alone when there is nothing else to say."""
        if self.least == self.most:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f} to {self.most:,.{digits}f})"


def spread(values: Iterable[float]) -> Spread:
    """Median, least and most of at least one value."""
    known = list(values)
    return Spread(statistics.median(known), min(known), max(known))


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for_port(port: int, running: Running, within_s: float = 10.0) -> None:
    """Return once it listens there. Raises BenchmarkFailed when it has ended or the time is up."""
    give_up_at_s = time.monotonic() + within_s
    while time.monotonic() < give_up_at_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if not running.alive():
            break
        time.sleep(0.02)
    raise BenchmarkFailed(f"{' '.join(running.command)} does not listen on port {port}")
