"""A changed campaign file meets the people who are under way in it: what becomes of each, by fixed rules.

Nobody goes back, nothing is repeated. A step is known by its name. One that is new reaches those who have not passed
its place; who waited for one that is removed goes on with the step after it; who waits for one that is re-timed waits
from the same moment on. Nothing becomes due before the change. docs/sequences.md has the rules in full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.engine import Connection

from sendctl.calendar import Calendar
from sendctl.definition import Definition, renumbered
from sendctl.durations import format_duration
from sendctl.errors import BadInput
from sendctl.passes import new_hours
from sendctl.passes.accounts import Shares
from sendctl.passes.new_hours import people
from sendctl.store import claims, ledger, loading, places, replanning
from sendctl.store.campaigns import Campaign
from sendctl.store.id_set import IdSet
from sendctl.store.places import Advancing, Over
from sendctl.store.replanning import Moved, Waiting


@dataclass(frozen=True, slots=True)
class StepChanges:
    """How the steps of two revisions differ. The definitions have their numbers."""

    before: Definition
    after: Definition
    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    retimed: tuple[int, ...] = ()
    shortened: tuple[int, ...] = ()  # fewer occurrences

    @property
    def reach_people(self) -> bool:
        return bool(self.added or self.removed or self.retimed or self.shortened)


@dataclass
class Replanned:
    """What became of waiting messages: how many were due at another time, by step, and how many were cancelled."""

    moved: Counter[int] = field(default_factory=Counter)
    cancelled: Counter[int] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def compared(
    before: Definition, file: Definition, place_of: Callable[[int], str] = lambda _index: "", *,
    names: Mapping[int, str] | None = None,
) -> StepChanges:  # fmt: skip
    """The changes that a file makes, with its steps numbered; `names` are those of all numbers so far.

    Raises BadInput for those that have no rule.
    """
    if file.steps[0].name != before.steps[0].name:
        raise BadInput(
            f"the first step of campaign {file.name} is {before.steps[0].name}; the file begins with"
            f" {file.steps[0].name}",
            place=place_of(0),
            hint="everybody begins with the same step: it can change, not go or be preceded. Make a new campaign.",
        )
    try:
        after = renumbered(before, file, names)
    except ValueError as problem:
        later, earlier = problem.args
        raise BadInput(
            f"steps of campaign {file.name} have changed places: {later} stood before {earlier}",
            place=place_of([step.name for step in file.steps].index(later)),
            hint="steps can be added, removed and re-timed; for another order make a new campaign.",
        ) from None
    both = [number for number in after.numbers if number in before.numbers]
    return StepChanges(
        before, after,
        added=tuple(number for number in after.numbers if number not in before.numbers),
        removed=tuple(number for number in before.numbers if number not in after.numbers),
        retimed=tuple(number for number in both if before.step(number).after_s != after.step(number).after_s),
        shortened=tuple(number for number in both if after.step(number).repeat < before.step(number).repeat),
    )  # fmt: skip


def apply(
    connection: Connection, campaign_id: int, changes: StepChanges, calendar: Calendar, shares: Shares, *, secret: str,
    now: datetime,
) -> Replanned:  # fmt: skip
    """Plan anew for everybody under way, by the calendar of what is said now. The caller holds the campaign, and has
    made the revision. Who is moved keeps their share of its account within its period.
    """
    found = Replanned()
    touched = {*changes.removed, *changes.retimed, *changes.shortened}
    if touched:
        counting = _Counting(double=len(changes.after.channels) > 1)
        for some in replanning.waiting(connection, campaign_id, sorted(touched)):
            gone = [item for item in some if not changes.after.has_place(item.step_index, item.occurrence)]
            _drop(connection, gone, calendar, secret, now)
            found.cancelled.update(counting.people(gone))
            kept = [item for item in some if item not in gone and item.step_index in changes.retimed]
            found.moved.update(counting.people(_retime(connection, kept, calendar, shares, now)))
    found.notes = _notes(connection, campaign_id, changes, found)
    found.notes += new_hours.apply(connection, campaign_id, changes.before, calendar, shares, now)
    return found


class _Counting:
    """Counts people by step, once each: of a campaign with two channels somebody may wait with two messages."""

    def __init__(self, *, double: bool) -> None:
        self._seen = IdSet() if double else None

    def people(self, items: Sequence[Waiting]) -> list[int]:
        """The step of each person who was not counted before."""
        return [item.step_index for item in items if self._seen is None or self._seen.add(item.enrollment_id)]


def _drop(connection: Connection, gone: Sequence[Waiting], calendar: Calendar, secret: str, now: datetime) -> None:
    """Cancel messages that have no place any more; their people go on with the next step."""
    ledger.move(connection, "cancel", [{"id": item.id} for item in gone], claimed=False, now=now)
    dues = claims.by_id(connection, [item.id for item in gone])
    overs = [Over(dues[item.id], now, "dropped") for item in gone]
    campaigns = {due.campaign_id for due in dues.values()}
    places.conclude(connection, overs, Advancing(dict.fromkeys(campaigns, calendar), secret), now)


def _retime(
    connection: Connection, kept: Sequence[Waiting], calendar: Calendar, shares: Shares, now: datetime
) -> list[Waiting]:  # fmt: skip
    """Let untried messages that are not due yet wait as long as the step says now; returns those."""
    moving, moved = [], []
    for item in kept:
        if item.attempts or item.advanced_at is None or item.due_at <= now:
            continue
        slot = calendar.after(item.step_index, item.advanced_at, item.timezone, earliest=now)
        moving.append(Moved(item.id, item.enrollment_id, *slot))
        moved.append(item)
    shares.move(connection, moving)
    return moved


# -- in words -----------------------------------------------------------------------------------------------------


def _notes(connection: Connection, campaign_id: int, changes: StepChanges, found: Replanned) -> list[str]:
    before, after = changes.before, changes.after
    notes = []
    for number in changes.removed:
        name, waited = before.step(number).name, people(found.cancelled.get(number, 0))
        notes.append(f"step {name} is removed: skipped by {waited} who waited for it")
    for number in changes.shortened:
        step, waited = after.step(number), people(found.cancelled.get(number, 0))
        notes.append(f"step {step.name} comes {step.repeat} times at most: skipped by {waited} who waited for one more")
    for number in changes.retimed:
        was, now = (format_duration(one.step(number).after_s) for one in (before, after))
        name, moved = after.step(number).name, people(found.moved.get(number, 0))
        notes.append(f"step {name} comes after {now} instead of {was}: moved for {moved}")
    for number in changes.added:
        later = after.order[after.order.index(number) + 1 :]
        before_it = [old for new, old in after.earlier if new == number]
        past = people(replanning.past(connection, campaign_id, later, before_it))
        how = f"back: too late for {past} past its place, or who may have had it" if before_it else (
            f"new: too late for {past} past its place")  # fmt: skip
        notes.append(f"step {after.step(number).name} is {how}")
    return notes


def reach(connection: Connection, campaign: Campaign) -> list[str]:
    """Whom its newest revision reaches, in words."""
    found = loading.reached(connection, campaign.id)
    said = [
        f"revision {campaign.revision} reaches {found.planned} planned messages;"
        f" {found.kept} that somebody may have a copy of keep the contents they began with"
    ]
    if found.unknown:
        said.append(
            f"what {found.unknown} messages in doubt said is not known since the store was put back: sent again,"
            " they would have these contents"
        )
    return said
