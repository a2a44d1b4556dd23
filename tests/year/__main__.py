"""Lives through a year with many people on both databases, and prints what happened as a Markdown table.

    python -m tests.year [--people N] [--seed N]

Exits 1 when anybody got anything else than each step once, in order, at its distance and in the hours of their day.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from sendctl.settings.store_url import normalise
from tests.postgres import PostgresServer, create_database
from tests.store.ground import lay
from tests.year.life import Life

HEADS = ("store", "people", "days", "passes", "deaths", "pauses", "same file again", "sent", "wrong", "minutes")


def main() -> int:
    """Live through both; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.year", description="A year of one sequence.")
    parser.add_argument("--people", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another year: another number")
    asked = parser.parse_args()
    print(f"| {' | '.join(HEADS)} |\n|{' --- |' * len(HEADS)}", flush=True)
    with ExitStack() as at_exit:
        url = os.environ.get("SENDCTL_TEST_PG_URL", "")
        if not url:
            server = PostgresServer()
            at_exit.callback(server.close)
            url = server.url()
        return int(any([_lived("sqlite", "", asked), _lived("postgres", create_database(url), asked)]))


def _lived(name: str, url: str, asked: argparse.Namespace) -> bool:
    """Print one line of the table; whether anything was wrong."""
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sendctl-year-") as folder, pytest.MonkeyPatch.context() as monkeypatch:
        ground = lay(Path(folder), normalise(url, Path(folder)) if url else f"sqlite:///{folder}/store.db")
        year = Life(ground, asked.people, random.Random(asked.seed), monkeypatch).live()
        ground.close()
    minutes = (time.monotonic() - begun_s) / 60
    cells = (name, f"{year.people:,}", year.days, f"{year.passes:,}", year.deaths, year.pauses, year.replays,
             f"{year.sent:,}", len(year.wrong), f"{minutes:.0f}")  # fmt: skip
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
    for problem in year.wrong[:20]:
        print(problem, file=sys.stderr)
    return bool(year.wrong)


if __name__ == "__main__":
    sys.exit(main())
