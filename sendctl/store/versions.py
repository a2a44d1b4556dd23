"""The schema version that this program needs. Imports nothing, for the idle pass."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
MIGRATIONS = HERE / "migrations"
BASELINE_VERSION = 1  # what schema.sql was before the first migration


def numbered(folder: Path = MIGRATIONS) -> dict[int, Path]:
    """Migration files by number: `NNNN_name.sql` brings a store from NNNN-1 to NNNN."""
    return {int(path.name[:4]): path for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))}


def newest_version(folder: Path = MIGRATIONS) -> int:
    """The version of schema.sql."""
    return max([BASELINE_VERSION, *numbered(folder)])
