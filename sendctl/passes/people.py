"""What protects a person from too much: the frequency cap and the least distance over all marketing campaigns.

Asked in the transaction of the claim, which is the reservation. Transactional campaigns are neither asked nor counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from sendctl.calendar import Calendar
from sendctl.durations import Rate, format_duration
from sendctl.passes.deciding import Desk
from sendctl.settings import LimitsSettings
from sendctl.store import holds, touches
from sendctl.store.claims import Due
from sendctl.store.holds import Held, Why
from sendctl.store.touches import Touch

MARKETING = "marketing"
_HOURS = timedelta(days=2)  # that hours of the day can add, over a change of the clock
_SPANS = {3600: "hour", 86400: "day", 7 * 86400: "week", 30 * 86400: "30 days"}


@dataclass
class Sifted:
    """The messages of a window: those that may go, and how many were held back, or must wait for another claim."""

    going: list[Due] = field(default_factory=list)
    held: int = 0
    busy: int = 0


def sift(desk: Desk, connection: Connection, calendar: Calendar, dues: Sequence[Due]) -> Sifted:
    """Let wait who has had enough; the claim of the others, in the same transaction, is what the next claim counts."""
    limits = desk.context.settings.limits
    if not (limits.counts and dues and calendar.definition.purpose == MARKETING):
        return Sifted(list(dues))
    free = touches.hold_people(connection, (due.contact_id for due in dues))
    found = _touches(desk, connection, limits, free)
    sifted, held = Sifted(), list[Held]()
    taken = dict[int, tuple[int, int, int]]()  # who gets something by this window, and which place of theirs
    for due in dues:
        if due.contact_id not in free or taken.get(due.contact_id, _place(due)) != _place(due):
            sifted.busy += 1  # not put off: it is not certain yet that the other one is claimed
            continue
        others = [touch.at for touch in found[due.contact_id] if touch[1:4] != _place(due)]
        until, why = free_at(others, desk.now, limits)
        if until <= desk.now:
            taken[due.contact_id] = _place(due)
            sifted.going.append(due)
        else:
            held.append(_held(due, until, why, calendar, limits))
    holds.hold(connection, held, desk.now)
    sifted.held = len(held)
    return sifted


def is_free(desk: Desk, connection: Connection, calendar: Calendar, due: Due) -> bool:
    """Whether somebody may be sent to at this moment, by what they have been sent besides."""
    limits = desk.context.settings.limits
    if not (limits.counts and calendar.definition.purpose == MARKETING):
        return True
    found = _touches(desk, connection, limits, {due.contact_id})[due.contact_id]
    return free_at([touch.at for touch in found if touch[1:4] != _place(due)], desk.now, limits)[0] <= desk.now


def _place(due: Due) -> tuple[int, int, int]:
    return due.enrollment_id, due.step_index, due.occurrence


def _touches(
    desk: Desk, connection: Connection, limits: LimitsSettings, people: set[int]
) -> Mapping[int, list[Touch]]:  # fmt: skip
    since = desk.now - timedelta(seconds=limits.reach_s)
    counted = [
        campaign_id for campaign_id, revision in touches.campaigns_since(connection, since)
        if desk.definition(connection, campaign_id, revision).purpose == MARKETING
    ]  # fmt: skip
    found: dict[int, list[Touch]] = defaultdict(list)
    for touch in touches.of_people(connection, counted, people, since):
        found[touch.contact_id].append(touch)
    return found


def free_at(moments: Sequence[datetime], now: datetime, limits: LimitsSettings) -> tuple[datetime, Why]:
    """From when on somebody may be sent to who was sent to at these moments, and what keeps it until then."""
    latest = sorted(moments, reverse=True)
    until, why = now, Why.DISTANCE
    if limits.distance_s and latest:
        until = max(until, latest[0] + timedelta(seconds=limits.distance_s))
    cap = limits.per_person
    if cap is not None and len(latest) >= cap.count:
        of_cap = latest[cap.count - 1] + timedelta(seconds=cap.per_s)
        if of_cap > until:
            until, why = of_cap, Why.FREQUENCY_CAP
    return until, why


def _held(due: Due, until: datetime, why: Why, calendar: Calendar, limits: LimitsSettings) -> Held:
    """Not beyond its expiry: what expires then ends at its time, and its sequence goes on."""
    opens = calendar.opening(until, due.timezone)
    until = opens if due.expires_at is None else min(opens, due.expires_at)
    what = f"the distance of {format_duration(limits.distance_s)}"
    if why is Why.FREQUENCY_CAP and limits.per_person is not None:
        what = f"the frequency cap of {format_cap(limits.per_person)}"
    expires = ", when it expires" if until < opens else ""
    return Held(due.id, until, why, f"held by {what} until {until:%Y-%m-%d %H:%M}Z{expires}")


def format_cap(cap: Rate) -> str:
    """`3 a week`."""
    span = _SPANS.get(cap.per_s, format_duration(cap.per_s))
    return f"{cap.count} {'an' if span == 'hour' else 'in' if span[0].isdigit() else 'a'} {span}"


def ask_again(desk: Desk, connection: Connection) -> int:
    """What is held for longer than [limits] can hold it: they were loosened since. Returns how many messages."""
    limits = desk.context.settings.limits
    of_caps = desk.now + timedelta(seconds=limits.reach_s) + _HOURS if limits.counts else desk.now
    of_quiet = desk.now + _HOURS if limits.quiet is not None else desk.now
    found = holds.ask_again(connection, (Why.FREQUENCY_CAP, Why.DISTANCE), of_caps, desk.now)
    return found + holds.ask_again(connection, (Why.QUIET_HOURS,), of_quiet, desk.now)
