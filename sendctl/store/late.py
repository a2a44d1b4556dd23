"""Proof of attempts that somebody had gone on without, and what is kept of it while it cannot be acted upon.

A message has one accepted attempt at most, and none beside one that is in flight. Of an attempt that is proven
meanwhile its own row says so: `abandoned`, with the proof as its evidence in place of the decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.providers.base import Outcome
from sendctl.states import AttemptOutcome
from sendctl.store import effects
from sendctl.store.bulk import bound, given
from sendctl.store.outcomes import given_up, verdict
from sendctl.store.tables import attempts, events, messages

_A, _M, _V = attempts.c, messages.c, events.c

_DECISIONS = ("policy", "operator")
_OVERTAKEN = "nobody knows, and need not: an earlier attempt is proven to have been accepted"


class Proof(NamedTuple):
    """What proves that the attempt of a claim was accepted; `at` None: at the moment of its handing over."""

    message_id: int
    claim_id: str
    evidence: str
    at: datetime | None


def was_abandoned(connection: Connection, message_id: int) -> bool:
    """Whether somebody has gone on without knowing what became of an attempt of a message."""
    statement = sa.select(_A.number).where(_A.message_id == message_id, _A.outcome == AttemptOutcome.ABANDONED)
    return connection.execute(statement.limit(1)).first() is not None


def hold(connection: Connection, message_ids: Iterable[int]) -> None:
    """Keep messages as they are until commit, in order of id. SQLite has one writer, which is lock enough.

    Whoever records the outcome in flight moves its message first and asks for proof then; who has proof holds the
    message before it looks where that is. So one of them sees what the other has done.
    """
    if connection.dialect.name != "sqlite":
        rows = given(connection, _M.id)
        statement = sa.select(_M.id).where(_M.id.in_(sa.select(rows.c.id))).order_by(_M.id).with_for_update()
        connection.execute(statement, bound((one,) for one in sorted(set(message_ids)))).all()


def last_given_up(connection: Connection, message_id: int, claim_id: str | None) -> int | None:
    """The number of the last attempt that somebody has gone on without; of one claim when given."""
    statement = sa.select(sa.func.max(_A.number)).where(_A.message_id == message_id, given_up())
    if claim_id is not None:
        statement = statement.where(_A.claim_id == claim_id)
    found: int | None = connection.execute(statement).scalar_one()
    return found


def overtake(connection: Connection, message_id: int, now: datetime) -> bool:
    """Close the attempt in doubt of a message of which another attempt was accepted; False when there is none."""
    statement = sa.update(attempts).where(_A.message_id == message_id, _A.outcome == AttemptOutcome.UNKNOWN)
    values = {"outcome": AttemptOutcome.ABANDONED, "evidence": "policy", "reply": _OVERTAKEN, "finished_at": now}
    return connection.execute(statement.values(**values)).rowcount > 0


def proven(connection: Connection, message_ids: Iterable[int]) -> list[Proof]:
    """What was proven of earlier attempts of these messages while a later one was in flight; what names one goes first.

    By events also of the later one, if that is in doubt now.
    """
    wanted = sorted(set(message_ids))
    rows = given(connection, _M.id)
    those = _A.message_id.in_(sa.select(rows.c.id))
    kept = sa.select(_A.message_id, _A.claim_id, _A.evidence, _A.finished_at).where(
        those, _A.outcome == AttemptOutcome.ABANDONED, _A.evidence.not_in(_DECISIONS)
    )
    found: Iterable[Any] = connection.execute(kept.order_by(_A.message_id), bound((one,) for one in wanted))
    of_themselves = [Proof(*row) for row in found]
    told = _told(connection, wanted)
    said = effects.accepted_at(connection, told)
    by_events = [
        Proof(message_id, claim_id, "event", said.get(message_id))
        for message_id, claim_id in effects.unproven(connection, told)
    ]
    return of_themselves + by_events


def _told(connection: Connection, message_ids: Iterable[int]) -> list[int]:
    """Those of these messages that an event proves to have been accepted."""
    rows = given(connection, _M.id)
    proves = sa.exists().where(
        _V.enrollment_id == _M.enrollment_id, _V.message_id == _M.id, _V.proves_sent == 1
    )  # fmt: skip
    statement = sa.select(_M.id).where(_M.id.in_(sa.select(rows.c.id)), proves)
    return list(connection.execute(statement, bound((one,) for one in message_ids)).scalars())


def keep(
    connection: Connection, message_id: int, number: int, kind: AttemptOutcome, outcome: Outcome, *, evidence: str,
    at: datetime,
) -> None:  # fmt: skip
    """Write what is proven into an attempt that was given up: `accepted`, or `abandoned` where it cannot be that."""
    statement = sa.update(attempts).where(_A.message_id == message_id, _A.number == number, given_up())
    connection.execute(statement.values(**verdict(kind, outcome, evidence, at)))
