"""Ids of rows: small integers, taken in blocks, so that a person can say them and a bulk load needs no round trips.

They name rows, nothing more: whatever leaves this store is named by an HMAC (identity.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.store.tables import id_blocks


def take_ids(connection: Connection, kind: str, count: int) -> range:
    """Reserve `count` ids of a kind. Holds that kind's row until commit: keep the transaction short.

    A long one (enqueue) takes what it needs in a transaction of its own beforehand.
    """
    statement = (
        sa.update(id_blocks)
        .where(id_blocks.c.kind == kind)
        .values(next_id=id_blocks.c.next_id + count)
        .returning(id_blocks.c.next_id)
    )
    after = connection.execute(statement).scalar_one()
    return range(after - count, after)
