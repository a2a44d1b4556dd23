"""What follows from events: messages that are proven sent or came back, enrollments that end, addresses to suppress.

Each statement says what is still to be done, so that the same again finds nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import AttemptOutcome, CampaignStatus, EnrollmentStatus, EventType, State
from sendctl.store.bulk import bound, given
from sendctl.store.dialect import insert_ignore
from sendctl.store.doubts import Held
from sendctl.store.outcomes import given_up
from sendctl.store.tables import attempts, campaigns, enrollments, events, messages, suppressions

_M, _E, _A, _V, _S = messages.c, enrollments.c, attempts.c, events.c, suppressions.c

# Events after which nothing goes to an address any more, the weakest reason first.
SUPPRESSING = (EventType.BOUNCED, EventType.UNSUBSCRIBED, EventType.COMPLAINED)
_OF_ACCEPTANCE = (EventType.ACCEPTED, EventType.DELIVERED)  # that happen at the moment of it, or soon after

_GOING_ON = (EnrollmentStatus.ACTIVE, EnrollmentStatus.FAILED)


class Place(NamedTuple):
    """A message and its campaign, which is locked first."""

    message_id: int
    campaign_id: int


def unproven(connection: Connection, message_ids: Iterable[int]) -> list[Held]:
    """Of these messages those of which nobody knows whether they were accepted, with the claim of that attempt.

    One that somebody has gone on without (outcomes.given_up) counts where none of its attempts is in doubt.
    """
    rows = given(connection, _M.id)
    perhaps = sa.or_(_A.outcome == AttemptOutcome.UNKNOWN, given_up())
    statement = (
        sa.select(_A.message_id, _A.claim_id)
        .where(_A.message_id.in_(sa.select(rows.c.id)), perhaps)
        .order_by(_A.message_id, _A.outcome == AttemptOutcome.UNKNOWN, _A.number)
    )
    wanted = bound((message_id,) for message_id in sorted(set(message_ids)))
    last: dict[int, str] = {row[0]: row[1] for row in connection.execute(statement, wanted)}
    return list(last.items())


def accepted_at(connection: Connection, message_ids: Iterable[int]) -> dict[int, datetime]:
    """When messages were accepted by what events say of that itself; one that was opened was so long before.

    The earliest that was said; nothing of the others.
    """
    rows = given(connection, _M.id)
    statement = (
        sa.select(_M.id, sa.func.min(_V.occurred_at, type_=_V.occurred_at.type))
        .join(events, sa.and_(_V.enrollment_id == _M.enrollment_id, _V.message_id == _M.id))
        .where(_M.id.in_(sa.select(rows.c.id)), _V.type.in_(_OF_ACCEPTANCE), _V.proves_sent == 1)
        .group_by(_M.id)
    )
    found: Iterable[Any] = connection.execute(statement, bound((one,) for one in sorted(set(message_ids))))
    return {row[0]: row[1] for row in found}


def learn_ids(connection: Connection, message_ids: Iterable[int]) -> None:
    """Keep the service's own ids that events name beside our keys, where an acceptance was proven without one.

    Else a later event that names nothing else finds nobody, and a lookup by contents takes one message for another.
    """
    rows = given(connection, _M.id)
    wanted = bound((one,) for one in sorted(set(message_ids)))
    statement = (
        sa.select(_M.id, _A.provider, _V.detail)
        .join(events, sa.and_(_V.enrollment_id == _M.enrollment_id, _V.message_id == _M.id))
        .join(attempts, sa.and_(_A.message_id == _M.id, _A.outcome == AttemptOutcome.ACCEPTED))
        .where(
            _M.id.in_(sa.select(rows.c.id)), _V.proves_sent == 1, _A.provider_message_id.is_(None),
            _V.detail.like('%"known_as":%'),
        )
        .order_by(_V.occurred_at.desc())
    )  # fmt: skip
    known = dict[int, str]()
    for message_id, provider, detail in connection.execute(statement, wanted):
        said = json.loads(detail)
        name = said.get("known_as")  # any key of a line is kept: it may be deeper down, or something else
        if isinstance(name, str) and name and said.get("provider", provider) == provider:
            known[message_id] = name
    if not known:
        return
    told = given(connection, _A.message_id, _A.provider_message_id)
    connection.execute(
        sa.update(attempts)
        .where(
            _A.message_id == told.c.message_id, _A.outcome == AttemptOutcome.ACCEPTED,
            _A.provider_message_id.is_(None),
        )
        .values(provider_message_id=told.c.provider_message_id),
        bound(sorted(known.items())),
    )  # fmt: skip


def queued_of(connection: Connection, enrollment_ids: Iterable[int]) -> list[int]:
    """Messages of enrollments that wait, in order of id."""
    return _in_state(connection, enrollment_ids, State.QUEUED)


def in_flight_of(connection: Connection, enrollment_ids: Iterable[int]) -> list[int]:
    """Messages of enrollments that are being handed over, in order of id."""
    return _in_state(connection, enrollment_ids, State.SENDING)


def _in_state(connection: Connection, enrollment_ids: Iterable[int], state: State) -> list[int]:
    rows = given(connection, _E.id)
    statement = sa.select(_M.id).where(_M.enrollment_id.in_(sa.select(rows.c.id)), _M.status == state)
    wanted = bound((enrollment_id,) for enrollment_id in sorted(set(enrollment_ids)))
    return list(connection.execute(statement.order_by(_M.id), wanted).scalars())


def with_events(connection: Connection, campaign_id: int, types: Iterable[str]) -> list[int]:
    """Enrollments of a campaign that are not over and have an event of these types, in order of id."""
    statement = (
        sa.select(_V.enrollment_id)
        .distinct()
        .join(enrollments, _E.id == _V.enrollment_id)
        .where(_V.campaign_id == campaign_id, _V.type.in_(list(types)), _E.status.in_(_GOING_ON))
        .order_by(_V.enrollment_id)
    )
    return list(connection.execute(statement).scalars())


def stop(connection: Connection, reasons: Mapping[int, str], now: datetime) -> list[int]:
    """End enrollments that are not over, for a reason each; returns those.

    One that was stopped by another event, or a suppression, gets the reason given: the caller knows which came first.
    """
    if not reasons:
        return []
    rows = given(connection, _E.id, _E.ended_for)
    wanted = bound(reasons.items())
    going_on = _E.status.in_(_GOING_ON)
    ending = sa.update(enrollments).where(_E.id == rows.c.id).values(ended_for=rows.c.ended_for, updated_at=now)
    ended = connection.execute(
        ending.where(going_on).values(status=EnrollmentStatus.STOPPED, next_scheduled_at=None).returning(_E.id), wanted
    )
    stopped = list(ended.scalars())
    ours = [*EventType, "suppressed"]
    connection.execute(
        ending.where(
            _E.status == EnrollmentStatus.STOPPED, _E.ended_for.in_(ours), _E.ended_for != rows.c.ended_for
        ),
        wanted,
    )  # fmt: skip
    return stopped


def recipients(connection: Connection, enrollment_ids: Iterable[int]) -> dict[int, set[str]]:
    """To whom the messages of enrollments go, as suppressions have it, by enrollment."""
    rows = given(connection, _E.id)
    statement = (
        sa.select(_M.enrollment_id, _M.recipient_key).distinct().where(_M.enrollment_id.in_(sa.select(rows.c.id)))
    )
    wanted = bound((enrollment_id,) for enrollment_id in sorted(set(enrollment_ids)))
    found: dict[int, set[str]] = {}
    for enrollment_id, key in connection.execute(statement, wanted):
        found.setdefault(enrollment_id, set()).add(key)
    return found


def recipient_keys(connection: Connection, message_ids: Iterable[int]) -> dict[int, str]:
    """To whom messages go, by message."""
    rows = given(connection, _M.id)
    statement = sa.select(_M.id, _M.recipient_key).where(_M.id.in_(sa.select(rows.c.id)))
    found: Iterable[Any] = connection.execute(statement, bound((one,) for one in sorted(set(message_ids))))
    return {row[0]: row[1] for row in found}


def suppress(connection: Connection, reasons: Mapping[str, EventType], now: datetime) -> list[str]:
    """Put addresses on the list, each for its reason; returns those that were not there.

    A stronger reason takes the place of a weaker one of the same kind; any other, an operator's words, stays.
    """
    rows = given(connection, _S.address_key, _S.reason)
    values = sa.select(
        rows.c.address_key, rows.c.reason, sa.bindparam("now", now, type_=_S.created_at.type)
    ).where(sa.true())  # fmt: skip
    statement = insert_ignore(connection, suppressions).from_select(["address_key", "reason", "created_at"], values)
    wanted = sorted(reasons.items())
    added = list(connection.execute(statement.returning(_S.address_key), bound(wanted)).scalars())
    for rank, reason in enumerate(SUPPRESSING[1:], start=1):
        stronger = [(key, kind) for key, kind in wanted if kind is reason]
        if stronger:
            statement = (
                sa.update(suppressions)
                .where(_S.address_key == rows.c.address_key, _S.reason.in_(SUPPRESSING[:rank]))
                .values(reason=reason)
            )
            connection.execute(statement, bound(stronger))
    return added


# -- what events said before it could be done ---------------------------------------------------------------------


def _living() -> sa.Select[Any]:
    return sa.select(campaigns.c.id).where(campaigns.c.status != CampaignStatus.ARCHIVED)


def provable(connection: Connection) -> list[Place]:
    """Messages in doubt that an event proves to have been accepted."""
    proven = sa.exists().where(
        _V.enrollment_id == _M.enrollment_id, _V.message_id == _M.id, _V.proves_sent == 1
    )  # fmt: skip
    statement = sa.select(_M.id, _M.campaign_id).where(
        _M.campaign_id.in_(_living()), _M.status == State.IN_DOUBT, proven
    )  # fmt: skip
    return [Place(*row) for row in connection.execute(statement.order_by(_M.id))]


def returned(connection: Connection) -> list[Place]:
    """Messages that are sent, and came back before that was known."""
    statement = (
        sa.select(_M.id, _M.campaign_id)
        .distinct()
        .join(events, _V.message_id == _M.id)
        .where(_V.campaign_id.in_(_living()), _V.type == EventType.BOUNCED, _V.proves_sent == 1)
        .where(_M.status == State.SENT)
    )
    return [Place(*row) for row in connection.execute(statement.order_by(_M.id))]


def left_over(connection: Connection) -> list[Place]:
    """Queued messages of stopped enrollments: they were in flight when the end came, and were not accepted.

    So they were tried, and the index of what is to be retried has them. A sum says nothing about a campaign to SQLite,
    which would look through all that is queued in it; nor is an order asked for, which another index has.
    """
    statement = (
        sa.select(_M.id, _M.campaign_id)
        .join(enrollments, _E.id == _M.enrollment_id)
        .join(campaigns, campaigns.c.id == _M.campaign_id + 0)
        .where(sa.text("messages.status = 'queued' AND messages.attempts > 0 AND messages.campaign_id >= 0"))
        .where(_E.status == EnrollmentStatus.STOPPED, campaigns.c.status != CampaignStatus.ARCHIVED)
    )
    return sorted(Place(*row) for row in connection.execute(statement))
