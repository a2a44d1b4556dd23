"""One command under fire in a world of its own, from the first kill to the last account."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.crash.accounts import Account, account, must, settle, settle_doubt
from tests.crash.launcher import Launcher
from tests.crash.world import CONNECTIONS, World, environment, write_settings, write_world
from tests.kill.drills import Drill, Range, Tally
from tests.smtp_double import start_smtp_double

PASSAGES = 6  # of each failpoint


@dataclass(frozen=True, slots=True)
class Result:
    """Of one command on one database. `doubts` has the number in doubt by each dead run, `bound` how many may be."""

    store: str
    drill: str
    tally: Tally
    account: Account
    doubts: list[int]
    bound: int
    settled: bool
    seconds: float

    @property
    def good(self) -> bool:
        return self.settled and not self.account.broken and max(self.doubts, default=0) <= self.bound


def drilled(drill: Drill, store_url: str) -> Result:
    """One command under fire in a new world, and its account."""
    begun_s = time.monotonic()
    workers = int(drill.environ.get("SENDCTL_SEND_WORKERS", "1"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sendctl-kill-")))
        judge = stack.enter_context(start_smtp_double(folder))
        launcher = Launcher()
        stack.callback(launcher.close)
        write_settings(folder, judge.port)
        write_world(folder, contacts=0)
        url = store_url or f"sqlite:///{folder}/store.db"
        world = World(folder, environment(url, folder), judge, launcher)
        assert world.run("migrate").code == 0
        ground = Range(world)
        ground.enqueue(1)
        ground.at_failpoints(drill, PASSAGES)
        ground.enumerate(drill)
        ground.enqueue(1)  # what killed enqueues have not brought in
        run = partial(must, world)
        settle(world, run)
        found, doubts = account(world), [death.in_doubt for death in world.deaths()]
        last = settle_doubt(world, run, connections=CONNECTIONS).last
    settled = not last.broken and last.counts["sent"] == ground.tally.planned
    return Result("postgres" if store_url else "sqlite", drill.name, ground.tally, found, doubts,
                  CONNECTIONS * workers, settled, time.monotonic() - begun_s)  # fmt: skip
