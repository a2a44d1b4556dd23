"""The test Postgres itself: it must start for any user, survive a restart, and never outlive its users."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.postgres import PostgresServer, create_database, shared_server

HOLD = """
import sys
from pathlib import Path
from tests.postgres import {name}
{hold}
print(folder, flush=True)
sys.stdin.read()
"""
PRIVATE = "server = PostgresServer(); folder = server.place.folder"
SHARED = """
import json
context = shared_server(Path(sys.argv[1])); context.__enter__()
folder = json.loads(Path(sys.argv[1], 'postgres.json').read_text())['folder']
"""


def start_holder(name: str, hold: str, *arguments: str) -> tuple[subprocess.Popen[str], Path]:
    """A process that holds a server and waits; returns it and the server's folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(name=name, hold=hold), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def server_port(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().splitlines()[3])


def wait_until_gone(folder: Path, port: int) -> None:
    """Bounded wait for an event in a process that offers nothing to wait on: nobody listens, nothing is left."""
    for _ in range(1500):
        if not folder.exists() and not is_listening(port):
            return
        time.sleep(0.02)
    raise AssertionError(f"the server on port {port} in {folder} is still there")


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_server_ends_when_its_only_user_is_killed() -> None:
    process, folder = start_holder("PostgresServer", PRIVATE)
    port = server_port(folder)
    kill(process)
    wait_until_gone(folder, port)


def test_shared_server_outlives_a_killed_starter_and_ends_with_its_last_user(tmp_path: Path) -> None:
    first, folder = start_holder("shared_server", SHARED, str(tmp_path))
    second, same_folder = start_holder("shared_server", SHARED, str(tmp_path))
    assert same_folder == folder
    port = server_port(folder)
    kill(first)
    with shared_server(tmp_path) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    kill(second)
    wait_until_gone(folder, port)
    with shared_server(tmp_path) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_immediate_restart_breaks_connections_and_keeps_what_was_committed(private_postgres: PostgresServer) -> None:
    url = create_database(private_postgres.url())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (number integer)")
        connection.execute("INSERT INTO kept VALUES (7)")
        private_postgres.restart("immediate")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)


def test_stopped_server_refuses_until_it_is_started_again(private_postgres: PostgresServer) -> None:
    private_postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(private_postgres.url())
    private_postgres.start()
    psycopg.connect(private_postgres.url()).close()


def test_database_is_empty_and_claims_are_durable(pg_database: str) -> None:
    with psycopg.connect(pg_database) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_server_needs_its_password(postgres_url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres_url, password="wrong")
