"""When what is in doubt was handed over again under its key: written before it leaves, so that a death leaves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import AttemptOutcome
from sendctl.store.bulk import bound, given
from sendctl.store.doubts import Held
from sendctl.store.tables import attempts

_A = attempts.c


def hold(connection: Connection, held: Iterable[Held]) -> dict[Held, datetime | None]:
    """Hold until commit what is in doubt still; returns when each was last handed over again.

    Two that go at once must each know of the other. Held before limits are, as in a claim.
    """
    rows = given(connection, _A.message_id, _A.claim_id)
    statement = sa.select(_A.message_id, _A.claim_id, _A.again_at).join(rows, _is_one(rows))
    found = connection.execute(statement.with_for_update(of=attempts), bound(sorted(held)))
    return {(row[0], row[1]): row[2] for row in found}


def mark(connection: Connection, held: Iterable[Held], now: datetime) -> None:
    """Write down that these are handed over again."""
    rows = given(connection, _A.message_id, _A.claim_id)
    connection.execute(sa.update(attempts).where(_is_one(rows)).values(again_at=now), bound(sorted(held)))


def _is_one(rows: sa.Subquery) -> sa.ColumnElement[bool]:
    return sa.and_(
        _A.message_id == rows.c.message_id, _A.claim_id == rows.c.claim_id, _A.outcome == AttemptOutcome.UNKNOWN
    )


def take_back(connection: Connection, before: Mapping[Held, datetime | None], marked_at: datetime) -> None:
    """These were certainly not taken then: what stood there before holds, unless somebody has marked them since."""
    for (message_id, claim_id), again_at in before.items():
        mine = (_A.message_id == message_id, _A.claim_id == claim_id, _A.again_at == marked_at)
        connection.execute(sa.update(attempts).where(*mine).values(again_at=again_at))
