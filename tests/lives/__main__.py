"""Lives through many lives of sequences, and prints what was tried as a Markdown table.

    python -m tests.lives [--lives N] [--seed N] [--shrink]

Exits 1 at the first life that goes otherwise than the oracle says; what differs follows on stderr.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.lives.running import Wrong, lived

HEADS = ("lives", "seed", "deeds", "messages", "seconds", "wrong")


def main() -> int:
    """Live what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.lives", description="Lives of sequences.")
    parser.add_argument("--lives", type=int, default=5000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="other lives: another number")
    parser.add_argument("--shrink", action="store_true", help="look for a shorter life that goes wrong too")
    asked = parser.parse_args()
    begun_s = time.monotonic()
    try:
        found = lived(asked.lives, seed=asked.seed, shrink=asked.shrink)
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        return 1
    print(f"| {' | '.join(HEADS)} |\n|{' ---: |' * len(HEADS)}")
    cells = (
        f"{found.lives:,}",
        asked.seed,
        f"{found.deeds:,}",
        f"{found.got:,}",
        f"{time.monotonic() - begun_s:,.0f}",
        0,
    )
    print(f"| {' | '.join(map(str, cells))} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
