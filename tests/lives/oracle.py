"""What must come of a life, in plain Python: what each person gets and when, and where they stand at every moment.

Written from docs/sequences.md alone. Imports nothing of sendctl.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tests.lives.life import Life, Step

HALF_AN_HOUR = timedelta(minutes=30)  # windows open and close, and clocks change, at halves and wholes
SUPPRESSING = ("unsubscribed", "bounced", "complained")
ORDER_DELAY = timedelta(hours=2)
EARLIER = timedelta(hours=9)


@lru_cache(maxsize=100_000)
def _is_open(moment: datetime, window: str, zone: str) -> bool:
    begin, end = (time.fromisoformat(text) for text in window.split("-"))
    local = moment.astimezone(ZoneInfo(zone)).time()
    return begin <= local < end if begin < end else local >= begin or local < end


def opening(moment: datetime, window: str | None, zone: str) -> datetime:
    """The first moment, this one or a half hour after it, at which a person's window is open: by looking at each."""
    if window is None or _is_open(moment, window, zone):
        return moment
    looked = moment.replace(minute=moment.minute // 30 * 30, second=0, microsecond=0) + HALF_AN_HOUR
    while not _is_open(looked, window, zone):
        looked += HALF_AN_HOUR
    return looked


class Spot(NamedTuple):
    """Where a step stands, or stood: one that was removed and is put back stands there `again`."""

    name: str
    again: int = 0


NOWHERE = Spot("")


@dataclass
class Person:
    """Where somebody stands. `state` of their message: queued, doubt (`reached`: they have it), failed or over."""

    zone: str
    status: str = "active"
    spot: Spot = NOWHERE
    time: int = 0  # which occurrence of it
    due: datetime | None = None
    expires: datetime | None = None
    since: datetime | None = None  # what the delay of their step counts from; None for the first
    follows: bool = False  # whether what was before their step was sent
    had: dict[str, int] = field(default_factory=dict)  # of each step, how many times
    state: str = "queued"
    tried: bool = False
    tried_at: datetime | None = None  # the last time
    reached: bool = False
    given_up: bool = False
    held_until: datetime | None = None  # it is not tried before
    suppressed: bool = False
    eligible_at: datetime | None = None
    got: list[tuple[str, datetime]] = field(default_factory=list)

    @property
    def place(self) -> tuple[str, str, int]:
        """What the ledger must say of them."""
        return self.status, self.spot.name, self.time


class Oracle:
    """Follows one life beside the world. `now` is the world's clock."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.steps = list(life.steps)
        self.order = [Spot(step.name) for step in life.steps]  # with those that were removed, where they stood
        self.before = self.steps  # the file before this one
        self.gone: dict[str, Step] = {}
        self.paused = False
        self.people = [Person(zone or "UTC") for zone in life.zones]
        self.fresh = 0

    # -- the file -------------------------------------------------------------------------------------------------

    def step(self, name: str) -> Step | None:
        return next((step for step in self.steps if step.name == name), None)

    def _at(self, spot: Spot) -> Step | None:
        """The step that stands there now."""
        newest = max((one for one in self.order if one.name == spot.name), default=spot)
        return self.step(spot.name) if spot == newest else None

    def _has(self, spot: Spot, occurrence: int) -> bool:
        step = self._at(spot)
        return step is not None and occurrence < step.repeat

    def _after(self, person: Person, *, sent: bool) -> tuple[Spot, int] | None:
        """Where somebody goes whose message is over: nobody is reminded of what was not sent, nor gets a step again."""
        if sent and self._has(person.spot, person.time + 1):
            return person.spot, person.time + 1
        for spot in self.order[self.order.index(person.spot) + 1 :]:
            step, first = self._at(spot), person.had.get(spot.name, 0)
            if step is not None and first < step.repeat and (sent or step.kind != "reminder"):
                return spot, first
        return None

    def _plan(self, person: Person, wanted: datetime) -> None:
        person.due = opening(wanted, self.life.window, person.zone)
        hours = self.life.expires_h
        person.expires = None if hours is None else person.due + timedelta(hours=hours)
        person.state, person.tried, person.held_until, person.given_up = "queued", False, None, False

    def _go_on(self, person: Person, at: datetime, *, sent: bool = True, earliest: datetime | None = None) -> None:
        following = self._after(person, sent=sent)
        if following is None:
            person.status, person.state, person.due = "completed", "over", None
            return
        person.spot, person.time = following
        person.status, person.since, person.follows = "active", at, sent
        step = self._at(person.spot)
        assert step is not None
        wanted = at + timedelta(hours=step.after_h)
        self._plan(person, wanted if earliest is None else max(wanted, earliest))

    def _skip(self, person: Person, now: datetime) -> None:
        """On as if their step had never been there, but not before now."""
        self._go_on(person, person.since or now, sent=person.follows, earliest=now)

    # -- what happens ---------------------------------------------------------------------------------------------

    def enrolled(self, now: datetime) -> None:
        for person in self.people:
            person.spot = self.order[0]
            person.eligible_at = now
            self._plan(person, now + ORDER_DELAY if self.life.by_orders else now)

    def send(self, now: datetime, fates: tuple[str, ...]) -> None:
        """One pass: each person has messages as long as one is due now."""
        for person, fate in zip(self.people, fates, strict=True):
            while not self.paused and self._is_due(person, now) and self._sent(person, fate, now):
                pass

    def _is_due(self, person: Person, now: datetime) -> bool:
        if person.state != "queued" or person.due is None:
            return False
        return max(person.due, person.held_until or person.due) <= now

    def _sent(self, person: Person, fate: str, now: datetime) -> bool:
        """What one claim makes of a message; whether to look again."""
        if person.suppressed:
            person.status, person.state = ("stopped" if person.status == "active" else person.status), "over"
        elif person.status in ("stopped", "cancelled"):
            person.state = "over"
        elif not self._has(person.spot, person.time):
            self._skip(person, now)
        elif person.expires is not None and person.expires <= now:
            self._go_on(person, now, sent=False)
        elif opening(now, self.life.window, person.zone) > now:
            person.held_until = opening(now, self.life.window, person.zone)
        else:
            return self._answered(person, fate, now)
        return True

    def _answered(self, person: Person, fate: str, now: datetime) -> bool:
        person.tried, person.tried_at = True, now
        if fate in ("accepted", "silent"):
            person.got.append((person.spot.name, now))
        if fate == "accepted":
            person.had[person.spot.name] = person.time + 1
            self._go_on(person, now)
            return True
        if fate == "refused":
            person.status, person.state = "failed", "failed"
        elif fate == "later":
            person.held_until = now + timedelta(minutes=59)  # at most; the world waits an hour at least
        else:
            person.state, person.reached = "doubt", fate == "silent"
        return False

    def pause(self, _now: datetime) -> None:
        self.paused = True

    def resume(self, _now: datetime) -> None:
        self.paused = False

    def wait(self, _now: datetime, _hours: int) -> None:
        """Time alone changes nothing."""

    def again(self, _now: datetime) -> None:
        """The same file adds nothing."""

    def reconcile(self, _now: datetime) -> None:
        """The relay is asked about what is in doubt: what it has was sent when it was tried."""
        for person in self.people:
            if person.state == "doubt" and person.reached:
                self._known_sent(person)
            if person.state == "queued" and person.status == "stopped":
                person.state = "over"

    def _known_sent(self, person: Person) -> None:
        person.state = "over"
        person.had[person.spot.name] = person.time + 1
        if person.status in ("active", "failed") and person.tried_at is not None:
            self._go_on(person, person.tried_at)

    def decide(self, now: datetime, choice: str) -> None:
        """An operator settles doubt: by proof where there is any, else by choice."""
        for person in self.people:
            if person.state != "doubt":
                continue
            if person.reached:
                self._known_sent(person)
            elif choice == "resend":
                person.state, person.held_until = "queued", now
            else:
                person.state, person.given_up = "failed", True
                person.status = "failed" if person.status == "active" else person.status

    def retry(self, now: datetime) -> None:
        """`recover --failed`: what failed without any doubt; what is in doubt is asked about as well."""
        for person in self.people:
            if person.state == "doubt" and person.reached:
                self._known_sent(person)
            elif person.state == "failed" and not person.given_up and person.status != "stopped":
                person.state, person.held_until = "queued", now
                person.status = "active" if person.status == "failed" else person.status

    def event(self, _now: datetime, number: int, kind: str) -> None:
        person = self.people[number]
        reminds = any(step.kind == "reminder" for step in self.steps)
        if kind in ("unsubscribed", "complained", "bounced") or (kind == "submitted" and reminds):
            self._end(person)
        if kind in SUPPRESSING:
            person.suppressed = True

    def _end(self, person: Person) -> None:
        if person.status in ("active", "failed"):
            person.status = "stopped"
        if person.state == "queued":
            person.state = "over"

    def suppress(self, _now: datetime, number: int) -> None:
        person = self.people[number]
        person.suppressed = True
        if person.state == "queued":
            person.state = "over"
            person.status = "stopped" if person.status == "active" else person.status

    def refund(self, _now: datetime, number: int) -> None:
        if self.life.by_orders:
            self._end(self.people[number])

    def earlier(self, _now: datetime, number: int) -> None:
        """An older event of the same order comes in late: the first message counts from it, if nobody has tried it."""
        person = self.people[number]
        if not self.life.by_orders or person.eligible_at is None:
            return
        at = person.eligible_at - EARLIER
        person.eligible_at = at
        if person.state == "queued" and person.since is None and not person.tried and person.spot == self.order[0]:
            self._plan(person, at + ORDER_DELAY)

    def change(self, now: datetime, steps: tuple[Step, ...]) -> None:
        """The campaign file has other steps by now."""
        before = {step.name: step for step in self.steps}
        stands = {spot.name: spot for spot in sorted(self.order)}
        for place, step in enumerate(steps):
            if step.name not in before:
                following = next((stands[later.name] for later in steps[place + 1 :] if later.name in before), None)
                was = stands.get(step.name)
                spot = Spot(step.name, was.again + 1 if was else 0)
                self.order.insert(len(self.order) if following is None else self.order.index(following), spot)
        self.before, self.steps = self.steps, list(steps)
        self.gone |= {name: step for name, step in before.items() if self.step(name) is None}
        for person in self.people:
            if person.state != "queued" or person.status != "active":
                continue
            if not self._has(person.spot, person.time):
                self._skip(person, now)
                continue
            old, new = before[person.spot.name], self._at(person.spot)
            assert new is not None
            waits = person.since is not None and person.due is not None and person.due > now and not person.tried
            if new.after_h != old.after_h and waits and person.since is not None:
                self._plan(person, max(person.since + timedelta(hours=new.after_h), now))


def changed(oracle: Oracle, kind: str, place: int, hours: int) -> tuple[Step, ...]:
    """The steps of the next file, after a change at a place; the first step stays."""
    oracle.fresh += 1
    steps, gone = tuple(oracle.steps), sorted(name for name in oracle.gone if oracle.step(name) is None)
    place = 1 + (place - 1) % max(1, len(steps) - 1)
    if kind == "undo":
        return tuple(oracle.before)
    if kind == "back" and gone:
        return (*steps[:place], oracle.gone[gone[hours % len(gone)]], *steps[place:])
    if kind == "add" or place >= len(steps):
        return (*steps[:place], Step(f"n{oracle.fresh}", "drip", hours), *steps[place:])
    step = steps[place]
    if kind == "remove":
        return steps[:place] + steps[place + 1 :]
    if kind == "rename":
        return (*steps[:place], replace(step, name=f"n{oracle.fresh}"), *steps[place + 1 :])
    if kind == "repeat" and step.kind == "reminder":
        return (*steps[:place], replace(step, repeat=1 + step.repeat % 3), *steps[place + 1 :])
    return (*steps[:place], replace(step, after_h=hours), *steps[place + 1 :])
