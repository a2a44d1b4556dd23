"""Breaks disks, databases, hosts and clocks under sendctl, part by part, and prints the account as Markdown.

    python -m tests.faults [--store sqlite|postgres] [--only WORDS] [--jobs N]

A line is printed when its part is through. Exits 1 when anybody got two messages, or none without being listed, when
a command ended in a way that has no name, or when a part did not really hit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack

from tests.faults.ground import Line
from tests.faults.parts import PARTS, run
from tests.kill.tracing import missing
from tests.postgres import PostgresServer, create_database


def main() -> int:
    """The command line."""
    asked = _arguments()
    if missing():
        print(f"make prove-faults needs strace: {missing()}", file=sys.stderr)
        return 1
    wanted = {
        number: part.store for number, part in enumerate(PARTS)
        if asked.only in part.name and asked.store in ("", part.store)
    }  # fmt: skip
    for number in [number for number in wanted if PARTS[number].missing()]:
        print(f"left out: {PARTS[number].name}, {wanted.pop(number)}: {PARTS[number].missing()}", file=sys.stderr)
    with ExitStack() as stack:
        server = PostgresServer() if "postgres" in wanted.values() else None
        if server:
            stack.callback(server.close)
        # Spawned anew for each part: some leave the machine's mounts behind, and never come back to them.
        spawned = multiprocessing.get_context("spawn")
        pool = stack.enter_context(ProcessPoolExecutor(asked.jobs, spawned, max_tasks_per_child=1))
        running = [
            pool.submit(run, number, create_database(server.url()) if server and store == "postgres" else "")
            for number, store in wanted.items()
        ]
        return 0 if _show((each.result() for each in as_completed(running)), len(wanted)) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Break what sendctl stands on.")
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="", help="only this one")
    parser.add_argument("--only", default="", metavar="WORDS", help="only parts with this in their name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="parts at once")
    return parser.parse_args()


def _show(ended: Iterable[Line], wanted: int) -> bool:
    """Print the account as it grows; whether all of it is good."""
    print("| part | store | broken | people | duplicates | lost | in doubt | what else | minutes |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |", flush=True)
    lines: list[Line] = []
    for one in ended:
        lines.append(one)
        print(f"| {one.part} | {one.store} | {one.hits:,} {one.unit} | {one.people:,} | {one.duplicates} | {one.lost} "
              f"| {one.in_doubt:,} | {one.note} | {one.seconds / 60:.0f} |", flush=True)  # fmt: skip
        for matter in one.wrong:
            print(f"WRONG: {matter}", file=sys.stderr, flush=True)
    return len(lines) == wanted > 0 and all(one.good for one in lines)


if __name__ == "__main__":
    sys.exit(main())
