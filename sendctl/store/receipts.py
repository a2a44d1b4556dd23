"""What people have had of a campaign, or may have had: asked where where they stand does not say it. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.definition import Definition
from sendctl.states import AttemptOutcome, State
from sendctl.store.bulk import bound, given
from sendctl.store.tables import attempts, enrollments, messages

_M, _E, _A = messages.c, enrollments.c, attempts.c
_SENT = (State.SENT, State.BOUNCED)

# What somebody has, or may have; also of what was given up in doubt. Who decided to send that again, decided.
MAY_BE_HAD = sa.or_(
    _M.status.in_([*_SENT, State.SENDING, State.IN_DOUBT]),
    sa.and_(
        _M.status == State.FAILED,
        sa.exists().where(_A.message_id == _M.id, _A.outcome == AttemptOutcome.ABANDONED),
    ),
)


def had(connection: Connection, enrollment_ids: Iterable[int], definition: Definition) -> dict[int, dict[int, int]]:
    """How many occurrences of steps that are back people have had by the earlier numbers, by enrollment and step.

    Asks nothing where no step is back.
    """
    wanted = sorted(set(enrollment_ids))
    if not definition.earlier or not wanted:
        return {}
    rows = given(connection, _E.id)
    old = sorted({number for _, number in definition.earlier})
    statement = (
        sa.select(_M.enrollment_id, _M.step_index, sa.func.max(_M.occurrence))
        .where(_M.enrollment_id.in_(sa.select(rows.c.id)), _M.step_index.in_(old), MAY_BE_HAD)
        .group_by(_M.enrollment_id, _M.step_index)
    )
    found: dict[int, dict[int, int]] = {}
    for enrollment_id, number, last in connection.execute(statement, bound((one,) for one in wanted)):
        steps = found.setdefault(enrollment_id, {})
        for new in (step for step, earlier in definition.earlier if earlier == number):
            steps[new] = max(steps.get(new, 0), last + 1)
    return found


class Before(NamedTuple):
    """What was before the place at which somebody stands: since when it is over, and whether it was sent.

    What was proven later to have been sent, is over since then: they moved on before that. What was tried again on one
    channel, after the other had let them move on, changes nothing.
    """

    at: datetime | None
    sent: bool


class _One(NamedTuple):
    """A message of a place that was left."""

    state: State
    sent_at: datetime | None
    failed_at: datetime | None


def before(connection: Connection, enrollment_ids: Iterable[int]) -> dict[int, Before]:
    """The place before that of each of these enrollments. One that was cancelled with its step was never there."""
    rows = given(connection, _E.id)
    statement = (
        sa.select(_E.id, _E.advanced_at, _M.step_index, _M.occurrence, _M.status, _M.sent_at, _M.failed_at)
        .join(messages, _M.enrollment_id == _E.id)
        .where(
            _E.id.in_(sa.select(rows.c.id)), _M.copy == 0,
            sa.or_(_M.step_index != _E.current_step_index, _M.occurrence != _E.current_occurrence),
        )
        .order_by(_E.id, _M.id)
    )  # fmt: skip
    places: dict[int, dict[tuple[int, int], list[_One]]] = {}
    since: dict[int, datetime | None] = {}
    wanted = bound((one,) for one in sorted(set(enrollment_ids)))
    for enrollment_id, advanced_at, step, occurrence, state, *moments in connection.execute(statement, wanted):
        since[enrollment_id] = advanced_at
        place = places.setdefault(enrollment_id, {}).setdefault((step, occurrence), [])
        place.append(_One(State(state), *moments))
    return {one: _before(since[one], list(left.values())) for one, left in places.items()}


def _before(advanced_at: datetime | None, places: list[list[_One]]) -> Before:
    moments = [advanced_at, *map(_sent_at, places)]
    at = max((one for one in moments if one is not None), default=None)
    return Before(at, _was_sent([{one.state for one in place} for place in places]))


def _sent_at(place: list[_One]) -> datetime | None:
    """When the last of a place was sent. Of what had failed before that, only where nothing else of it was sent."""
    sent = [(one.sent_at, one.failed_at) for one in place if one.sent_at is not None]
    at_once = [sent_at for sent_at, failed_at in sent if failed_at is None or failed_at >= sent_at]
    return max(at_once or [sent_at for sent_at, _ in sent], default=None)


def _was_sent(places: list[set[State]]) -> bool:
    """Of the last place that counts. With two channels either message is enough."""
    for states in reversed(places):
        if states.intersection(_SENT):
            return True
        if State.CANCELLED not in states:
            return False
    return False
