"""Cron-like passes of the real program, killed with SIGKILL at random moments; then the accounts are put right.

    python -m tests.crash.storm --store sqlite|postgres --contacts 20000 --kills 50 --passes 4 --connections 10

Prints what the judge accepted and what sendctl says, and exits 1 if anybody got two messages, or none without being
listed. `--seed` repeats the choice of moments, not the scheduling of the machine.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.accounts import Settlement, account, settle, settle_doubt
from tests.crash.launcher import ROOT
from tests.crash.world import World, environment, write_settings, write_world
from tests.postgres import PostgresServer, create_database
from tests.smtp_double import start_smtp_double

STARTING_S = 1.5  # one kill in five comes at some moment of this span, whatever has been sent
BATCH_SIZE = 100
MANY_KILLS = 20
LATENCY_MS = 5.0  # the judge's reply to a dot: messages are in flight whenever a kill comes


@dataclass(frozen=True, slots=True)
class Plan:
    """How many people, kills, overlapping passes, and connections of each worker."""

    contacts: int
    kills: int
    passes: int = 1
    connections: int = 10
    workers: int = 1
    seed: int = 0


@dataclass
class Storm:
    """One run of it. `hits` counts the kills that ended a process of a running send-due."""

    plan: Plan
    world: World
    chance: random.Random
    hits: int = 0
    shots: int = 0
    passes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _seen: int = 0
    _read_bytes: int = 0

    def rage(self) -> None:
        """Keep the passes going and kill one at each chosen moment, until as many kills as planned have hit."""
        for accepted, at_s in self._moments():
            while self.accepted() < accepted or time.monotonic() < at_s:
                self._start_missing()
                time.sleep(self.chance.uniform(0.0, 0.01))
            self._shoot()
            if self.hits == self.plan.kills:
                break
        for each in self.passes:
            each.wait()

    def _moments(self) -> Iterator[tuple[int, float]]:
        """(messages accepted, time) from which on to kill: all over the campaign, some while a pass starts up."""
        aims = sorted(int(self.chance.uniform(0, 0.97 * self.plan.contacts)) for _ in range(self.plan.kills))
        while True:
            if self.chance.random() < 0.2:
                yield 0, time.monotonic() + self.chance.uniform(0.0, STARTING_S)
            else:
                yield aims.pop(0) if aims else 0, 0.0

    def accepted(self) -> int:
        """How many messages the judge has accepted so far."""
        more, self._read_bytes = self.world.judge.accepted_after(self._read_bytes)
        self._seen += len(more)
        return self._seen

    def _start_missing(self) -> None:
        codes = {each.poll() for each in self.passes}
        if codes - {None, 0, 3, 75, -signal.SIGKILL}:
            raise SystemExit(f"passes ended with {codes}: see {self.world.folder}/commands.log")
        self.passes = [each for each in self.passes if each.returncode is None]
        while len(self.passes) < self.plan.passes:
            self.passes.append(self.program("send-due"))

    def _shoot(self) -> None:
        """Kill a pass, or one of its workers."""
        self._start_missing()
        victim = self.chance.choice(self.passes)
        target = self.chance.choice([victim.pid, *_workers(victim.pid)])
        self.shots += 1
        try:
            os.kill(target, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.hits += target != victim.pid or victim.wait() == -signal.SIGKILL

    def program(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the real program, as cron does."""
        command = [sys.executable, "-m", "sendctl", "--config", str(self.world.folder / "sendctl.toml"), "-q"]
        with (self.world.folder / "commands.log").open("ab") as log:
            return subprocess.Popen(
                [*command, *arguments], cwd=ROOT, env=self.world.environ, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def must(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
        """Run a command to its end. Raises SystemExit when its exit code is another."""
        code = self.program(*arguments).wait()
        if code not in codes:
            raise SystemExit(f"{arguments[0]} ended with {code}: see {self.world.folder}/commands.log")


def _workers(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def run(plan: Plan, store_url: str, folder: Path) -> bool:
    """The whole of it, in an empty folder and an empty store; True when nobody was lost or sent to twice."""
    with start_smtp_double(folder, latency_ms=LATENCY_MS) as judge:
        write_settings(folder, judge.port, connections=plan.connections)
        write_world(folder, contacts=plan.contacts, batch_size=BATCH_SIZE)
        environ = environment(store_url, folder) | {"SENDCTL_SEND_WORKERS": str(plan.workers)}
        storm = Storm(plan, World(folder, environ, judge), random.Random(plan.seed))
        storm.must("migrate")
        storm.must("enqueue", str(folder / "campaign.toml"), "--contacts", str(folder / "contacts.csv"))
        begun_s = time.monotonic()
        storm.rage()
        settle(storm.world, storm.must)
        sound = _print_account(storm, time.monotonic() - begun_s)
        return _print_settlement(storm, settle_doubt(storm.world, storm.must, connections=plan.connections)) and sound


def _print_account(storm: Storm, took_s: float) -> bool:
    found, plan = account(storm.world), storm.plan
    doubts = [death.in_doubt for death in storm.world.deaths()]
    bound = plan.connections * plan.workers
    print(f"kills           {storm.shots}, of which {storm.hits} hit a running send-due")
    print(f"dead runs       {len(doubts)} taken up by later commands; the others had no run yet, or shared one")
    print(f"accepted        {found.accepted:,} by the judge, for {plan.contacts:,} people")
    print(f"duplicates      {found.duplicates}")
    print(f"lost            {found.lost}")
    print(f"sent            {found.counts['sent']:,}, of which not accepted: {found.untrue}")
    print(f"in doubt        {found.counts['in_doubt']}; most by one kill {max(doubts, default=0)}, connections {bound}")
    print(f"  by dead run   {dict(sorted(Counter(doubts).items()))}")
    print(f"time            {took_s:.1f} s", flush=True)
    empty = plan.kills >= MANY_KILLS and not sum(doubts)  # so many that hit nothing in flight have tested nothing
    return not found.broken and max(doubts, default=0) <= bound and not empty


def _print_settlement(storm: Storm, settled: Settlement) -> bool:
    last, planned = settled.last, storm.plan.contacts
    states = " + ".join(f"{number:,} {state}" for state, number in sorted(last.counts.items()))
    print(f"proven by log   {settled.in_doubt - settled.by_choice} of {settled.in_doubt} in doubt are sent")
    print(f"by choice       {settled.by_choice} sent again")
    print(f"in the end      {planned:,} planned = {states}; accepted {last.accepted:,}, "
          f"duplicates {last.duplicates}, lost {last.lost}")  # fmt: skip
    return not last.broken and last.counts["sent"] == planned


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--contacts", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--passes", type=int, default=1, help="how many overlap at any time")
    parser.add_argument("--connections", type=int, default=10, help="of each worker")
    parser.add_argument("--workers", type=int, default=1, help="of each pass")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = vars(parser.parse_args())
    store = given.pop("store")
    print(f"storm           {store}, " + ", ".join(f"{name} {value}" for name, value in given.items()), flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sendctl-storm-")))
        store_url = f"sqlite:///{folder}/store.db"
        if store == "postgres":
            server = PostgresServer()
            stack.callback(server.close)
            store_url = create_database(server.url())
        return 0 if run(Plan(**given), store_url, folder) else 1


if __name__ == "__main__":
    sys.exit(main())
