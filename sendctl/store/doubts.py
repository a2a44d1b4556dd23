"""Finding what needs deciding: messages in doubt with the attempt that put them there, and the failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import AttemptOutcome, CampaignStatus, EnrollmentStatus, State
from sendctl.store.bulk import bound, given
from sendctl.store.tables import attempts, campaigns, enrollments, messages, runs
from sendctl.store.tries import TRIES

# A message in doubt and the claim whose attempt put it there: a later attempt is another doubt.
Held = tuple[int, str]

_LIVING = (CampaignStatus.RUNNING, CampaignStatus.PAUSED, CampaignStatus.COMPLETED)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A message in doubt. `since` is when it became so, `handed_over_at` the begin of its attempt.

    `first_at` is the begin of its first attempt that may have been taken, `first_by` that of the first by each
    provider: what someone gave up in doubt counts. `again_at` is when it was last handed over again under its key.

    `evidence` says how its attempt became unknown: "claim_expired" means that its run may still be alive.
    """

    message_id: int
    campaign_id: int
    revision: int | None  # None: the store was put back, and does not have the contents that were sent
    channel: str
    recipient: str
    provider_key: str
    provider: str
    run_id: str
    claim_id: str
    since: datetime
    handed_over_at: datetime
    evidence: str
    host_id: str | None  # of the run that handed it over
    again_at: datetime | None
    first_at: datetime
    first_by: Mapping[str, datetime]

    @property
    def last_at(self) -> datetime:
        """The last moment at which it was handed over."""
        return self.again_at or self.handed_over_at

    @property
    def held(self) -> Held:
        """What a decision on it must name."""
        return self.message_id, self.claim_id


def in_doubt(connection: Connection, campaign_id: int | None = None) -> list[Doubt]:
    """All messages in doubt, oldest first; of one campaign when given."""
    tried = attempts.alias("tried")
    perhaps = tried.c.outcome.in_([AttemptOutcome.UNKNOWN, AttemptOutcome.ABANDONED])
    statement = (
        sa.select(
            messages.c.id, messages.c.campaign_id, messages.c.revision, messages.c.channel, messages.c.recipient,
            messages.c.provider_key, attempts.c.provider, attempts.c.run_id, attempts.c.claim_id,
            messages.c.in_doubt_at, attempts.c.started_at, attempts.c.evidence, runs.c.host_id, attempts.c.again_at,
            tried.c.provider, tried.c.started_at,
        )
        .join(attempts, attempts.c.message_id == messages.c.id)
        .join(tried, sa.and_(tried.c.message_id == messages.c.id, perhaps))
        .outerjoin(runs, runs.c.id == attempts.c.run_id)
        .where(messages.c.status == State.IN_DOUBT, attempts.c.outcome == AttemptOutcome.UNKNOWN)
        .where(_of(campaign_id))
        .order_by(messages.c.in_doubt_at, messages.c.id, tried.c.started_at.desc())
    )  # fmt: skip
    rows: Iterable[Any] = connection.execute(statement)
    return [_doubt(list(of_one)) for _, of_one in groupby(rows, itemgetter(0))]


def _doubt(rows: Sequence[Any]) -> Doubt:
    """Of one message, with each of its attempts that may have been taken, the first as the last."""
    *about, _, first_at = rows[-1]
    values = [*about, first_at, {row[-2]: row[-1] for row in rows}]
    return Doubt(*values)


def _of(campaign_id: int | None) -> sa.ColumnElement[bool]:
    """Names campaigns, so that the index on (campaign_id, status) is used."""
    if campaign_id is not None:
        return messages.c.campaign_id == campaign_id
    return messages.c.campaign_id.in_(sa.select(campaigns.c.id).where(campaigns.c.status != CampaignStatus.ARCHIVED))


@dataclass(frozen=True, slots=True)
class Failure:
    """Failed messages of one kind: how many, and whether the cause may pass."""

    error_class: str
    transient: bool
    count: int
    example: str


# Someone went on without knowing what came of an attempt: the person may have got it.
_given_up = sa.exists().where(attempts.c.message_id == messages.c.id, attempts.c.outcome == AttemptOutcome.ABANDONED)


_later = messages.alias("later")
# An operator has had it sent once more since, or is about to: the same again would be one too many. Of several that
# have failed the last one is the one to try.
_replaced = sa.exists().where(
    _later.c.enrollment_id == messages.c.enrollment_id, _later.c.step_index == messages.c.step_index,
    _later.c.occurrence == messages.c.occurrence, _later.c.channel == messages.c.channel,
    _later.c.copy > messages.c.copy,
    _later.c.status.not_in([State.SUPPRESSED, State.CANCELLED, State.EXPIRED]),
)  # fmt: skip


def failures(connection: Connection, campaign_id: int) -> list[Failure]:
    """Messages of a campaign that failed without any doubt, by error class, most first. Not those sent once more."""
    count = sa.func.count()
    statement = (
        sa.select(messages.c.error_class, messages.c.transient, count, sa.func.min(messages.c.last_error))
        .where(messages.c.campaign_id == campaign_id, messages.c.status == State.FAILED, ~_given_up, ~_replaced)
        .group_by(messages.c.error_class, messages.c.transient)
        .order_by(count.desc(), messages.c.error_class)
    )
    return [Failure(row[0] or "", bool(row[1]), row[2], row[3] or "") for row in connection.execute(statement)]


def failed_ids(connection: Connection, campaign_id: int, *, given_up: bool = False) -> list[int]:
    """Ids of a campaign's failed messages: those certainly not accepted, or those given up in doubt.

    Not of those that were sent once more since, by `resend`.
    """
    statement = sa.select(messages.c.id).where(
        messages.c.campaign_id == campaign_id, messages.c.status == State.FAILED,
        _given_up if given_up else ~_given_up, ~_replaced,
    )  # fmt: skip
    return list(connection.execute(statement.order_by(messages.c.id)).scalars())


def _overtaken(now: datetime) -> sa.ColumnElement[bool]:
    """Whether a later step was tried, or is due: they got this one's message on the other channel, and nobody wants a
    step after the one that follows it.
    """
    later = messages.alias("next_one")
    return sa.exists().where(
        later.c.enrollment_id == messages.c.enrollment_id, later.c.id > messages.c.id, later.c.copy == 0,
        sa.or_(
            later.c.composed_at.is_not(None),
            sa.and_(later.c.status == State.QUEUED, later.c.next_attempt_at <= now),
        ),
        sa.or_(later.c.step_index != messages.c.step_index, later.c.occurrence != messages.c.occurrence),
    )  # fmt: skip


def overtaken(connection: Connection, message_ids: Iterable[int], now: datetime) -> set[int]:
    """Those of these messages after which a later step of their enrollments was tried, or is due."""
    wanted = list(message_ids)
    if not wanted:
        return set()
    rows = given(connection, messages.c.id)
    statement = sa.select(messages.c.id).where(messages.c.id.in_(sa.select(rows.c.id)), _overtaken(now))
    return set(connection.execute(statement, bound((one,) for one in wanted)).scalars())


def retriable_ids(
    connection: Connection, failed_before: datetime | None, most_tries: int, now: datetime,
    campaign_id: int | None = None,
) -> list[int]:  # fmt: skip
    """Ids of messages that failed for a passing cause before a moment, or ever, with tries left in all.

    Not of enrollments that were stopped meanwhile, nor of those of which a later step was tried, or is due. Nor what
    was sent once more since.
    """
    living = sa.select(campaigns.c.id).where(campaigns.c.status.in_(_LIVING))
    over = sa.exists().where(
        enrollments.c.id == messages.c.enrollment_id, enrollments.c.status == EnrollmentStatus.STOPPED
    )
    statement = sa.select(messages.c.id).where(
        messages.c.campaign_id.in_(living), messages.c.status == State.FAILED, messages.c.transient == 1,
        most_tries > TRIES, ~over, ~_overtaken(now), ~_replaced,
    )  # fmt: skip
    if failed_before is not None:
        statement = statement.where(messages.c.failed_at < failed_before)
    if campaign_id is not None:
        statement = statement.where(messages.c.campaign_id == campaign_id)
    return list(connection.execute(statement.order_by(messages.c.id)).scalars())


def overdue(connection: Connection, before: datetime) -> dict[str, tuple[int, datetime]]:
    """(count, oldest) of queued messages that were to go before a moment, by running campaign."""
    statement = (
        sa.select(campaigns.c.name, sa.func.count(), sa.func.min(messages.c.next_attempt_at))
        .join(messages, messages.c.campaign_id == campaigns.c.id)
        .where(
            campaigns.c.status == CampaignStatus.RUNNING, messages.c.status == State.QUEUED,
            messages.c.next_attempt_at < before,
        )
        .group_by(campaigns.c.name)
        .order_by(campaigns.c.name)
    )  # fmt: skip
    return {row[0]: (row[1], row[2]) for row in connection.execute(statement)}


def abandon(connection: Connection, held: Sequence[Held], evidence: str, now: datetime) -> list[int]:
    """Close unknown attempts by a decision, so that a new one may be opened; returns the ids of their messages.

    A message whose doubt is another attempt's by now was not what the decision was about, and stays.
    """
    if not held:
        return []
    rows = given(connection, attempts.c.message_id, attempts.c.claim_id)
    statement = (
        sa.update(attempts)
        .where(
            attempts.c.message_id == rows.c.message_id, attempts.c.claim_id == rows.c.claim_id,
            attempts.c.outcome == AttemptOutcome.UNKNOWN,
        )
        .values(outcome=AttemptOutcome.ABANDONED, evidence=evidence, finished_at=now)
        .returning(attempts.c.message_id)
    )  # fmt: skip
    return sorted(connection.execute(statement, bound(held)).scalars())
