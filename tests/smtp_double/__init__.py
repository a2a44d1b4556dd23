"""An SMTP server in a process of its own, whose log is the only judge of what was accepted.

`start_smtp_double(tmp_path, script=[...])` starts one and gives its port and its log.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import double_process
from tests.smtp_double.certificates import Certificates, write_certificates

__all__ = ["Certificates", "SmtpDouble", "start_smtp_double", "write_certificates"]


@dataclass
class SmtpDouble:
    """A running double. `log` outlives it: a double started again on the same folder appends."""

    port: int
    log: Path
    transcript: Path
    keep: Path
    process: subprocess.Popen[bytes]

    def accepted(self) -> list[dict[str, Any]]:
        """Every message accepted so far, in order: at, from, rcpt, message_id, queue_id, size, sha256."""
        return _rows(self.log)

    def accepted_after(self, place_bytes: int) -> tuple[list[dict[str, Any]], int]:
        """What was accepted since a place in the log (0 at first), and the place up to where it was read."""
        if not self.log.exists():
            return [], place_bytes
        with self.log.open("rb") as log:
            log.seek(place_bytes)
            whole, _, _ = log.read().rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines()], place_bytes + (len(whole) + 1 if whole else 0)

    def heard(self) -> list[str]:
        """Every command line received so far, in order, as far as `transcript=True` asked for it."""
        return [row["line"] for row in _rows(self.transcript)]

    def stop(self) -> None:
        """End the process; calling it again does nothing."""
        double_process.end(self.process)


def _rows(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


@contextmanager
def start_smtp_double(
    tmp_path: Path,
    *,
    port: int = 0,
    script: list[dict[str, Any]] | None = None,
    transcript: bool = False,
    keep: bool = False,
    **options: Any,
) -> Iterator[SmtpDouble]:
    """A double in its own process, stopped at the end; it also ends by itself when this process dies.

    `options` are the flags of `python -m tests.smtp_double` with underscores: `pipelining=False`, `latency_ms=20`,
    `auth="user:pass"`, `starttls=True`, `cert=path`, `key=path`, `fsync=False`, `extension=["SIZE 1000"]`.
    """
    double = _start(tmp_path, port, script or [], transcript, keep, options)
    try:
        yield double
    finally:
        double.stop()


def _start(
    tmp_path: Path, port: int, script: list[dict[str, Any]], transcript: bool, keep: bool, options: dict[str, Any]
) -> SmtpDouble:
    log, heard, kept = tmp_path / "smtp_accepted.jsonl", tmp_path / "smtp_heard.jsonl", tmp_path / "smtp_kept"
    port_file = tmp_path / "smtp_port"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.smtp_double", "--exit-with-stdin", "--port", str(port)]
    command += ["--port-file", str(port_file), "--log", str(log), "--script", json.dumps(script)]
    command += ["--transcript", str(heard)] if transcript else []
    command += ["--keep", str(kept)] if keep else []
    for name, value in options.items():
        command += _flags(name.replace("_", "-"), value)
    process = subprocess.Popen(command, cwd=double_process.ROOT, stdin=subprocess.PIPE)
    return SmtpDouble(double_process.await_port(port_file, process), log, heard, kept, process)


def _flags(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}"] if value else [f"--no-{name}"]
    if isinstance(value, list):
        return [part for each in value for part in (f"--{name}", str(each))]
    return [f"--{name}", str(value)]
