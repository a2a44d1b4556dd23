"""Small and read-only disks, in a mount namespace of this process's own: they vanish with it and its commands.

Source: unshare(2), mount(8), tmpfs(5).
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

CLONE_NEWNS = 0x00020000  # linux/sched.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def missing() -> str:
    """Why nothing can be mounted here, or an empty string."""
    tried = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else tried.stderr.strip()


def leave_the_machines() -> None:
    """From now on this process and its children have mounts of their own."""
    if _LIBC.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    _mount("--make-rprivate", "/")


def small_disk(place: Path, size_bytes: int) -> None:
    """An empty file system in memory."""
    place.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "sendctl-test", str(place))


def take_away(place: Path) -> None:
    """Unmount, whoever still has something open there."""
    _run("umount", "--lazy", str(place))


def resize(place: Path, size_bytes: int) -> None:
    """Take away or give back what is free; what is there stays."""
    _mount("-o", f"remount,size={size_bytes}", str(place))


def leave_free(place: Path, free_bytes: int) -> None:
    """Nearly full: so much is left."""
    resize(place, shutil.disk_usage(place).used + free_bytes)


def set_read_only(place: Path, read_only: bool) -> None:
    """Remount; nobody may have a file there open for writing."""
    _mount("-o", f"remount,{'ro' if read_only else 'rw'}", str(place))


def _mount(*arguments: str) -> None:
    _run("mount", *arguments)


def _run(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.returncode, f"{' '.join(arguments)}: {done.stderr.strip()}", arguments[-1])
