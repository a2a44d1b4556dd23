"""Lives through a year: people in three time zones join a sequence, and every few hours a pass runs, dies, or is held.

What is asked of it: everybody got each step once, in order, at its distance, in the hours of their own day.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from sendctl import faults
from sendctl.passes import control, reconcile
from sendctl.providers import registry
from sendctl.settings import ProviderTable
from tests.asked_provider import AskedProvider
from tests.store.ground import Ground
from tests.year.relay import Relay, Taken

BEGIN = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Sydney")  # their clocks change on six days of 2026
OPENS, CLOSES = time(8), time(20)
CAMPAIGN = 'window = "08:00-20:00"\ntimezone = "Europe/Berlin"'
DELAYS_D = (0, 1, 3, 7, 14, 30, 30, 45, 60)  # before each step
REMINDERS, REMINDER_D = 3, 10
POINTS = ("claim.before_commit", "claim.committed", "journal.begun", "journal.dotted", "journal.outcome",
          "settle.before_commit", "settle.committed", "run.before_finish", "run.finished")  # fmt: skip
JOIN_DAYS = 40


def steps() -> list[str]:
    """The sequence in the campaign file's words; each message's subject is its step."""
    made = []
    for number, days in enumerate(DELAYS_D):
        after = f'after = "{days}d"\n' if number else ""
        made.append(f'name = "s{number}"\n{after}subject = "s{number}"\ntext = "Hello {{{{ contact.first_name }}}}"\n')
    return [
        *made,
        f'name = "nudge"\nkind = "reminder"\nrepeat = {REMINDERS}\nafter = "{REMINDER_D}d"\n'
        'subject = "nudge"\ntext = "Hello {{ contact.first_name }}"\n',
    ]


EXPECTED = [*(f"s{number}" for number in range(len(DELAYS_D))), *["nudge"] * REMINDERS]
DISTANCES_D = (*DELAYS_D, *[REMINDER_D] * REMINDERS)


@dataclass
class Year:
    """What happened in it."""

    people: int
    passes: int = 0
    deaths: int = 0
    pauses: int = 0
    replays: int = 0
    days: int = 0
    sent: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Life:
    """One year over one ground. `dice` decide everything: the same seed is the same year."""

    ground: Ground
    people: int
    dice: random.Random
    monkeypatch: pytest.MonkeyPatch
    between_passes_h: float = 8.0  # at most

    def __post_init__(self) -> None:
        self.year = Year(self.people)
        self.relay = Relay(self.ground.clock, self.dice)
        self.joined = 0
        self.paused_until: datetime | None = None
        self.monkeypatch.setitem(
            registry._ADAPTERS, "year", lambda table, _environ: AskedProvider(table.name, self.relay)
        )
        self.ground.providers["primary"] = ProviderTable("primary", "year", {})
        self.ground.clock.now = BEGIN

    def live(self) -> Year:
        """Until the year is over and nobody waits any more."""
        clock = self.ground.clock
        while clock.now < BEGIN + timedelta(days=365) or self._waiting():
            assert clock.now < BEGIN + timedelta(days=600), "somebody waits for ever"
            self._hour()
            clock.forward(seconds=self.dice.uniform(0.5, self.between_passes_h) * 3600)
        self.year.days = (clock.now - BEGIN).days
        self.year.sent = len(self.relay.log)
        self.year.wrong = judged(self.relay.log, self.people) + self.ground.violations()
        return self.year

    def _hour(self) -> None:
        self._enqueue()
        self._hold_or_go_on()
        if self.dice.random() < 0.1:
            for attribute, value in (("_name", self.dice.choice(POINTS)), ("_action", "raise"),
                                     ("_left", self.dice.randint(1, 3))):  # fmt: skip
                self.monkeypatch.setattr(faults, attribute, value)
        try:
            self.ground.send_due()
            if self.dice.random() < 0.2:
                reconcile.run(self.ground.context)
                # Whom the relay knows is proven now: an operator may send to the others again.
                self.ground.recover(in_doubt="resend")
        except faults.InjectedFault:
            self.year.deaths += 1
        self.monkeypatch.setattr(faults, "_name", "")
        self.year.passes += 1

    def _enqueue(self) -> None:
        """More people as the weeks go by, and now and then the same file again."""
        due = min(self.people, round(self.people * (self.ground.clock.now - BEGIN) / timedelta(days=JOIN_DAYS)))
        if due <= self.joined and (not self.joined or self.dice.random() > 0.02):
            return
        self.year.replays += due <= self.joined
        self.joined = max(due, self.joined, 1)
        rows = (f"p{n:05}@x.example,P{n},{ZONES[n % 3]}\n" for n in range(self.joined))
        self.ground.enqueue(
            contacts="email,first_name,timezone\n" + "".join(rows), campaign=CAMPAIGN, steps=steps(),
            controls="max_attempts = 20\nbatch_size = 500",
        )  # fmt: skip

    def _hold_or_go_on(self) -> None:
        now = self.ground.clock.now
        if self.paused_until is not None and now >= self.paused_until:
            control.resume(self.ground.context, "sale")
            self.paused_until = None
        elif self.paused_until is None and self.joined and self.dice.random() < 0.01:
            control.pause(self.ground.context, "sale")
            self.paused_until = now + timedelta(hours=self.dice.uniform(1, 96))
            self.year.pauses += 1

    def _waiting(self) -> bool:
        return self.joined < self.people or bool(self.ground.states().keys() - {"sent"})


def judged(log: list[Taken], people: int) -> list[str]:
    """What the relay's log says against the sequence."""
    of: dict[str, list[Taken]] = defaultdict(list)
    for taken in log:
        of[taken.recipient].append(taken)
    wrong = [] if len(of) == people else [f"{len(of)} people were reached, not {people}"]
    for number in range(people):
        recipient = f"p{number:05}@x.example"
        wrong += [f"{recipient}: {problem}" for problem in _judged(of[recipient], ZoneInfo(ZONES[number % 3]))]
    return wrong


def _judged(got: list[Taken], zone: ZoneInfo) -> list[str]:
    names = [taken.subject for taken in got]
    if names != EXPECTED:
        return [f"got {', '.join(names)}"]
    late = [
        f"{taken.subject} came at {taken.at.astimezone(zone):%H:%M}"
        for taken in got if not OPENS <= taken.at.astimezone(zone).time() < CLOSES
    ]  # fmt: skip
    early = [
        f"{after.subject} came {after.at - before.at} after {before.subject}"
        for before, after, days in zip(got, got[1:], DISTANCES_D[1:], strict=False)
        if after.at - before.at < timedelta(days=days)
    ]
    return late + early
