"""Runs the machine on one database: one store is migrated once, and every example begins with it as it was then."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sendctl.settings.store_url import normalise
from tests import in_memory
from tests.postgres import create_database, drop_database
from tests.stateful.machine import Machine
from tests.stateful.world import World
from tests.store.ground import lay


class Explored(NamedTuple):
    """How much was tried: examples, rules in all of them, and ends that everything was driven to."""

    examples: int
    moves: int
    ends: int


def explored(server_url: str, *, examples: int, steps: int, seed: int | None = None) -> Explored:
    """Try so many examples of at most so many steps, on SQLite where `server_url` is empty. Raises what fails.

    Without a seed it is always the same examples, and the first way to a failure is told as it is: a shorter one is
    looked for with a seed only, which takes minutes.
    """
    phases = [Phase.generate] if seed is None else [Phase.generate, Phase.shrink]
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, derandomize=seed is None, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=phases,
    )  # fmt: skip
    with _world(server_url) as world:
        machine: type[Machine] = type("Machine", (Machine,), {"world": world, "examples": 0, "moves": 0, "ends": 0})
        run_state_machine_as_test(machine if seed is None else hypothesis.seed(seed)(machine), settings=chosen)
        return Explored(machine.examples, machine.moves, machine.ends)


@contextmanager
def _world(server_url: str) -> Iterator[World]:
    with (
        tempfile.TemporaryDirectory(prefix="sendctl-stateful-", dir=in_memory.folder()) as name,
        ExitStack() as at_exit,
    ):
        folder, url = Path(name), f"sqlite:///{name}/store.db"
        if server_url:
            url = create_database(server_url)
            at_exit.callback(drop_database, server_url, url)
        url = normalise(url, folder)
        lay(folder, url).close()
        world = World(folder, url)
        at_exit.callback(world.close)
        yield world
