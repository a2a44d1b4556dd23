"""The audit: what operators did, and what sendctl stopped by itself, and why."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.store.ids import take_ids
from sendctl.store.tables import audit


def write(
    connection: Connection, *, login: str, hostname: str, action: str, campaign_id: int | None, reason: str,
    detail: dict[str, Any], now: datetime,
) -> None:  # fmt: skip
    """Record one action, in the transaction that does it."""
    (row_id,) = take_ids(connection, "audit", 1)
    connection.execute(
        sa.insert(audit).values(
            id=row_id, at=now, login=login, hostname=hostname, action=action, campaign_id=campaign_id, reason=reason,
            detail=json.dumps(detail, default=str),
        )
    )  # fmt: skip


def latest(connection: Connection, campaign_id: int | None = None, limit: int = 5) -> list[Any]:
    """The last actions, newest first; of one campaign when given."""
    statement = sa.select(audit).order_by(audit.c.at.desc(), audit.c.id.desc()).limit(limit)
    if campaign_id is not None:
        statement = statement.where(audit.c.campaign_id == campaign_id)
    return list(connection.execute(statement))


def moment_named(connection: Connection, campaign_id: int) -> datetime | None:
    """The moment that the last `reschedule` of a campaign has named; None where nobody has."""
    details = connection.execute(
        sa.select(audit.c.detail)
        .where(audit.c.campaign_id == campaign_id, audit.c.action == "reschedule")
        .order_by(audit.c.id.desc())
        .limit(1)
    )
    named = json.loads(details.scalar() or "{}").get("named")
    return None if named is None else datetime.fromisoformat(named)
