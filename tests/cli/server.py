"""Runs command lines as processes of their own without paying Python's start each time: one fork a command.

Reads one JSON request a line: arguments, folder, environment and files for the streams; answers the exit status.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

from tests.preloading import preload


def serve() -> None:
    preload()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(request)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(request: dict[str, Any]) -> None:
    """In the child: become the command."""
    from sendctl import faults  # noqa: PLC0415
    from sendctl.cli.app import main  # noqa: PLC0415

    for number, name in enumerate(("stdin", "stdout", "stderr")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        descriptor = os.open(request[name], flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    importlib.reload(faults)  # it reads its variable once, on import
    sys.argv = ["sendctl", *request["arguments"]]
    try:
        main()
    except SystemExit as ending:
        sys.stdout.flush()
        os._exit(ending.code if isinstance(ending.code, int) else 0)
    os._exit(0)


if __name__ == "__main__":
    serve()
