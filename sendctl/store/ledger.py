"""The one way a message changes state: through TRANSITIONS, guarded by source state and, when claimed, by claim id.

Zero rows changed means the race is lost; the loser is told, and nothing is overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import TRANSITIONS, State
from sendctl.store.dialect import one_of
from sendctl.store.tables import messages

Row = Mapping[str, Any]

# What leaving `sending` clears, and what entering a state stamps.
_UNCLAIMED = {"claim_id": None, "claim_expires_at": None, "run_id": None}


def move(connection: Connection, transition: str, rows: Sequence[Row], *, claimed: bool) -> set[int]:
    """Apply one transition to many messages; returns the ids that were not in a source state (or claim) any more.

    Each row has `id`, `claim_id` when `claimed`, and the same further column names, which are set.
    """
    if not rows:
        return set()
    names = [name for name in rows[0] if name not in ("id", "claim_id")]
    statement = _statement(transition, tuple(names), claimed)
    bound = [{f"b_{name}": value for name, value in row.items()} for row in rows]
    lost = guarded(connection, statement, bound)
    return {rows[index]["id"] for index in lost}


def _statement(transition: str, names: tuple[str, ...], claimed: bool) -> sa.Update:
    rule = TRANSITIONS[transition]
    values: dict[str, Any] = {name: sa.bindparam(f"b_{name}") for name in names}
    if State.SENDING in rule.sources:
        values |= _UNCLAIMED
    statement = sa.update(messages).where(
        messages.c.id == sa.bindparam("b_id"), one_of(messages.c.status, rule.sources)
    )
    if claimed:
        statement = statement.where(messages.c.claim_id == sa.bindparam("b_claim_id"))
    return statement.values(status=rule.target, **values)


def guarded(connection: Connection, statement: Any, rows: Sequence[Row]) -> list[int]:
    """Execute a guarded UPDATE for many rows; returns the indexes of those that changed nothing.

    All at once; only when the total is short, once more row by row to learn which.
    """
    if not rows:
        return []
    savepoint = connection.begin_nested()
    if connection.execute(statement, list(rows)).rowcount == len(rows):
        savepoint.commit()
        return []
    savepoint.rollback()
    return [index for index, row in enumerate(rows) if connection.execute(statement, row).rowcount == 0]
