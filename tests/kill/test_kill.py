"""A sample of `make prove-kill`: the calls by which something becomes durable or leaves, killed at the first few."""

from __future__ import annotations

import pytest

from tests.crash.conftest import NewWorld, launcher, new_world
from tests.kill.drills import DRILLS, Drill, Range
from tests.kill.tracing import missing

__all__ = ["launcher", "new_world"]  # fixtures of the crash suite

# SQLite writes with pwrite64 and fdatasync, psycopg sends with sendto; journal, relay and maildir are written to.
CALLS = ("fdatasync", "fsync", "pwrite64", "rename", "sendto", "write")
MOST = 1


@pytest.mark.skipif(bool(missing()), reason=f"no kill at a system call: {missing()}")
@pytest.mark.parametrize("drill", [DRILLS[0], DRILLS[3]], ids=lambda drill: drill.name)
def test_commands_killed_at_system_calls_repeat_nobody_and_lose_nobody(
    new_world: NewWorld, store_url: str, drill: Drill
) -> None:
    world = new_world(store_url, contacts=0, enqueued=False)
    ground = Range(world)
    ground.enqueue(1)
    ground.enumerate(drill, CALLS, MOST)
    assert ground.tally.total > len(CALLS) // 2
    world.finish()
    world.assert_finished(ground.tally.planned)
