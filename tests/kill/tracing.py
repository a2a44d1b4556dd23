"""Commands under strace: which system calls one makes, and SIGKILL at the k-th call of one name.

strace counts for each process by itself, so a command's workers die at their own k-th call.
Source: strace(1), "Syscall tampering".
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.crash.launcher import Finished
from tests.crash.world import World, wait_for

UNHURT = (0, 3)
_KILLED = re.compile(r"^[0-9]+ +\+\+\+ killed by SIGKILL \+\+\+$", re.MULTILINE)
_CALL = re.compile(r"^(?P<pid>[0-9]+) +(?P<name>[a-z_0-9]+)\(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Shot:
    """Where to kill: at the entry of the `number`-th call (from 1) of `name`."""

    name: str
    number: int


def missing() -> str:
    """Why no command can be traced here, or an empty string."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"strace cannot trace here: {tried.stderr.strip()}"


def calls_of(world: World, *arguments: str, environ: dict[str, str] | None = None) -> Counter[str]:
    """Run a command to its end; how often the busiest of its processes made each system call."""
    trace = world.folder / "strace.out"
    traced(world, ["-o", str(trace)], *arguments, environ=environ)
    each = Counter((found["pid"], found["name"]) for found in _CALL.finditer(trace.read_text()))
    most: Counter[str] = Counter()
    for (_, name), count in each.items():
        most[name] = max(most[name], count)
    return most


def killed_at(world: World, shot: Shot, *arguments: str, environ: dict[str, str] | None = None) -> int:
    """Run a command of which every process dies at its own `shot`, if it comes so far; returns how many did."""
    trace = world.folder / "strace.out"
    inject = f"inject={shot.name}:signal=SIGKILL:when={shot.number}"
    ended = traced(world, ["-o", str(trace), "-e", f"trace={shot.name}", "-e", inject], *arguments, environ=environ)
    killed = len(_KILLED.findall(trace.read_text()))
    if ended.code != -signal.SIGKILL and ended.code not in UNHURT + ((75,) if killed else ()):
        raise AssertionError(f"{arguments[0]} with {shot} ended with {ended.code}: {ended.err}")
    return killed


def traced(world: World, options: list[str], *arguments: str, environ: dict[str, str] | None = None) -> Finished:
    """Run a command with strace attached to it and to what it forks, from its first instruction on."""
    command = world.start(*arguments, environ=environ, held=True)
    assert command.stopped()
    strace = subprocess.Popen(
        ["strace", "-f", "-qq", *options, "-p", str(command.pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        wait_for(lambda: strace.poll() is not None or _is_traced(command.pid))
        command.send(signal.SIGCONT)
        return command.ended()
    finally:
        _, said = strace.communicate(timeout=60)  # it ends with the last of the command's processes
        assert strace.returncode in (0, -signal.SIGKILL), said.decode()


def _is_traced(pid: int) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
