"""Enrollments: one contact's place in a campaign, moved in the same transaction as the outcome that moves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.calendar import Calendar, Slot
from sendctl.definition import StepName
from sendctl.identity import provider_key
from sendctl.states import EnrollmentStatus, State
from sendctl.store import receipts
from sendctl.store.bulk import bound, given
from sendctl.store.claims import Due
from sendctl.store.holds import Why
from sendctl.store.ids import take_ids
from sendctl.store.tables import contacts, enrollments, messages

# What the row of a message says that is planned and has not been tried; the first step is that of an enqueue.
NOT_TRIED = {
    "step_index": 0, "occurrence": 0, "status": State.QUEUED.value, "attempts": 0, "charged_attempts": 0,
    "transient": 0, "copy": 0,
}  # fmt: skip


class Passed(NamedTuple):
    """A message that is over for one enrollment, and since when (the next one's delay counts from there)."""

    due: Due
    at: datetime
    sent: bool = True  # else nobody is reminded of it
    others: tuple[Due, ...] = ()  # of the same place, on other channels: each gets a next one too
    earliest: datetime | None = None  # the next one is not due before


class _Next(NamedTuple):
    """Where an enrollment goes: the place of its next message and when it is due; None when it is completed."""

    passed: Passed
    place: tuple[int, int]  # step, occurrence; that of the last message when there is none to come
    slot: Slot | None
    status: EnrollmentStatus


_E = enrollments.c
_WAS_STEP, _WAS_OCCURRENCE = sa.Column("was_step", sa.Integer), sa.Column("was_occurrence", sa.Integer)
_MOVES = (
    _E.id, _WAS_STEP, _WAS_OCCURRENCE, _E.current_step_index, _E.current_occurrence, _E.advanced_at,
    _E.next_scheduled_at, _E.status, _E.ended_for,
)  # fmt: skip


@cache
def _advance(rows: sa.Subquery) -> Any:
    """Compare-and-set on the place of the message that is over."""
    return (
        sa.update(enrollments)
        .where(
            _E.id == rows.c.id,
            _E.current_step_index == rows.c.was_step,
            _E.current_occurrence == rows.c.was_occurrence,
            _E.status.in_([EnrollmentStatus.ACTIVE, EnrollmentStatus.FAILED]),
        )
        .values(
            {column.name: rows.c[column.name] for column in _MOVES[3:]}
            | {"updated_at": sa.bindparam("now", type_=_E.updated_at.type)}
        )
        .returning(_E.id)
    )


def advance(
    connection: Connection,
    passed: Sequence[Passed],
    calendar: Calendar,
    *,
    secret: str,
    now: datetime,
) -> None:
    """Move enrollments past a message and plan the next one, or complete them.

    Compare-and-set on its place: an enrollment that someone else moved or ended plans nothing. A copy that an operator
    had sent once more is no step of anybody's way.
    """
    passed = [item for item in passed if not item.due.copy]
    if not passed:
        return
    had = receipts.had(connection, (item.due.enrollment_id for item in passed), calendar.definition)
    goals = [_next(item, calendar, had.get(item.due.enrollment_id, {})) for item in passed]
    rows = [
        (goal.passed.due.enrollment_id, goal.passed.due.step_index, goal.passed.due.occurrence, *goal.place,
         goal.passed.at, goal.slot and goal.slot.due_at, goal.status,
         None if goal.passed.sent or goal.slot else "expired")
        for goal in goals
    ]  # fmt: skip
    statement = _advance(given(connection, *_MOVES))
    moved = {row[0] for row in connection.execute(statement, bound(rows) | {"now": now}).all()}
    plan(connection, [goal for goal in goals if goal.passed.due.enrollment_id in moved], calendar, secret, now)


def plan(connection: Connection, goals: Sequence[_Next], calendar: Calendar, secret: str, now: datetime) -> None:
    """Write the messages of enrollments that have one to come."""
    going_on = [
        (goal, due, goal.slot)
        for goal in goals
        if goal.slot is not None
        for due in (goal.passed.due, *goal.passed.others)
    ]
    if going_on:
        ids = take_ids(connection, "messages", len(going_on))
        planned = [
            next_message(
                calendar.definition.name, due, goal.place, slot, step=calendar.definition.step_name(goal.place[0]),
                secret=secret, message_id=message_id, now=now,
            )
            for (goal, due, slot), message_id in zip(going_on, ids, strict=True)
        ]  # fmt: skip
        # A share of its account is counted out later, alone: the next pass does it, before anything is claimed.
        unpaid = Why.ALLOWANCE if calendar.definition.account else None
        connection.execute(sa.insert(messages), [row | {"error_class": unpaid} for row in planned])


def _next(item: Passed, calendar: Calendar, had: Mapping[int, int]) -> _Next:
    here = item.due.step_index, item.due.occurrence
    place = calendar.definition.next_place(*here, sent=item.sent, had=had)
    if place is None:
        return _Next(item, here, None, EnrollmentStatus.COMPLETED)
    slot = calendar.after(place[0], item.at, item.due.timezone, earliest=item.earliest)
    return _Next(item, place, slot, EnrollmentStatus.ACTIVE)


def next_message(
    campaign: str, due: Due, place: tuple[int, int], slot: Slot, *, step: StepName, secret: str, message_id: int,
    now: datetime, copy: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """The row of the message for a later place (step, occurrence) of the enrollment of `due`, or of a copy of it."""
    step_index, occurrence = place
    key = provider_key(
        secret, campaign=campaign, address_key=due.address_key, subject_key=due.subject_key,
        step=step, occurrence=occurrence, channel=due.channel, copy=copy,
    )  # fmt: skip
    return {
        **NOT_TRIED, "id": message_id, "campaign_id": due.campaign_id, "enrollment_id": due.enrollment_id,
        "step_index": step_index, "occurrence": occurrence, "channel": due.channel, "recipient": due.recipient,
        "recipient_key": due.recipient_key, "provider_key": key, "due_at": slot.due_at, "next_attempt_at": slot.due_at,
        "expires_at": slot.expires_at, "created_at": now, "updated_at": now, "copy": copy,
    }  # fmt: skip


def end(
    connection: Connection, ids: Iterable[int], status: EnrollmentStatus, now: datetime, *, reason: str | None = None
) -> None:
    """End active enrollments: nothing more is planned for them. `reason` is why they are stopped."""
    _set(connection, ids, {EnrollmentStatus.ACTIVE}, status=status, next_scheduled_at=None, ended_for=reason,
         updated_at=now)  # fmt: skip


def revive(connection: Connection, dues: Iterable[Due], now: datetime) -> None:
    """Take up enrollments again that stand at a message which is queued once more, not those that stand elsewhere."""
    wanted = [(due.enrollment_id, due.step_index, due.occurrence) for due in dues]
    if not wanted:
        return
    rows = given(connection, _E.id, _E.current_step_index, _E.current_occurrence)
    statement = (
        sa.update(enrollments)
        .where(
            _E.id == rows.c.id, _E.current_step_index == rows.c.current_step_index,
            _E.current_occurrence == rows.c.current_occurrence, _E.status == EnrollmentStatus.FAILED,
        )
        .values(status=EnrollmentStatus.ACTIVE, next_scheduled_at=now, updated_at=now)
    )  # fmt: skip
    connection.execute(statement, bound(wanted))


def _set(connection: Connection, ids: Iterable[int], sources: set[EnrollmentStatus], **values: Any) -> None:
    wanted = [(enrollment_id,) for enrollment_id in ids]
    if wanted:
        rows = given(connection, _E.id)
        statement = sa.update(enrollments).where(_E.id.in_(sa.select(rows.c.id)), _E.status.in_(sorted(sources)))
        connection.execute(statement.values(**values), bound(wanted))


def latest_data(connection: Connection, campaign_id: int, address_key: str) -> tuple[str, str] | None:
    """(snapshot, subject_key) of the newest place of whoever has this address or number; None without any."""
    person = sa.select(contacts.c.id).where(
        sa.or_(contacts.c.address_key == address_key, contacts.c.phone == address_key)
    )
    statement = (
        sa.select(enrollments.c.snapshot, enrollments.c.subject_key)
        .where(enrollments.c.campaign_id == campaign_id, enrollments.c.contact_id.in_(person))
        .order_by(enrollments.c.id.desc())
        .limit(1)
    )
    found = connection.execute(statement).one_or_none()
    return (found.snapshot, found.subject_key) if found else None
