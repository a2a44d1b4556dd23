"""Why nothing may leave this host now, whatever is due: the store was rewound, is somewhere else, or hosts must look.

Asked in the transaction of whatever sends: the claim, and the same again under its key.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy.engine import Connection

from sendctl.passes.context import Context
from sendctl.passes.place import elsewhere, put_back
from sendctl.store import meta


class Standstill(NamedTuple):
    """`reason` in words; `left_s` is for how long at the most, None: until journals are replayed."""

    reason: str
    left_s: float | None = None


def at_present(context: Context, connection: Connection, now: datetime) -> Standstill | None:
    """What keeps everything here, or None. `now` is the store's time."""
    host_id, row = context.home.host_id, meta.read(connection)
    if meta.host_epoch(connection, host_id) != row.epoch:
        return Standstill("the store was rewound, and the journals of this host are not replayed yet")
    if behind := meta.hosts_behind(connection, row.epoch):
        return Standstill(f"the store was rewound, and journals are not replayed yet on: {', '.join(behind)}")
    identity = meta.database_identity(connection) if row.database_id is not None else None
    if another := elsewhere(context, row, identity) or put_back(row, identity):
        return Standstill(f"another database answers now: {another}")
    awaited = meta.awaited(connection, host_id=host_id, now=now)
    return Standstill(str(awaited), awaited.left_s) if awaited is not None else None
