"""A double of a service in a process of its own: how it is waited for and ended."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # where `python -m tests.NAME` is started
_START_S = 30.0


def await_port(port_file: Path, process: subprocess.Popen[bytes]) -> int:
    """The port that it wrote down when it began to listen. Raises RuntimeError when it does not start."""
    give_up_at = time.monotonic() + _START_S
    while not port_file.exists():
        if process.poll() is not None or time.monotonic() > give_up_at:
            process.kill()
            raise RuntimeError(f"the double did not start (exit status {process.poll()}): {process.args!r}")
        time.sleep(0.005)
    return int(port_file.read_text())


def end(process: subprocess.Popen[bytes]) -> None:
    """End it, and wait until it is gone; calling it again does nothing."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
