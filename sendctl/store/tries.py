"""How often a message was really tried: what its waits grow by, and what bounds its retries. Never a stored number.

A try is an attempt of which something left. What was halted or given back is none, however often that was: a provider
that is away, or a quota that is used up, costs nobody anything (docs/STATES.md).
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.providers.base import Phase
from sendctl.states import AttemptOutcome
from sendctl.store.bulk import bound, given
from sendctl.store.tables import attempts, messages

_A = attempts.c
_NO_TRIES = (AttemptOutcome.OPEN, AttemptOutcome.HALTED, AttemptOutcome.UNTOUCHED)
_is_try = sa.and_(_A.outcome.not_in(_NO_TRIES), _A.phase != Phase.UNTOUCHED)

# Of a message of the statement around it.
TRIES = sa.select(sa.func.count()).where(_A.message_id == messages.c.id, _is_try).scalar_subquery()


def tries_of(connection: Connection, ids: Iterable[int]) -> dict[int, int]:
    """How often each of these messages was tried so far, without what is open; those never tried are left out."""
    wanted = [(message_id,) for message_id in sorted(set(ids))]
    if not wanted:
        return {}
    rows = given(connection, _A.message_id)
    statement = (
        sa.select(_A.message_id, sa.func.count())
        .where(_A.message_id.in_(sa.select(rows.c.message_id)), _is_try)
        .group_by(_A.message_id)
    )
    return {row[0]: row[1] for row in connection.execute(statement, bound(wanted))}
