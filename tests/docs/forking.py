"""A `sendctl` for the documents' shells that is not imported anew for each command, which costs 0.7 s of CPU.

A server imports it once and forks for each command; the `sendctl` in `commands_folder()` hands over its arguments,
folder, environment, limits and open files, and ends as the command does, also by a signal. What is to be stopped or
looked at as a process is started as the real program (World.start).
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.crash.launcher import _run
from tests.preloading import preload

ROOT = Path(__file__).parents[2]
_SHIM = """\
import json, os, resource, socket, sys
there = socket.socket(socket.AF_UNIX)
there.connect({socket!r})
mask = os.umask(0)
os.umask(mask)
asked = dict(arguments=sys.argv[1:], folder=os.getcwd(), environ=dict(os.environ), umask=mask,
             file_bytes=resource.getrlimit(resource.RLIMIT_FSIZE))
socket.send_fds(there, [b"."], [0, 1, 2])
there.sendall(json.dumps(asked).encode() + b"\\n")
status = int(there.makefile().readline())
if status < 0:
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@cache
def commands_folder() -> Path:
    """A folder for the front of PATH; its server lives as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="sendctl-docs-"))
    (folder / "shim.py").write_text(_SHIM.format(socket=str(folder / "socket")))
    command = folder / "sendctl"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{folder}/shim.py" "$@"\n')
    command.chmod(0o755)
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.docs.forking", str(folder / "socket")], cwd=ROOT, env=environ, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    atexit.register(server.communicate)  # it ends with its standard input
    return folder


# -- the server ---------------------------------------------------------------------------------------------------


def serve(path: str) -> None:
    """Fork for each connection, until standard input ends; then remove the folder: a killed test could not."""
    preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever attends to a command is nobody's to wait for
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        print("ready", flush=True)
        while sys.stdin not in (ready := select.select([listening, sys.stdin], [], [])[0]):
            if listening in ready:
                there, _ = listening.accept()
                if not os.fork():
                    listening.close()
                    os._exit(_attend(there))
                there.close()
    shutil.rmtree(Path(path).parent)


def _attend(there: socket.socket) -> int:
    """Run one command in a process of its own, and say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(there, 1, 3)
    asked = json.loads(there.makefile().readline())
    pid = os.fork()
    if not pid:
        there.close()
        _command(asked, files)
    _, status = os.waitpid(pid, 0)
    there.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    return 0


def _command(asked: dict[str, Any], files: list[int]) -> None:
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["folder"])
    os.umask(asked["umask"])
    resource.setrlimit(resource.RLIMIT_FSIZE, tuple(asked["file_bytes"]))
    # The interpreter ends as it does for the program: a store that nobody closes keeps its write-ahead log.
    sys.exit(_run(asked["arguments"], asked["environ"]))


if __name__ == "__main__":
    serve(sys.argv[1])
