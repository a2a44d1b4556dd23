"""The fixture `new_world`: a store with a campaign in it, an SMTP double, and a configuration that joins them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sendctl.passes import enqueue, setup
from tests.crash.launcher import Launcher
from tests.crash.world import CONTACTS, World, environment, write_settings, write_world
from tests.smtp_double import start_smtp_double

NewWorld = Callable[..., World]


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Starts the commands of all tests of this process."""
    launcher = Launcher()
    yield launcher
    launcher.close()


@pytest.fixture
def new_world(tmp_path: Path, launcher: Launcher) -> Iterator[NewWorld]:
    """`new_world(store_url, controls=..., contacts=..., extra=..., script=..., workers=...)`: 70 people are due."""
    with ExitStack() as stack:

        def make(store_url: str, *, controls: str = "", contacts: int = CONTACTS, batch_size: int = 5,
                 extra: str = "", connections: int = 4, enqueued: bool = True, **double: Any) -> World:  # fmt: skip
            judge = stack.enter_context(start_smtp_double(tmp_path, fsync=False, **double))
            write_settings(tmp_path, judge.port, extra=extra, connections=connections)
            write_world(tmp_path, controls=controls, contacts=contacts, batch_size=batch_size)
            world = World(tmp_path, environment(store_url, tmp_path), judge, launcher)
            stack.callback(world.close)
            with world.context() as context:
                setup.migrate(context)
            if enqueued:
                with world.context() as context:
                    enqueue.run(context, tmp_path / "campaign.toml", contacts=tmp_path / "contacts.csv")
            return world

        yield make


@pytest.fixture
def world(new_world: NewWorld, store_url: str) -> World:
    """The usual one, on each database in turn."""
    return new_world(store_url)
