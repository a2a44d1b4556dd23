"""Starts commands fast: imports sendctl once, then forks a process for each command, which runs `sendctl.cli.app.main`.

Importing costs a command 0.7 s of CPU, several times what it does here; storm.py starts the real program. The server
runs as `python -m tests.crash.launcher`, takes a JSON line for each request, and never runs a command in itself.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.preloading import preload

ROOT = Path(__file__).parents[2]
RUN_S = 60.0  # no command of the suite takes longer unless it hangs
_DEEDS = ("import", "open", "os.", "fcntl.", "sqlite3.", "socket.", "glob.")  # audit events: docs.python.org
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Finished:
    """How one command ended. `code` is negative for a signal."""

    code: int
    out: str
    err: str


class Launcher:
    """A running server. Not for several threads."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.launcher"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def ask(self, **request: Any) -> Any:
        """Send one request and wait for its answer."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def close(self) -> None:
        """End the server; commands that still run are their owners' to end."""
        self._server.communicate()


class Command:
    """One running command, leader of its own session: its workers share it."""

    def __init__(
        self, launcher: Launcher, arguments: list[str], environ: Mapping[str, str], file_bytes: int | None = None,
        held: bool = False, terminated_at: int | None = None,
    ) -> None:  # fmt: skip
        self._launcher = launcher
        self._finished: Finished | None = None
        self.pid: int = launcher.ask(
            do="start", arguments=arguments, environ=dict(environ), file_bytes=file_bytes, held=held,
            terminated_at=terminated_at,
        )  # fmt: skip

    def finished(self) -> Finished | None:
        """How it ended, or None while it runs."""
        if self._finished is None:
            answer = self._launcher.ask(do="finished", pid=self.pid)
            self._finished = Finished(*answer) if answer else None
        return self._finished

    def ended(self, within_s: float = RUN_S) -> Finished:
        """Wait for the end. Raises TimeoutError."""
        give_up_at = time.monotonic() + within_s
        while (finished := self.finished()) is None:
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"process {self.pid} still runs after {within_s:g} s")
            time.sleep(0.003)
        return finished

    def stopped(self) -> bool:
        """Wait until it is stopped; False when it has ended instead."""
        return bool(self._launcher.ask(do="stopped", pid=self.pid))

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command itself, not to its workers."""
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(self.pid, number)

    def workers(self) -> list[int]:
        """Process ids of its children, oldest first."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def end(self) -> None:
        """Kill the command and its workers, if any is left."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


# -- the server ---------------------------------------------------------------------------------------------------


_outputs: dict[int, tuple[int, int]] = {}  # the reading ends of each command's standard output and error


def _start(
    arguments: list[str], environ: dict[str, str], file_bytes: int | None, held: bool, terminated_at: int | None
) -> int:
    # Pipes, not files: a limit on the size of files must not cut the error that it causes.
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(out_write)
        os.close(err_write)
        _outputs[pid] = (out_read, err_read)
        return pid
    os.setsid()
    # As from a terminal, whoever runs the tests: what a shell starts in the background ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out_write, 1), (err_write, 2)):
        os.dup2(descriptor, target)
    _drop_capabilities()
    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    if held:
        os.kill(os.getpid(), signal.SIGSTOP)
    if terminated_at is not None:
        terminate_at(terminated_at)
    os._exit(_run(arguments, environ))


def _run(arguments: list[str], environ: dict[str, str]) -> int:
    os.environ.clear()
    os.environ.update(environ)
    importlib.reload(sys.modules["sendctl.faults"])  # it reads its variable when it is imported
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115  for the rest of this process
    sys.argv = ["sendctl", *arguments]
    try:
        sys.modules["sendctl.cli.app"].main()
    except SystemExit as ending:
        sys.stdout.flush()
        return ending.code if isinstance(ending.code, int) else 1
    raise AssertionError("main returns by SystemExit")


def terminate_at(event: int) -> None:
    """Send SIGTERM to this process when it does its Nth thing with the world since it hears signals."""
    left, own = event, os.getpid()

    def hook(name: str, _arguments: object) -> None:
        nonlocal left
        if os.getpid() != own or left < 0 or not name.startswith(_DEEDS):
            return
        if not callable(signal.getsignal(signal.SIGTERM)):
            return
        left -= 1
        if left < 0:
            os.kill(own, signal.SIGTERM)

    sys.addaudithook(hook)


def _drop_capabilities() -> None:
    """Root's right to ignore file modes: with it, a test of a read-only file would test nothing. See capset(2)."""
    header, none = struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *[0] * 6)
    if _LIBC.capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


def _finished(pid: int) -> tuple[int, str, str] | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        return None
    out, err = (_drained(descriptor) for descriptor in _outputs.pop(pid))
    return os.waitstatus_to_exitcode(status), out, err


def _drained(descriptor: int) -> str:
    """What stands in a pipe; workers that outlive their parent keep it open."""
    os.set_blocking(descriptor, False)
    with os.fdopen(descriptor, "rb") as pipe:
        return (pipe.read() or b"").decode()


def _stopped(pid: int) -> bool:
    answer = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return answer is not None and answer.si_code == os.CLD_STOPPED


def serve() -> None:
    """Answer requests until standard input ends."""
    preload()
    actions: dict[str, Any] = {"start": _start, "finished": _finished, "stopped": _stopped}
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(actions[request.pop("do")](**request)), flush=True)


if __name__ == "__main__":
    serve()
