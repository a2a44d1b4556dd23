"""The wall clock set forwards and backwards by hours, and the nights on which it is changed, with real passes.

The clock is the one that every pass is given (sendctl/clock.py): on SQLite rows, claims and dues follow it, on Postgres
too, since a store that is given a clock asks it. Journals, the judge and the boot-time clock keep the machine's.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sendctl.clock import SystemClock
from sendctl.errors import SendctlError
from sendctl.passes import enqueue as enqueuing
from sendctl.passes import reconcile, send_due
from sendctl.passes.context import Context
from sendctl.settings import load_settings
from tests.crash.accounts import account, must
from tests.crash.mail_log import write_mail_log
from tests.crash.world import World, write_settings
from tests.faults.ground import Line, new_ground
from tests.faults.traffic import VERBS

FARTHEST_H = 30.0
JUMP_CHANCE = 0.02  # each time that anybody asks for the time
ZONES = ("Europe/Berlin", "America/New_York")
# Changed on 8 March and 1 November in New York, on 29 March and 25 October in Berlin. Source: tzdata 2025b.
NIGHTS = ("2026-03-07", "2026-03-28", "2026-10-24", "2026-10-31")
WINDOWS = (("08:00", "20:00"), ("01:30", "03:30"), ("22:00", "02:30"))
STEP = timedelta(minutes=20)
LETTERS = """\
[campaign]
name = "crash"
purpose = "transactional"
from = "Shop <news@shop.example>"
window = "{window}"

[controls]
rate = "12/h"

[[steps]]
name = "letter"
subject = "A letter"
text = "Only once."
"""


@dataclass
class JumpingClock(SystemClock):
    """The machine's clocks, the wall clock set wrong again and again."""

    chance: random.Random
    offset_h: float = 0.0
    jumps: int = 0
    still: bool = False

    def utc_now(self) -> datetime:
        if not self.still and self.chance.random() < JUMP_CHANCE:
            self.offset_h, self.jumps = self.chance.uniform(-FARTHEST_H, FARTHEST_H), self.jumps + 1
        return super().utc_now() + timedelta(hours=self.offset_h)


@dataclass
class SetClock(SystemClock):
    """A wall clock that stands where it is set."""

    at: datetime

    def utc_now(self) -> datetime:
        return self.at


# -- jumps --------------------------------------------------------------------------------------------------------


def jumps(store_url: str, people: int, kills: int, seed: int = 0) -> Line:
    """Passes one after the other under a jumping clock, some killed; at the end it stands behind every due time."""
    begun_s, chance = time.monotonic(), random.Random(seed)
    line = Line("the wall clock jumps by hours", "postgres" if store_url else "sqlite", "passes")
    with new_ground(store_url, contacts=people, latency_ms=5.0) as world:
        aims = sorted(chance.randrange(people) for _ in range(kills))
        killed = 0
        while world.accepted().total() < 0.9 * people:
            pid = _forked_pass(world, chance.randrange(1 << 30))
            killed += _killed_at(world, pid, aims)
            line.hits += 1
        done = JumpingClock(chance, 2 * FARTHEST_H, still=True)
        while _pass(_context(world, done)) or world.counts()["queued"] or world.counts()["sending"]:
            done.offset_h += 1.0
        reconcile.run(_context(world, done))
        line.add(account(world))
        _ask_the_log(world, line, done)
        line.people, line.in_doubt, line.note = people, world.counts()["in_doubt"], f"{killed} kills"
    line.seconds = time.monotonic() - begun_s
    return line


def _context(world: World, clock: SystemClock) -> Context:
    settings = load_settings(world.folder / "sendctl.toml", world.environ, world.folder)
    return Context(settings, world.environ, clock)


def _forked_pass(world: World, seed: int) -> int:
    pid = os.fork()
    if pid == 0:
        clock = JumpingClock(random.Random(seed))
        clock.offset_h = clock.chance.uniform(-FARTHEST_H, FARTHEST_H)
        os._exit(_pass(_context(world, clock)))
    return pid


def _pass(context: Context) -> int:
    """0, or the exit code of the trouble that ended it."""
    try:
        send_due.run(context, max_seconds=5.0)
    except SendctlError as error:
        return int(error.exit_code)
    finally:
        context.store.close()
    return 0


def _killed_at(world: World, pid: int, aims: list[int]) -> bool:
    """Wait for a pass; kill it when as many as aimed at are accepted."""
    while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if aims and world.accepted().total() >= aims[0]:
            aims.pop(0)
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def _ask_the_log(world: World, line: Line, clock: SystemClock) -> None:
    """A log whose times and the store's have nothing in common may prove an acceptance, and must prove no absence."""
    write_mail_log(world.folder / "mail.log", world.judge.accepted())
    write_settings(world.folder, world.judge.port, extra='[reconcile]\nmta = "postfix"\nmta_logs = ["mail.log"]\n')
    must(world, *VERBS["recover"], codes=(0, 3))
    _pass(_context(world, clock))
    line.duplicates = max(line.duplicates, len(world.duplicates()))
    world.assert_sound()


# -- the nights on which the clocks are changed ---------------------------------------------------------------------


@dataclass
class Night:
    """One window over three days around a change, a pass every twenty minutes, people of two zones."""

    world: World
    line: Line
    opens: str
    closes: str
    sent: Counter[str] = field(default_factory=Counter)
    _read_bytes: int = 0

    def pass_at(self, at: datetime) -> None:
        """One pass; whoever is accepted in it must be inside of the window where he lives."""
        _pass(_context(self.world, SetClock(at)))
        rows, self._read_bytes = self.world.judge.accepted_after(self._read_bytes)
        for row in rows:
            self.sent[row["rcpt"]] += 1
            local = at.astimezone(ZoneInfo(ZONES[int(row["rcpt"][6 : row["rcpt"].index("@")]) % 2])).strftime("%H:%M")
            overnight = self.opens > self.closes
            inside = local >= self.opens, local < self.closes
            if not (any(inside) if overnight else all(inside)):
                self.line.wrong.append(f"{row['rcpt']} got it at {local} ({at}), window {self.opens}-{self.closes}")


def nights(
    people: int, days: tuple[str, ...] = NIGHTS, windows: tuple[tuple[str, str], ...] = WINDOWS
) -> Line:  # fmt: skip
    """All windows on each night, in a SQLite store of its own."""
    begun_s = time.monotonic()
    line = Line("the clocks are changed", "sqlite", "passes")
    for day in days:
        for opens, closes in windows:
            _night(line, day, opens, closes, people)
    line.note = f"{len(days)} nights, {len(windows)} windows, {' and '.join(ZONES)}"
    line.seconds = time.monotonic() - begun_s
    return line


def _night(line: Line, day: str, opens: str, closes: str, people: int) -> None:
    with new_ground("", contacts=people, enqueued=False) as world:
        (world.folder / "campaign.toml").write_text(LETTERS.format(window=f"{opens}-{closes}"))
        rows = [f"person{number}@example.com,{ZONES[number % 2]}" for number in range(people)]
        (world.folder / "contacts.csv").write_text("\n".join(["email,timezone", *rows]) + "\n")
        at = datetime.fromisoformat(f"{day}T18:00:00").replace(tzinfo=UTC)
        context = _context(world, SetClock(at))
        enqueuing.run(context, world.folder / "campaign.toml", contacts=world.folder / "contacts.csv")
        context.store.close()
        night = Night(world, line, opens, closes)
        for number in range(int(timedelta(days=4) / STEP)):
            if night.sent.total() < people:
                night.pass_at(at + number * STEP)
                line.hits += 1
        line.people += people
        line.add(account(world))
