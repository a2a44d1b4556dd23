"""Kills every command at every system call that it makes, on both databases, and prints the account as Markdown.

    python -m tests.kill [--store sqlite|postgres] [--drill WORDS] [--jobs N] [--at-least KILLS]

Exits 1 when anybody got two messages, or none without being listed, when more was in doubt than was open, or when
fewer kills hit than demanded.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.crash.accounts import Account, account, settle, settle_doubt
from tests.crash.launcher import Launcher
from tests.crash.world import CONNECTIONS, World, environment, write_settings, write_world
from tests.kill.drills import DRILLS, Drill, Range, Tally
from tests.kill.tracing import missing
from tests.postgres import PostgresServer, create_database
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
        run = partial(_must, world)
        settle(world, run)
        found, doubts = account(world), [death.in_doubt for death in world.deaths()]
        last = settle_doubt(world, run, connections=CONNECTIONS).last
    settled = not last.broken and last.counts["sent"] == ground.tally.planned
    return Result("postgres" if store_url else "sqlite", drill.name, ground.tally, found, doubts,
                  CONNECTIONS * workers, settled, time.monotonic() - begun_s)  # fmt: skip


def _must(world: World, *arguments: str, codes: tuple[int, ...]) -> None:
    ended = world.run(*arguments)
    assert ended.code in codes, ended


def main() -> int:
    """The command line."""
    asked = _arguments()
    if missing():
        print(f"make prove-kill needs strace: {missing()}", file=sys.stderr)
        return 1
    stores = [asked.store] if asked.store else ["sqlite", "postgres"]
    with ExitStack() as stack:
        server = PostgresServer() if "postgres" in stores else None
        if server:
            stack.callback(server.close)
        pool = stack.enter_context(ProcessPoolExecutor(asked.jobs))
        running = [
            pool.submit(drilled, drill, create_database(server.url()) if server and store == "postgres" else "")
            for drill in DRILLS if asked.drill in drill.name for store in stores
        ]  # fmt: skip
        results = [each.result() for each in running]
    return 0 if _show(results, asked.at_least) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description="Kill at every system call.")
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="", help="only this one")
    parser.add_argument("--drill", default="", metavar="WORDS", help="only commands with this in their name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="worlds at once")
    parser.add_argument("--at-least", type=int, default=0, metavar="KILLS", help="demand so many")
    return parser.parse_args()


def _show(results: list[Result], at_least: int) -> bool:
    print(
        "| store | command | killed | dead runs | duplicates | lost | in doubt | most by one kill | bound | minutes |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for one in results:
        print(f"| {one.store} | `{one.drill}` | {one.tally.total:,} | {len(one.doubts):,} | {one.account.duplicates} "
              f"| {one.account.lost} | {sum(one.doubts):,} | {max(one.doubts, default=0)} | {one.bound} "
              f"| {one.seconds / 60:.0f} |")  # fmt: skip
    total = sum(one.tally.total for one in results)
    histogram = Counter(doubt for one in results for doubt in one.doubts)
    calls = sum((one.tally.calls for one in results), Counter())
    print(f"\nkilled          {total:,} times, at {len(calls)} system calls and failpoints")
    print(f"in doubt        by dead run: {dict(sorted(histogram.items()))}")
    print("by point        " + ", ".join(f"{name} {count:,}" for name, count in calls.most_common()))
    tested = any(doubt for doubt in histogram)  # if nothing was ever in doubt, no kill came when it mattered
    return all(one.good for one in results) and total >= at_least and tested


if __name__ == "__main__":
    sys.exit(main())
