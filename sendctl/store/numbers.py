"""One text to a number: people of a campaign may share one, and whoever answers it gets each text once.

Asked while contacts are loaded, by the caller that keeps other loads out (loading.only_one_loads). Not of order events:
each order is a matter of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.store.bulk import bound, given
from sendctl.store.tables import contacts, enrollments, messages

_C, _E, _M = contacts.c, enrollments.c, messages.c


class Shared(NamedTuple):
    """Places of a chunk whose number is another's: with the enrollment, or the place in the chunk, that has it."""

    enrolled: dict[int, int]
    earlier: dict[int, int]


def shared(connection: Connection, campaign_id: int, numbers: Sequence[str | None]) -> Shared:
    """Which of these numbers, None where somebody gets no text, are texted already; of equal ones the first is not."""
    first: dict[str, int] = {}
    for place, number in enumerate(numbers):
        if number is not None:
            first.setdefault(number, place)
    taken = _texted(connection, campaign_id, first) if first else {}
    found = Shared({}, {})
    for place, number in enumerate(numbers):
        if number in taken:
            found.enrolled[place] = taken[number]
        elif number is not None and first[number] != place:
            found.earlier[place] = first[number]
    return found


def _texted(connection: Connection, campaign_id: int, numbers: Iterable[str]) -> dict[str, int]:
    """The enrollment, without a subject, whose texts go to each of these numbers."""
    rows = given(connection, _C.phone)
    statement = (
        sa.select(rows.c.phone, _E.id)
        .select_from(rows)
        .join(contacts, _C.phone == rows.c.phone)
        .join(enrollments, sa.and_(_E.contact_id == _C.id, _E.campaign_id == campaign_id, _E.subject_key == ""))
        .where(sa.exists().where(_M.enrollment_id == _E.id, _M.recipient_key == rows.c.phone))
    )
    found = connection.execute(statement, bound((number,) for number in numbers))
    return {row[0]: row[1] for row in found}
