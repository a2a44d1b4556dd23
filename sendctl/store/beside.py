"""After a rewind: a forgotten attempt of a message that another attempt has in doubt.

Somebody had gone on without it. Its service may have taken it all the same, and has known its key since.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.providers.base import Phase
from sendctl.states import AttemptOutcome
from sendctl.store.replay import NO_REPLY, Place, Proven
from sendctl.store.tables import attempts, messages

_A = attempts.c


def put_back(connection: Connection, place: Place, proven: Proven) -> None:
    """Record it, given up, beside the one that is in doubt."""
    connection.execute(
        sa.insert(attempts).values(
            message_id=place.message_id, number=place.attempts + 1, run_id=proven.run_id, worker=proven.worker,
            claim_id=proven.claim_id, provider=proven.provider, outcome=AttemptOutcome.ABANDONED, phase=Phase.DOTTED,
            evidence="policy",  # nobody knows: what a journal proves to have been accepted says so (late.py)
            reply=proven.text or NO_REPLY, started_at=proven.at, finished_at=proven.at,
        )
    )  # fmt: skip
    counted = sa.update(messages).where(messages.c.id == place.message_id)
    connection.execute(counted.values(attempts=place.attempts + 1))


def sent_since(connection: Connection, message_id: int, at: datetime) -> bool:
    """Whether what is in doubt was sent after a moment, by the store that had forgotten what was before it."""
    statement = sa.select(_A.number).where(
        _A.message_id == message_id, _A.outcome == AttemptOutcome.UNKNOWN, _A.evidence != "journal", _A.started_at > at
    )
    return connection.execute(statement).first() is not None
