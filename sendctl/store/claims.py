"""Taking what is due: pick, and claim a window. Each call belongs to one short transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import TRANSITIONS, AttemptOutcome, State
from sendctl.store.bulk import bound, given
from sendctl.store.dialect import skip_locked
from sendctl.store.tables import attempts, campaigns, contacts, enrollments, messages, suppressions


class Due(NamedTuple):
    """A message that may be claimed, with all that rendering and advancing need."""

    id: int
    campaign_id: int
    enrollment_id: int
    step_index: int
    occurrence: int
    channel: str
    recipient: str
    recipient_key: str
    key: str
    next_attempt_at: datetime
    expires_at: datetime | None
    attempts: int
    charged_attempts: int
    revision: int | None
    composed_at: datetime | None
    next_provider: str | None
    enrollment_status: str
    subject_key: str
    address_key: str
    token: str
    timezone: str | None
    snapshot: str
    contact_id: int
    due_at: datetime
    error_class: str | None  # in the queue: why it is held back, or of the last attempt
    copy: int  # above 0: sent once more by an operator; it moves no enrollment
    transient: int  # in the queue: 1 says that it had failed for a passing cause, and is tried again by itself


_M, _E, _A = messages.c, enrollments.c, attempts.c
_DUE_COLUMNS = (
    _M.id, _M.campaign_id, _M.enrollment_id, _M.step_index, _M.occurrence, _M.channel, _M.recipient,
    _M.recipient_key, _M.provider_key, _M.next_attempt_at, _M.expires_at, _M.attempts, _M.charged_attempts,
    _M.revision, _M.composed_at, _M.next_provider, _E.status, _E.subject_key, contacts.c.address_key, _E.token,
    _E.timezone, _E.snapshot, _E.contact_id, _M.due_at, _M.error_class, _M.copy,
    _M.transient,
)  # fmt: skip
_DUE_FROM = messages.join(enrollments, _E.id == _M.enrollment_id).join(contacts, contacts.c.id == _E.contact_id)


def pick_due(
    connection: Connection, campaign_id: int, now: datetime, limit: int, channels: Sequence[str] | None = None
) -> list[Due]:
    """At most `limit` messages of a campaign that are due, oldest first, locked until commit where rows can be.

    Of all channels, or of these.
    """
    statement = (
        sa.select(*_DUE_COLUMNS)
        .select_from(_DUE_FROM)
        .where(_M.campaign_id == campaign_id, _M.status == State.QUEUED, _M.next_attempt_at <= now)
        .order_by(_M.next_attempt_at)
        .limit(limit)
    )
    if channels is not None:
        statement = statement.where(_M.channel.in_(channels))
    rows = connection.execute(skip_locked(connection, statement, messages)).all()
    return list(map(Due._make, rows))


def any_due(connection: Connection, campaign_id: int, now: datetime, channels: Sequence[str]) -> bool:
    """Whether anything of these channels is due in a campaign."""
    statement = sa.select(_M.id).where(
        _M.campaign_id == campaign_id, _M.status == State.QUEUED, _M.next_attempt_at <= now, _M.channel.in_(channels)
    )
    return bool(channels) and connection.execute(statement.limit(1)).first() is not None


def by_id(connection: Connection, ids: Iterable[int]) -> dict[int, Due]:
    """The same for given messages, in whatever state."""
    found: dict[int, Due] = {}
    for some in _chunks(list(ids), 500):
        statement = sa.select(*_DUE_COLUMNS).select_from(_DUE_FROM).where(_M.id.in_(some))
        rows: Iterable[Any] = connection.execute(statement)
        found |= {row[0]: Due._make(row) for row in rows}
    return found


class OfPlace(NamedTuple):
    """A message of the place at which its enrollment stands."""

    due: Due
    state: State
    sent_at: datetime | None
    failed_at: datetime | None


def of_places(connection: Connection, enrollment_ids: Iterable[int]) -> list[OfPlace]:
    """The messages of the places at which these enrollments stand, e-mail first."""
    rows = given(connection, _E.id)
    statement = (
        sa.select(*_DUE_COLUMNS, _M.status.label("state"), _M.sent_at, _M.failed_at)
        .select_from(_DUE_FROM)
        .where(
            _M.enrollment_id.in_(sa.select(rows.c.id)), _M.step_index == _E.current_step_index,
            _M.occurrence == _E.current_occurrence, _M.copy == 0,
        )
        .order_by(_M.enrollment_id, _M.channel)
    )  # fmt: skip
    wanted = bound((enrollment_id,) for enrollment_id in sorted(set(enrollment_ids)))
    width = len(_DUE_COLUMNS)
    found: Iterable[Any] = connection.execute(statement, wanted)
    return [OfPlace(Due._make(row[:width]), State(row[width]), row[width + 1], row[width + 2]) for row in found]


def _chunks(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def campaigns_with_due(connection: Connection, now: datetime) -> list[str]:
    """Names of running campaigns with something due, the longest overdue first. One index seek a campaign."""
    first = (
        sa.select(sa.func.min(_M.next_attempt_at))
        .where(_M.campaign_id == campaigns.c.id, _M.status == State.QUEUED)
        .scalar_subquery()
    )
    statement = sa.select(campaigns.c.name, first.label("first")).where(campaigns.c.status == "running")
    rows = [row for row in connection.execute(statement) if row.first is not None and row.first <= now]
    return [row.name for row in sorted(rows, key=lambda row: (row.first, row.name))]


def suppressed(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Which of these addresses must never be contacted."""
    rows = given(connection, suppressions.c.address_key)
    statement = sa.select(rows.c.address_key).where(sa.exists().where(suppressions.c.address_key == rows.c.address_key))
    return {row[0] for row in connection.execute(statement, bound([(key,) for key in keys])).all()}


@dataclass(frozen=True, slots=True)
class Claim:
    """A run's ownership of the messages of one window."""

    id: str
    run_id: str
    worker: int
    expires_at: datetime


def claim(
    connection: Connection, window: Sequence[tuple[Due, str]], claim_: Claim, *, revision: int, now: datetime
) -> None:
    """Move (message, provider) pairs from `queued` to `sending` and write their attempts, before any byte leaves.

    The revision and the date are frozen by the first claim. Rows were picked, hence locked, in this transaction.
    """
    rule = TRANSITIONS["claim"]
    rows = given(connection, _M.id)
    statement = (
        sa.update(messages)
        .where(_M.id.in_(sa.select(rows.c.id)), _M.status.in_(sorted(rule.sources)))
        .values(
            status=rule.target,
            claim_id=claim_.id,
            claim_expires_at=claim_.expires_at,
            run_id=claim_.run_id,
            attempts=_M.attempts + 1,
            revision=sa.func.coalesce(_M.revision, revision),
            composed_at=sa.func.coalesce(_M.composed_at, sa.bindparam("composed", now, type_=_M.composed_at.type)),
            updated_at=now,
        )
    )
    changed = connection.execute(statement, bound((due.id,) for due, _ in window)).rowcount
    if changed != len(window):
        raise AssertionError(f"claimed {changed} of {len(window)} picked messages")
    rows = given(connection, _A.message_id, _A.number, _A.provider)
    begun = {
        "run_id": claim_.run_id, "worker": claim_.worker, "claim_id": claim_.id, "outcome": AttemptOutcome.OPEN,
        "started_at": now,
    }  # fmt: skip
    constants = [sa.bindparam(name, value, type_=_A[name].type).label(name) for name, value in begun.items()]
    opened = sa.select(rows.c.message_id, rows.c.number, rows.c.provider, *constants)
    connection.execute(
        sa.insert(attempts).from_select(["message_id", "number", "provider", *begun], opened),
        bound((due.id, due.attempts + 1, provider) for due, provider in window),
    )


def postpone(connection: Connection, moments: Sequence[tuple[int, datetime]], now: datetime) -> None:
    """Let queued messages wait until a moment, e.g. until their send window opens."""
    if not moments:
        return
    rows = given(connection, _M.id, _M.next_attempt_at)
    statement = (
        sa.update(messages)
        .where(_M.id == rows.c.id, _M.status == State.QUEUED)
        .values(next_attempt_at=rows.c.next_attempt_at, updated_at=now)
    )
    connection.execute(statement, bound(moments))


def due_counts(connection: Connection, now: datetime) -> dict[str, int]:
    """How many messages of each running campaign are due."""
    statement = (
        sa.select(campaigns.c.name, sa.func.count())
        .join(messages, _M.campaign_id == campaigns.c.id)
        .where(campaigns.c.status == "running", _M.status == State.QUEUED, _M.next_attempt_at <= now)
        .group_by(campaigns.c.name)
        .order_by(campaigns.c.name)
    )
    return {row[0]: row[1] for row in connection.execute(statement)}
