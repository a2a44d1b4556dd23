"""A database server that takes connections and stays silent: waited for once, said in one line."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.crash.conftest import NewWorld


class SilentServer:
    """Takes connections and never says a word; `met` counts them."""

    def __init__(self) -> None:
        self.met = 0
        self._held: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                self._held.append(self._listening.accept()[0])
            except OSError:
                return
            self.met += 1

    def close(self) -> None:
        for one in (self._listening, *self._held):
            one.close()


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()


def test_silent_server_is_waited_for_once(new_world: NewWorld, pg_database: str, silent: SilentServer) -> None:
    world = new_world(pg_database)
    url = f"postgresql://nobody@127.0.0.1:{silent.port}/none?connect_timeout=2"  # the least that libpq knows
    ended = world.run("send-due", "-q", environ={"SENDCTL_STORE_URL": url})
    assert (ended.code, ended.out) == (69, ""), ended
    problem, hint = ended.err.splitlines()
    assert problem.startswith("sendctl: error: the store does not answer")
    assert hint.startswith("  hint: ")
    assert silent.met == 1
