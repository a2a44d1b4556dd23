"""Tries many examples of the stateful model on both databases, and prints what was tried as a Markdown table.

    python -m tests.stateful [--examples N] [--steps N] [--seed N]

Exits 1 when something fails; the shortest way to it that hypothesis found follows on stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from contextlib import ExitStack

from tests.postgres import PostgresServer
from tests.stateful.running import explored

HEADS = ("store", "examples", "at most, steps each", "steps tried", "driven to the end", "seconds", "violations")


def main() -> int:
    """Try what was asked for; returns the exit status."""
    asked = _arguments()
    print(f"| {' | '.join(HEADS)} |\n|{' --- |' * len(HEADS)}", flush=True)
    good = True
    with ExitStack() as at_exit:
        url = os.environ.get("SENDCTL_TEST_PG_URL", "")
        if not url:
            server = PostgresServer()
            at_exit.callback(server.close)
            url = server.url()
        for name, server_url in (("sqlite", ""), ("postgres", url)):
            good &= _tried(name, server_url, asked)
    return 0 if good else 1


def _tried(name: str, server_url: str, asked: argparse.Namespace) -> bool:
    """Try one database and print its line; whether nothing was wrong."""
    begun_s = time.monotonic()
    try:
        found = explored(server_url, examples=asked.examples, steps=asked.steps, seed=asked.seed)
    except Exception:
        print(f"| {name} | VIOLATED: see below |", flush=True)
        traceback.print_exc()
        return False
    cells = (name, f"{found.examples:,}", str(asked.steps), f"{found.moves:,}", f"{found.ends:,}",
             f"{time.monotonic() - begun_s:,.0f}", "0")  # fmt: skip
    print(f"| {' | '.join(cells)} |", flush=True)
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stateful", description="Try whatever may happen.")
    parser.add_argument("--examples", type=int, default=1000, metavar="N", help="on each database")
    parser.add_argument("--steps", type=int, default=40, metavar="N", help="rules in one example, at most")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="other examples: another number")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
