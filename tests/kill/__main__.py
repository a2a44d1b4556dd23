"""Kills every command at every system call that it makes, on both databases, and prints the account as Markdown.

    python -m tests.kill [--store sqlite|postgres] [--drill WORDS] [--jobs N] [--at-least KILLS]

A line is printed when its command is through, and progress goes to stderr; the whole takes an hour or two. Exits 1
when anybody got two messages, or none without being listed, when more was in doubt than was open, or when fewer kills
hit than demanded.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack

from tests.kill.drills import DRILLS
from tests.kill.tracing import missing
from tests.kill.worlds import Result, drilled
from tests.postgres import PostgresServer, create_database


def main() -> int:
    """The command line."""
    asked = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")  # of all worlds
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
        return 0 if _show((each.result() for each in as_completed(running)), asked.at_least) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description="Kill at every system call.")
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="", help="only this one")
    parser.add_argument("--drill", default="", metavar="WORDS", help="only commands with this in their name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="worlds at once")
    parser.add_argument("--at-least", type=int, default=0, metavar="KILLS", help="demand so many")
    return parser.parse_args()


def _show(ended: Iterable[Result], at_least: int) -> bool:
    """Print the account as it grows; whether all of it is good, and enough."""
    print(
        "| store | command | killed | dead runs | duplicates | lost | in doubt | most by one kill | bound | minutes |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    results: list[Result] = []
    for one in ended:
        results.append(one)
        print(f"| {one.store} | `{one.drill}` | {one.tally.total:,} | {len(one.doubts):,} | {one.account.duplicates} "
              f"| {one.account.lost} | {sum(one.doubts):,} | {max(one.doubts, default=0)} | {one.bound} "
              f"| {one.seconds / 60:.0f} |", flush=True)  # fmt: skip
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
