"""Subjects: what order events have said of each key, the enrollments that are about them, and stopping those.

What is known of a subject only grows (the earliest that makes it eligible, the latest that ends it), so that events may
come in any order and any number of times. The caller keeps other loads out (loading.only_one_loads).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import EnrollmentStatus, State
from sendctl.store import ledger, loading
from sendctl.store.bulk import bound, given
from sendctl.store.loading import About, Entries, Ids
from sendctl.store.tables import enrollments, messages, subjects

CHUNK = 1000
_S, _E, _M = subjects.c, enrollments.c, messages.c
_COLUMNS = (_S.subject_key, _S.eligible_at, _S.stopped_at, _S.stop_type)

_PREFIX = sa.Column("prefix", sa.Text)


class Subject(NamedTuple):
    """What events have said of one key, by their own times."""

    eligible_at: datetime | None = None  # the earliest
    stopped_at: datetime | None = None  # the latest
    stop_type: str | None = None

    def is_over(self, own_type: str) -> bool:
        """Ended by an event that is not before the first which made it eligible.

        One of the trigger's own type must be later: the same event again, under a changed `where`, ends nothing.
        """
        if self.eligible_at is None or self.stopped_at is None:
            return False
        if self.stop_type == own_type:
            return self.stopped_at > self.eligible_at
        return self.stopped_at >= self.eligible_at


def known(connection: Connection, campaign_id: int, keys: Iterable[str]) -> dict[str, Subject]:
    """Those of these keys of which anything is known."""
    # Not a join: SQLite would begin it with all subjects of the campaign, and look through the given ones for each.
    theirs = _S.subject_key.in_(sa.select(given(connection, _S.subject_key).c.subject_key))
    statement = sa.select(*_COLUMNS).where(_S.campaign_id == campaign_id, theirs)
    found: Iterable[Any] = connection.execute(statement, bound((key,) for key in keys))
    return {row[0]: Subject(*row[1:]) for row in found}


def save(connection: Connection, campaign_id: int, changed: Mapping[str, Subject]) -> None:
    """Write down what is known now of these keys."""
    if not changed:
        return
    rows = given(connection, *_COLUMNS)
    values = {"given": bound((key, *subject) for key, subject in changed.items())["given"]}
    connection.execute(
        sa.delete(subjects).where(_S.campaign_id == campaign_id, _S.subject_key.in_(sa.select(rows.c.subject_key))),
        values,
    )
    whose = sa.bindparam("campaign", campaign_id, type_=_S.campaign_id.type).label("campaign_id")
    connection.execute(
        sa.insert(subjects).from_select(
            ["campaign_id", *(column.name for column in _COLUMNS)], sa.select(whose, *rows.c)
        ),
        values,
    )


def enrolled(connection: Connection, campaign_id: int, keys: Iterable[str]) -> dict[str, int]:
    """The enrollment of each of these keys, where there is one."""
    theirs = _E.subject_key.in_(sa.select(given(connection, _E.subject_key).c.subject_key))
    statement = sa.select(_E.subject_key, _E.id).where(
        _E.campaign_id == campaign_id, _E.subject_key != "", theirs  # "" is not in the partial index
    )  # fmt: skip
    return {row[0]: row[1] for row in connection.execute(statement, bound((key,) for key in keys))}


class OfPrefix(NamedTuple):
    """An enrollment whose key begins with a prefix."""

    prefix: str
    subject_key: str
    snapshot: str  # JSON


def beginning_with(connection: Connection, campaign_id: int, prefixes: Iterable[str]) -> list[OfPrefix]:
    """Enrollments whose keys begin with these. Reads all keys of the campaign: collations differ."""
    wanted = sorted(set(prefixes))
    if not wanted:
        return []
    rows = given(connection, _PREFIX)
    begins = sa.func.substr(_E.subject_key, 1, sa.func.length(rows.c.prefix)) == rows.c.prefix
    statement = sa.select(rows.c.prefix, _E.subject_key, _E.snapshot).join(rows, begins)
    statement = statement.where(_E.campaign_id == campaign_id, _E.subject_key != "")
    return [OfPrefix(*row) for row in connection.execute(statement, bound((prefix,) for prefix in wanted))]


def enroll(connection: Connection, campaign_id: int, entries: Entries, about: About, ids: Ids, now: datetime) -> int:
    """Enroll the people of these entries, once for each, with their first messages. Returns how many people are new."""
    first: dict[str, int] = {}
    for place, key in enumerate(entries.address_keys):
        first.setdefault(key, place)
    people = loading.known_people(connection, list(first))
    unknown = entries.at([place for key, place in first.items() if key not in people])
    loading.refresh_contacts(connection, people, entries.at(list(first.values())), now)
    contact_ids = {key: person for key, (person, _) in people.items()}
    contact_ids |= loading.add_contacts(connection, unknown, ids, now)
    loading.enroll(connection, campaign_id, entries, contact_ids, ids, now, about)
    return len(unknown.lines)


class Earlier(NamedTuple):
    """An enrollment whose order an event wants earlier than planned, and for when."""

    enrollment_id: int
    wanted_at: datetime


class Untried(NamedTuple):
    """The first message of an enrollment, queued and never tried; the zone is the one frozen with its enrollment."""

    enrollment_id: int
    message_id: int
    due_at: datetime
    timezone: str | None


def untried(connection: Connection, earlier: Sequence[Earlier]) -> list[Untried]:
    """The first messages of these enrollments that are queued and were never tried."""
    rows = given(connection, _M.enrollment_id)
    statement = (
        sa.select(_M.enrollment_id, _M.id, _M.due_at, _E.timezone)
        .join(rows, rows.c.enrollment_id == _M.enrollment_id)
        .join(enrollments, _E.id == _M.enrollment_id)
        .where(_M.step_index == 0, _M.occurrence == 0, _M.copy == 0, _M.status == State.QUEUED, _M.attempts == 0)
    )
    found = connection.execute(statement, bound((item.enrollment_id,) for item in earlier))
    return [Untried(*row) for row in found]


def stop(
    connection: Connection, campaign_id: int, enrollment_ids: Sequence[int], types: Iterable[str], now: datetime
) -> Counter[str]:
    """Stop these enrollments for what ended their subjects, and cancel what is queued of them.

    Returns how many, by the type of event. One that such an event had stopped before says the latest. The caller holds
    the campaign: no pass is between two messages of an enrollment.
    """
    stopped: Counter[str] = Counter()
    for start in range(0, len(enrollment_ids), CHUNK):
        wanted = bound((enrollment_id,) for enrollment_id in enrollment_ids[start : start + CHUNK])
        rows = given(connection, _E.id)
        queued = sa.select(_M.id).join(rows, rows.c.id == _M.enrollment_id).where(_M.status == State.QUEUED)
        waiting = [{"id": message_id} for message_id in connection.execute(queued, wanted).scalars()]
        ledger.move(connection, "cancel", waiting, claimed=False, now=now)
        theirs = sa.and_(_E.id == rows.c.id, _S.campaign_id == campaign_id, _S.subject_key == _E.subject_key)
        going = _E.status.in_([EnrollmentStatus.ACTIVE, EnrollmentStatus.FAILED])
        again = sa.and_(
            _E.status == EnrollmentStatus.STOPPED, _E.ended_for.in_(list(types)), _E.ended_for != _S.stop_type
        )  # fmt: skip
        connection.execute(sa.update(enrollments).where(theirs, again).values(ended_for=_S.stop_type), wanted)
        ended = sa.update(enrollments).where(theirs, going).values(
            status=EnrollmentStatus.STOPPED, next_scheduled_at=None, ended_for=_S.stop_type, updated_at=now
        )  # fmt: skip
        stopped.update(connection.execute(ended.returning(_E.ended_for), wanted).scalars())
    return stopped
