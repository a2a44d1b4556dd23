"""Ends one test Postgres server when the last process that uses it is gone, however that process died.

Standard input is the read end of a FIFO of which every user of the server holds the write end: the kernel closes
those even after kill -9, so end of file means that nobody is left. Never starts a server; never runs a test.
Usage: python postgres_guard.py LEASE FOLDER USER PG_CTL DATA
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path


def wait_until_unused(lease: Path) -> None:
    """Return once no process holds the write end. The name goes first, so nobody joins a server about to end."""
    while os.read(0, 1):
        pass
    lease.unlink(missing_ok=True)
    while os.read(0, 1):  # somebody joined before the name went: blocks until they are gone too
        pass


def main(lease: str, folder: str, user: str, pg_ctl: str, data: str) -> None:
    """Wait, stop the server at once, remove its folder."""
    wait_until_unused(Path(lease))
    subprocess.run(
        [pg_ctl, "stop", "-D", data, "-m", "immediate", "-s"],
        user=user or None,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd=folder,
        check=False,  # it may be down already: an outage test stopped it
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
