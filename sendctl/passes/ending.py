"""A changed campaign file meets what is known already: whom an earlier event ends, now that the file says so.

Never undoes an end: what a file says no longer, has ended those whom it has ended.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sqlalchemy.engine import Connection

from sendctl.definition import Definition
from sendctl.states import EventType
from sendctl.store import effects, events
from sendctl.store.ledger import move

CHUNK = 1000


def apply(
    connection: Connection, campaign_id: int, before: Definition, after: Definition, now: datetime
) -> Counter[str]:  # fmt: skip
    """End enrollments that have events of types which end one from now on, each for the earliest that does.

    The caller holds the campaign: no pass is between two messages of an enrollment. Returns how many, by type; a type
    that ended nobody is there with 0.
    """
    types = [kind for kind in EventType if after.ends_on(kind) and not before.ends_on(kind)]
    stopped: Counter[str] = Counter(dict.fromkeys(types, 0))
    found = effects.with_events(connection, campaign_id, types) if types else []
    for start in range(0, len(found), CHUNK):
        some = found[start : start + CHUNK]
        first: dict[int, tuple[datetime, str]] = {}
        for one in events.of_enrollments(connection, some):
            if after.ends_on(one.type):
                moment = (one.occurred_at, one.type)
                first[one.enrollment_id] = min(first.get(one.enrollment_id, moment), moment)
        waiting = [{"id": message_id} for message_id in effects.queued_of(connection, some)]
        move(connection, "cancel", waiting, claimed=False, now=now)
        reasons = {enrollment_id: kind for enrollment_id, (_, kind) in first.items()}
        stopped.update(reasons[enrollment_id] for enrollment_id in effects.stop(connection, reasons, now))
    return stopped
