"""What all files of the journal folder need: their names made durable, and one error when nothing can be written."""

from __future__ import annotations

import os
from pathlib import Path

from sendctl.errors import Unreachable


def sync_folder(path: Path) -> None:
    """Force the names in a folder to the disk: a file that is synced may be there without its name. See fsync(2)."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def not_writable(what: str, error: OSError) -> Unreachable:
    """The error for a journal that cannot be begun."""
    return Unreachable(
        f"{what} cannot be written: {error.strerror}",
        hint="free disk space, or mend the folder's owner and mode; nothing was claimed. Then run again.",
    )
