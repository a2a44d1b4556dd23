"""Eight passes, four recovers and two reconciles at once under kills; and passes under kills whose Postgres crashes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tests.faults.ground import Line, close_account, new_ground
from tests.faults.traffic import NO_DEFECT, Traffic
from tests.postgres import PostgresServer, create_database

EVERYONE = {"send-due": 8, "recover": 4, "reconcile": 2}
SENDERS = {"send-due": 4}
LATENCY_MS = 20.0  # the judge's reply to a dot: messages are in flight whenever a kill comes


def crowd(store_url: str, people: int, kills: int, seed: int = 0) -> Line:
    """8 send-due, 4 recover and 2 reconcile at any time, and kills at random moments."""
    begun_s = time.monotonic()
    line = Line("8 passes, 4 recovers, 2 reconciles", "postgres" if store_url else "sqlite", "kills")
    with new_ground(store_url, contacts=people, latency_ms=LATENCY_MS) as world:
        traffic = Traffic(world, line, EVERYONE, random.Random(seed))
        traffic.flow(kills, round(0.95 * people))
        traffic.stop()
        line.hits, line.note = traffic.kills, traffic.said()
        close_account(world, line, people)
    line.seconds = time.monotonic() - begun_s
    return line


@dataclass
class Outages:
    """Crashes of a server and its starts, one after the other, in the background. `restarts` have ended."""

    server: PostgresServer
    chance: random.Random
    longest_s: float
    restarts: int = 0
    _thread: ThreadPoolExecutor | None = None
    _under_way: Future[None] | None = None
    _next_at: float = 0.0

    def go_on(self) -> None:
        """Crash it again when its time has come."""
        if self._under_way is not None:
            if not self._under_way.done():
                return
            self._under_way.result()
            self._under_way, self.restarts = None, self.restarts + 1
            self._next_at = time.monotonic() + self.chance.uniform(0.5, self.longest_s)
        if time.monotonic() >= self._next_at:
            assert self._thread is not None
            self._under_way = self._thread.submit(self.server.restart, "immediate")

    @contextmanager
    def happening(self) -> Iterator[None]:
        """The server is up again at the end."""
        self._next_at = time.monotonic() + self.chance.uniform(0.0, self.longest_s)
        with ThreadPoolExecutor(1) as self._thread:
            yield
            if self._under_way is not None:
                self._under_way.result()
                self.restarts += 1


def outages(people: int, kills: int, longest_s: float = 5.0, seed: int = 0) -> Line:
    """A Postgres of its own crashes every few seconds while passes run and are killed."""
    begun_s = time.monotonic()
    line = Line("Postgres crashes, passes are killed", "postgres", "restarts")
    server = PostgresServer()
    try:
        with new_ground(create_database(server.url()), contacts=people, latency_ms=LATENCY_MS) as world:
            traffic = Traffic(world, line, SENDERS, random.Random(seed), (*NO_DEFECT, 69))
            trouble = Outages(server, random.Random(seed), longest_s)
            with trouble.happening():
                traffic.flow(kills, round(0.95 * people), trouble.go_on)
            traffic.stop()
            line.hits, line.note = trouble.restarts, f"{traffic.kills} kills, {traffic.said()}"
            close_account(world, line, people)
    finally:
        server.close()
    line.seconds = time.monotonic() - begun_s
    return line
