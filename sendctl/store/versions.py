"""Which schema version this program needs, and how Postgres names a database. Imports nothing, for the idle pass."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
MIGRATIONS = HERE / "migrations"
BASELINE_VERSION = 1  # what schema.sql was before the first migration

# The timeline of the write-ahead log, not of the last checkpoint: after a promotion the control file goes on naming
# the old one until a checkpoint has ended, and commits may be missing in the meantime. A dump that is put back makes
# the tables anew, which shows in the number of a table.
DATABASE_IDENTITY = """(SELECT system_identifier FROM pg_control_system())
    || '/' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
    || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
    || '/' || 'store'::regclass::oid"""


def numbered(dialect: str, folder: Path = MIGRATIONS) -> dict[int, Path]:
    """Migration files by number: `NNNN_name.sql`, or `NNNN_name.DIALECT.sql`, brings a store from NNNN-1 to NNNN."""
    found = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return {int(path.name[:4]): path for path in found if path.name.split(".")[1] in ("sql", dialect)}


def newest_version(folder: Path = MIGRATIONS) -> int:
    """The version of schema.sql."""
    return max([BASELINE_VERSION, *numbered("sqlite", folder)])
