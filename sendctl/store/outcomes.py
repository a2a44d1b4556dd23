"""Recording what came of attempts: the message, its attempt and its enrollment, in the caller's one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.providers.base import Outcome
from sendctl.states import AttemptOutcome, State
from sendctl.store.bulk import bound, given
from sendctl.store.claims import Due
from sendctl.store.ledger import move
from sendctl.store.places import Advancing, Fate, Over, conclude
from sendctl.store.tables import attempts, messages


class Settled(NamedTuple):
    """One outcome to record, with the move already decided (policy.decide). `at` is when it became known."""

    due: Due
    number: int  # of the attempt
    claim_id: str
    outcome: Outcome
    transition: str
    charged: bool
    next_attempt_at: datetime
    next_provider: str | None
    transient: bool
    evidence: str
    at: datetime


def settle(connection: Connection, settled: Sequence[Settled], advancing: Advancing, now: datetime) -> set[int]:
    """Record outcomes of claimed messages, fenced by claim id; returns the ids whose claim is another's by now."""
    groups: dict[str, list[Settled]] = defaultdict(list)
    for item in settled:
        groups[item.transition].append(item)
    lost: set[int] = set()
    for transition, items in groups.items():
        lost |= move(connection, transition, list(map(_message, items)), claimed=True, now=now)
    kept = [item for item in settled if item.due.id not in lost]
    _record_attempts(connection, kept)
    unfreeze(connection, [item.due.id for item in kept if item.outcome.kind is AttemptOutcome.UNTOUCHED])
    fates: dict[str, Fate] = {"accept": "sent", "refuse": "failed"}
    over = [Over(item.due, item.at, fates[item.transition]) for item in kept if item.transition in fates]
    conclude(connection, over, advancing, now)
    return lost


def _message(item: Settled) -> dict[str, Any]:
    charged_attempts = item.due.charged_attempts + item.charged
    base = {"id": item.due.id, "claim_id": item.claim_id, "charged_attempts": charged_attempts}
    if item.transition == "accept":
        return base | {"sent_at": item.at}
    base |= {"error_class": item.outcome.error_class or None, "last_error": item.outcome.text or None}
    match item.transition:
        case "refuse":
            return base | {"failed_at": item.at, "transient": int(item.transient)}
        case "doubt":
            return base | {"in_doubt_at": item.at}
        case _:
            return base | {"next_attempt_at": item.next_attempt_at, "next_provider": item.next_provider}


def _attempt(item: Settled) -> tuple[Any, ...]:
    outcome = item.outcome
    return (
        item.due.id, item.number, outcome.kind, outcome.phase, item.evidence, outcome.code, outcome.enhanced or None,
        outcome.error_class or None, outcome.text or None, outcome.provider_message_id or None, item.at,
    )  # fmt: skip


_A = attempts.c
_ATTEMPT_COLUMNS = (
    _A.message_id, _A.number, _A.outcome, _A.phase, _A.evidence, _A.code, _A.enhanced, _A.error_class, _A.reply,
    _A.provider_message_id, _A.finished_at,
)  # fmt: skip


def _record_attempts(connection: Connection, settled: Sequence[Settled]) -> None:
    """Write outcomes into attempts that are open; others are left as they are."""
    if settled:
        statement = _close_attempts(given(connection, *_ATTEMPT_COLUMNS))
        connection.execute(statement, bound(_attempt(item) for item in settled))


@cache
def _close_attempts(rows: sa.Subquery) -> sa.Update:
    return (
        sa.update(attempts)
        .where(_A.message_id == rows.c.message_id, _A.number == rows.c.number, _A.outcome == AttemptOutcome.OPEN)
        .values({column.name: rows.c[column.name] for column in _ATTEMPT_COLUMNS[2:]})
    )


def resolve_doubt(
    connection: Connection, message_id: int, outcome: Outcome, *, evidence: str, at: datetime,
    claim_id: str | None = None,
) -> bool:  # fmt: skip
    """Give an unknown attempt its verdict, which came about at a moment; False when there is none (any more).

    With `claim_id`, only the attempt which that claim made.
    """
    statement = sa.update(attempts).where(
        attempts.c.message_id == message_id, attempts.c.outcome == AttemptOutcome.UNKNOWN
    )
    if claim_id is not None:
        statement = statement.where(attempts.c.claim_id == claim_id)
    return connection.execute(statement.values(**verdict(outcome.kind, outcome, evidence, at))).rowcount > 0


def verdict(kind: AttemptOutcome, outcome: Outcome, evidence: str, at: datetime) -> dict[str, Any]:
    """What is written into an attempt that is settled later than by its reply; what else it says stays."""
    values: dict[str, Any] = {"outcome": kind, "evidence": evidence, "finished_at": at}
    values |= {"reply": outcome.text} if outcome.text else {}
    return values | ({"provider_message_id": outcome.provider_message_id} if outcome.provider_message_id else {})


def doubt_begun_at(connection: Connection, message_id: int, claim_id: str | None) -> datetime | None:
    """When the attempt of which nobody knows was begun; of one claim when given. None where there is none.

    The one in doubt, else the last that somebody has gone on without.
    """
    statement = (
        sa.select(_A.started_at)
        .where(_A.message_id == message_id, sa.or_(_A.outcome == AttemptOutcome.UNKNOWN, given_up()))
        .order_by(_A.outcome != AttemptOutcome.UNKNOWN, _A.number.desc())
        .limit(1)
    )
    if claim_id is not None:
        statement = statement.where(_A.claim_id == claim_id)
    found: datetime | None = connection.execute(statement).scalar_one_or_none()
    return found


def given_up() -> sa.ColumnElement[bool]:
    """An attempt that somebody has gone on without, while its provider may have it all the same.

    By a decision; or as it was not found where it was looked for, which a proof of the opposite outweighs.
    """
    not_found = sa.and_(_A.outcome == AttemptOutcome.DEFERRED, _A.evidence.in_(["lookup", "mta_log"]))
    return sa.or_(_A.outcome == AttemptOutcome.ABANDONED, not_found)


def unfreeze(connection: Connection, ids: Sequence[int]) -> None:
    """Let queued messages be composed afresh of which nobody can have received a copy: no attempt is in any doubt."""
    if not ids:
        return
    rows = given(connection, messages.c.id)
    statement = _unfreeze().where(messages.c.id.in_(sa.select(rows.c.id)))
    connection.execute(statement, bound((message_id,) for message_id in ids))


def unfreeze_campaign(connection: Connection, campaign_id: int) -> None:
    """The same for all queued messages of a campaign whose contents have changed."""
    tried = messages.c.revision.is_not(None)
    connection.execute(_unfreeze().where(messages.c.campaign_id == campaign_id, tried))


def _unfreeze() -> sa.Update:
    """Not of a copy of what was accepted: that says the same again, whatever the campaign says by now."""
    perhaps = (AttemptOutcome.OPEN, AttemptOutcome.ACCEPTED, AttemptOutcome.UNKNOWN, AttemptOutcome.ABANDONED)
    received = sa.exists().where(_A.message_id == messages.c.id, _A.outcome.in_(perhaps))
    first = messages.alias("first")
    says_the_same = sa.exists().where(
        first.c.enrollment_id == messages.c.enrollment_id, first.c.step_index == messages.c.step_index,
        first.c.occurrence == messages.c.occurrence, first.c.channel == messages.c.channel,
        first.c.copy < messages.c.copy, first.c.status.in_([State.SENT, State.BOUNCED]),
    )  # fmt: skip
    told = sa.and_(messages.c.copy > 0, says_the_same)
    unread = sa.update(messages).where(messages.c.status == State.QUEUED, ~told, ~received)
    return unread.values(revision=None, composed_at=None)
