"""Stores to measure on: SQLite files, and databases of a Postgres server of the run's own, on the same machine.

The server is started as the tests start theirs (tests/postgres.py), with fsync on, and is ended with the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.postgres import PostgresServer, create_database, drop_database

SQLITE, POSTGRES = "SQLite", "Postgres"
KINDS = (SQLITE, POSTGRES)
TOLD_SETTINGS = ("shared_buffers", "synchronous_commit", "fsync", "max_wal_size", "autovacuum")


@dataclass
class Databases:
    """Makes stores; the Postgres server starts with the first that needs it."""

    folder: Path
    _server: PostgresServer | None = None
    _made: int = 0

    @property
    def server(self) -> PostgresServer:
        if self._server is None:
            self._server = PostgresServer(durable=True)
        return self._server

    @contextmanager
    def store(self, kind: str) -> Iterator[tuple[str, Path]]:
        """(URL of a store that does not exist yet, a folder of its own); dropped in the end."""
        self._made += 1
        folder = self.folder / f"{self._made}"
        folder.mkdir()
        if kind == SQLITE:
            yield f"sqlite:///{folder}/store.db", folder
            for file in folder.glob("store.db*"):
                file.unlink()
            return
        url = create_database(self.server.url())
        try:
            yield url, folder
        finally:
            drop_database(self.server.url(), url)

    def server_cpu_s(self) -> float:
        """CPU seconds of the Postgres server so far, those of its ended children included."""
        if self._server is None:
            return 0.0
        postmaster = int(Path(self._server.place.data, "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return _cpu_s(postmaster, ended_children=True) + sum(_cpu_s(int(child)) for child in children)

    def version(self) -> str:
        """The server's version and the settings that matter here."""
        with closing(psycopg.connect(self.server.url())) as connection:
            version = connection.execute("SELECT current_setting('server_version')").fetchall()[0][0]
            shown = connection.execute(
                "SELECT name || ' ' || current_setting(name) FROM unnest(%s::text[]) name", [list(TOLD_SETTINGS)]
            ).fetchall()
        return f"{version} ({', '.join(row[0] for row in shown)})"

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


def size_bytes(url: str) -> int:
    """How large a store is on disk, indexes included."""
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///")).stat().st_size
    with closing(psycopg.connect(url)) as connection:
        size: int = connection.execute("SELECT pg_database_size(current_database())").fetchall()[0][0]
    return size


def _cpu_s(pid: int, *, ended_children: bool = False) -> float:
    """User and system time of a process, from /proc/PID/stat (proc(5), fields 14 to 17); 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    ticks = sum(int(field) for field in fields[11 : 15 if ended_children else 13])
    return ticks / os.sysconf("SC_CLK_TCK")
