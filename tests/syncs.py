"""What is forced to the disk, and when: each os.fsync of this process, with the files that stood at that moment.

Only watches the operating system: every call is made as it was asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Sync:
    """One fsync: of what, under the name it had then; its content, b"" of a folder; all files that stood there."""

    path: Path
    content: bytes
    standing: frozenset[Path]


def watched_syncs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sync]:
    """A list that each fsync of something in `folder`, or of `folder` itself, is added to from now on."""
    seen: list[Sync] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        sync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_relative_to(folder):
            content = path.read_bytes() if path.is_file() else b""
            seen.append(Sync(path, content, frozenset(file for file in folder.rglob("*") if file.is_file())))

    monkeypatch.setattr(os, "fsync", watched)
    return seen
