"""The one way a message changes state: through TRANSITIONS, guarded by source state and, when claimed, by claim id.

A row that did not change means that the race is lost; the loser is told, and nothing is overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import TRANSITIONS, State
from sendctl.store import notices
from sendctl.store.bulk import bound, given
from sendctl.store.tables import messages

Row = Mapping[str, Any]

# What leaving `sending` clears, and what arriving at `sent` does.
_UNCLAIMED = {"claim_id": None, "claim_expires_at": None, "run_id": None}
_NO_ERROR = {"error_class": None, "last_error": None}


def move(connection: Connection, transition: str, rows: Sequence[Row], *, claimed: bool, now: datetime) -> set[int]:
    """Apply one transition to many messages; returns the ids that were not in a source state (or claim) any more.

    Each row has `id`, `claim_id` when `claimed`, and the same further column names, which are set.
    """
    if not rows:
        return set()
    names = tuple(rows[0])
    statement = _statement(given(connection, *(messages.c[name] for name in names)), transition, names, claimed)
    given_rows = bound([*row.values()] for row in rows)
    moved = {row[0] for row in connection.execute(statement, given_rows | {"now": now})}
    notices.after_move(connection, transition, moved, now)
    if len(moved) == len(rows):
        return set()
    return {row["id"] for row in rows} - moved


@cache
def _statement(rows: sa.Subquery, transition: str, names: tuple[str, ...], claimed: bool) -> Any:
    rule = TRANSITIONS[transition]
    values: dict[str, Any] = {name: rows.c[name] for name in names if name not in ("id", "claim_id")}
    if State.SENDING in rule.sources:
        values |= _UNCLAIMED
    if rule.target is State.SENT:
        values |= _NO_ERROR
    values["updated_at"] = sa.bindparam("now", type_=messages.c.updated_at.type)
    statement = sa.update(messages).where(messages.c.id == rows.c.id, messages.c.status.in_(sorted(rule.sources)))
    if claimed:
        statement = statement.where(messages.c.claim_id == rows.c.claim_id)
    return statement.values(status=rule.target, **values).returning(messages.c.id)
