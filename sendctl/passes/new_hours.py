"""What a changed campaign file says of hours, of how long a message lives and of the start, for who is under way.

The steps themselves are the matter of passes/revising.py; the rules are in docs/sequences.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from sendctl.calendar import Calendar, Slot
from sendctl.definition import Definition, Window
from sendctl.durations import format_duration
from sendctl.passes.accounts import Shares
from sendctl.store import audit, replanning
from sendctl.store.id_set import IdSet
from sendctl.store.replanning import Lifetime, Moved, Waiting

_HOURS = ("window", "timezone", "purpose")  # marketing has quiet hours


@dataclass
class _Found:
    """People who wait, by what becomes of them."""

    moved: IdSet
    aged: IdSet


def apply(
    connection: Connection, campaign_id: int, before: Definition, calendar: Calendar, shares: Shares, now: datetime
) -> list[str]:
    """Plan for the hours and the lifetime of a new revision; what it means in words. The caller holds the campaign."""
    after = calendar.definition
    hours = [key for key in _HOURS if getattr(before, key) != getattr(after, key)]
    life = before.expires_after_s != after.expires_after_s
    found = _Found(IdSet(), IdSet())
    if hours or life:
        known = _known_moment(connection, campaign_id, before, calendar)
        for some in replanning.waiting(connection, campaign_id):
            _plan(connection, some, calendar, shares, now, known, hours=bool(hours), life=life, found=found)
    notes = [
        f"{key} is {_hours(getattr(after, key))} instead of {_hours(getattr(before, key))}: another moment for"
        f" {people(len(found.moved))} under way; who is due already, or was tried, waits at most for an opening"
        for key in hours
    ]
    if life:
        was, now_is = _life(before), _life(after)
        notes.append(f"expires_after is {now_is} instead of {was}: also for {people(len(found.aged))} under way")
    return notes + _of_start(connection, campaign_id, before, after) + _of_kinds(connection, campaign_id, before, after)


def _plan(
    connection: Connection, some: Sequence[Waiting], calendar: Calendar, shares: Shares, now: datetime, known: _Known,
    *, hours: bool, life: bool, found: _Found,
) -> None:  # fmt: skip
    moved, aged = list[Moved](), list[Lifetime]()
    for item in some:
        due_at = _moment(item, calendar, now, known) if hours else item.due_at
        kept = item.expires_at and item.expires_at + (due_at - item.due_at)
        slot = Slot(due_at, calendar.expiry(due_at) if life else kept)
        if slot.due_at != item.due_at:
            moved.append(Moved(item.id, item.enrollment_id, *slot))
            found.moved.add(item.enrollment_id)
        elif slot.expires_at != item.expires_at:
            aged.append(Lifetime(item.id, slot.expires_at))
        if life:
            found.aged.add(item.enrollment_id)
    shares.move(connection, moved)
    replanning.live(connection, aged, now)


_Known = Callable[[Waiting], datetime | None]


def _known_moment(connection: Connection, campaign_id: int, before: Definition, calendar: Calendar) -> _Known:
    """For when a first message was wanted: known of a letter, by its file and by who has moved it.

    Not what does not lead to where it stands. Of what does the latest: it never goes before an operator's word.
    """
    was, after = replace(calendar, definition=before), calendar.definition
    if not after.is_letter:
        return lambda _item: None
    said = (before.start_at, after.start_at, audit.moment_named(connection, campaign_id))
    wanted = sorted(moment for moment in said if moment is not None)
    return lambda item: next(
        (one for one in reversed(wanted) if was.slot(one, item.timezone).due_at == item.due_at), None
    )  # fmt: skip


def _moment(item: Waiting, calendar: Calendar, now: datetime, known: _Known) -> datetime:
    """As if the file had always said so, but not before now; of most first messages it is not known what was wanted."""
    if item.attempts or item.due_at <= now:
        return item.due_at
    if item.advanced_at is None:
        return calendar.opening(max(known(item) or item.due_at, now), item.timezone)
    return calendar.after(item.step_index, item.advanced_at, item.timezone, earliest=now).due_at


# -- in words -----------------------------------------------------------------------------------------------------


def _of_start(connection: Connection, campaign_id: int, before: Definition, after: Definition) -> list[str]:
    if before.start_at == after.start_at or after.is_letter:
        return []
    waiting = people(replanning.count_at(connection, campaign_id, after.numbers[0]))
    how = "" if after.trigger else " (`sendctl reschedule` moves them as long as nothing was tried)"
    return [
        f"start_at is {_moment_of(after.start_at)} instead of {_moment_of(before.start_at)}: for people who are added"
        f" from now on; not for {waiting} at the first step{how}"
    ]


def _of_kinds(connection: Connection, campaign_id: int, before: Definition, after: Definition) -> list[str]:
    notes = []
    for number in after.numbers:
        if number not in before.numbers:
            continue
        was, step = before.step(number), after.step(number)
        here = people(replanning.count_at(connection, campaign_id, number))
        if was.kind != step.kind:
            kinds = f"a {step.kind} instead of a {was.kind}"
            notes.append(f"step {step.name} is {kinds}: from now on, also for {here} at it, whom that does not move")
        if step.repeat > was.repeat:
            times = f"comes {step.repeat} times at most instead of {was.repeat}"
            notes.append(f"step {step.name} {times}: for {here} still at it")
    return notes


def people(count: int) -> str:
    """`1 person`, `1,200 people`."""
    return "1 person" if count == 1 else f"{count:,} people"


def _hours(value: Window | str | None) -> str:
    if isinstance(value, Window):
        return f"{value.start:%H:%M}-{value.end:%H:%M}"
    return value or "the whole day"


def _life(definition: Definition) -> str:
    return "never" if definition.expires_after_s is None else format_duration(definition.expires_after_s)


def _moment_of(moment: datetime | None) -> str:
    return "the enqueue" if moment is None else f"{moment:%Y-%m-%d %H:%M}Z"
