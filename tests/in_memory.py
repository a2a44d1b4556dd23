"""Where tests and proofs keep their files: in memory where that is large enough. None is about a real disk's speed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 4 << 30  # a whole run of the tests has been seen to use 0.2 GB at once; a proof may use more


def folder() -> str | None:
    """A file system in memory with enough room, or None: then it is the usual folder for temporary files."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ENOUGH_BYTES:
        return None
    return str(MEMORY)


def prefer() -> None:
    """Make it the folder for temporary files of this process and those that it starts, unless $TMPDIR names one."""
    memory = folder()
    if memory is not None and "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = tempfile.tempdir = memory
