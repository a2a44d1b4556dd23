"""Where people stand: their enrollments, with the step that is planned or was the last one. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import CampaignStatus, EnrollmentStatus, State
from sendctl.store.listing import places_of
from sendctl.store.tables import campaigns, enrollments, messages, steps

_M, _C, _E = messages.c, campaigns.c, enrollments.c


@dataclass(frozen=True, slots=True)
class Place:
    """One enrollment and the message of its step; `due_at` is as planned, `next_attempt_at` as it is by now.

    `ended_for` is why it was stopped, as the store has it: the type of an event, "suppressed" or "expired".
    """

    enrollment_id: int
    campaign: str
    campaign_status: CampaignStatus
    subject_key: str
    status: EnrollmentStatus
    step: str
    occurrence: int
    due_at: datetime | None
    ended_for: str | None
    message_id: int | None
    message_status: State | None
    next_attempt_at: datetime | None
    last_error: str | None


_ANY = steps.alias()
_HERE = sa.and_(
    _M.enrollment_id == _E.id, _M.step_index == _E.current_step_index, _M.occurrence == _E.current_occurrence,
    _M.copy == 0,
)  # fmt: skip
# A step that was removed is in earlier revisions only; the name of a step never changes.
_STEP_NAME = (
    sa.select(sa.func.max(_ANY.c.name))
    .where(_ANY.c.campaign_id == _E.campaign_id, _ANY.c.step_index == _E.current_step_index)
    .scalar_subquery()
)
_PLACES = (
    sa.select(
        _E.id, _C.name, _C.status, _E.subject_key, _E.status, _STEP_NAME, _E.current_occurrence, _E.next_scheduled_at,
        _E.ended_for, _M.id, _M.status, _M.next_attempt_at, _M.last_error,
    )
    .join(campaigns, _C.id == _E.campaign_id)
    .outerjoin(messages, _HERE)
    .order_by(_E.id, _M.id)
)  # fmt: skip


def of_contact(connection: Connection, contact_id: int) -> list[Place]:
    """All enrollments of a person, in order of their ids; one with several messages at its step stands for each."""
    return of_enrollments(connection, places_of(connection, (contact_id,)))


def of_enrollments(connection: Connection, enrollment_ids: Iterable[int]) -> list[Place]:
    """The same for given enrollments: few, as one person has them."""
    rows: Iterable[Any] = connection.execute(_PLACES.where(_E.id.in_(sorted(set(enrollment_ids)))))
    return [
        Place(
            row[0], row[1], CampaignStatus(row[2]), row[3], EnrollmentStatus(row[4]), row[5] or "", row[6], row[7],
            row[8], row[9], State(row[10]) if row[10] else None, row[11], row[12],
        )
        for row in rows
    ]  # fmt: skip
