"""Loading contacts into a campaign, a chunk at a time inside one transaction: only what is new is written.

All of a load happens in the caller's transaction, which also decided on the ids; nothing is visible before it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import EnrollmentStatus, State
from sendctl.store.dialect import insert_rows
from sendctl.store.enrollments import planned_message
from sendctl.store.id_set import IdSet
from sendctl.store.ids import take_ids
from sendctl.store.tables import contacts, enrollments, messages

SHOWN_REPEATS = 20
PUT_OFF_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One valid row of a contacts file, as the ledger needs it."""

    line: int
    address_key: str
    email: str | None
    phone: str | None
    external_id: str | None
    timezone: str | None
    attributes: str  # JSON object
    token: str
    provider_key: str
    due_at: datetime
    expires_at: datetime | None


class Ids:
    """Ids for a whole load, taken beforehand: a long transaction must not hold the counters."""

    def __init__(self, contact_ids: range, enrollment_ids: range, message_ids: range) -> None:
        self.enrollment_ids, self.message_ids = enrollment_ids, message_ids
        self.contacts: Iterator[int] = iter(contact_ids)
        self.enrollments: Iterator[int] = iter(enrollment_ids)
        self.messages: Iterator[int] = iter(message_ids)


def take_for(connection: Connection, count: int) -> Ids:
    """Ids for at most `count` new people."""
    return Ids(*(take_ids(connection, kind, count) for kind in ("contacts", "enrollments", "messages")))


def only_one_loads(connection: Connection) -> None:
    """One load at a time, so that two never race for the same contact. SQLite has one writer anyway."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('sendctl enqueue'))")


@dataclass
class Loaded:
    """What a load has added so far. Each row of the file counts once: `enrolled`, `known` or `repeated_count`."""

    contacts: int = 0  # people not in the store before
    enrolled: int = 0
    known: int = 0  # people who were enrolled before
    repeated_count: int = 0  # rows whose address stood in the file before
    repeated: list[tuple[int, str]] = field(default_factory=list)  # the first of these: (line, address)
    people: IdSet = field(default_factory=IdSet)  # enrollments of the file's people
    repeaters: IdSet = field(default_factory=IdSet)  # those of them that stand in it more than once


def load_chunk(
    connection: Connection, campaign_id: int, channel: str, chunk: Sequence[Entry], ids: Ids, loaded: Loaded,
    now: datetime,
) -> None:  # fmt: skip
    """Enroll the people of a chunk who are not yet in the campaign, with their first message, and count in `loaded`.

    Of rows with one address the first counts, in whichever chunks they are.
    """
    first: dict[str, Entry] = {}
    again = [entry for entry in chunk if first.setdefault(entry.address_key, entry) is not entry]
    people = _known_people(connection, list(first))
    loaded.contacts += len(first) - len(people)
    places = _places(connection, campaign_id, [person for person, _ in people.values()])
    fresh = [entry for key, entry in first.items() if key not in people or people[key][0] not in places]
    for entry in first.values():
        person = people.get(entry.address_key)
        if person is not None and person[0] in places:
            if loaded.people.add(places[person[0]]):
                loaded.known += 1
            else:
                again.append(entry)
    _write_contacts(connection, [first[key] for key in first if key not in people], people, ids, now)
    _refresh(connection, [(people[entry.address_key], entry) for entry in fresh], now)
    places |= _enroll(connection, campaign_id, channel, fresh, people, ids, now)
    loaded.enrolled += len(fresh)
    for entry in fresh:
        loaded.people.add(places[people[entry.address_key][0]])
    _count_repeated(loaded, [(entry, places[people[entry.address_key][0]]) for entry in again])


def _count_repeated(loaded: Loaded, again: list[tuple[Entry, int]]) -> None:
    again.sort(key=lambda pair: pair[0].line)
    loaded.repeated_count += len(again)
    for entry, enrollment_id in again:
        loaded.repeaters.add(enrollment_id)
        if len(loaded.repeated) < SHOWN_REPEATS:
            loaded.repeated.append((entry.line, entry.address_key))


def _known_people(connection: Connection, keys: list[str]) -> dict[str, tuple[int, str]]:
    """(contact id, attributes) by address."""
    statement = sa.select(contacts.c.address_key, contacts.c.id, contacts.c.attributes).where(
        contacts.c.address_key.in_(keys)
    )
    return {row.address_key: (row.id, row.attributes) for row in connection.execute(statement)}


def _places(connection: Connection, campaign_id: int, contact_ids: list[int]) -> dict[int, int]:
    """Each contact's enrollment for the campaign itself (no subject), where there is one."""
    if not contact_ids:
        return {}
    statement = sa.select(enrollments.c.contact_id, enrollments.c.id).where(
        enrollments.c.campaign_id == campaign_id, enrollments.c.contact_id.in_(contact_ids),
        enrollments.c.subject_key == "",
    )  # fmt: skip
    return {row.contact_id: row.id for row in connection.execute(statement)}


def _write_contacts(
    connection: Connection, entries: Sequence[Entry], people: dict[str, tuple[int, str]], ids: Ids, now: datetime
) -> None:
    rows = []
    for entry in entries:
        contact_id = next(ids.contacts)
        people[entry.address_key] = (contact_id, entry.attributes)
        rows.append({
            "id": contact_id, "address_key": entry.address_key, "email": entry.email, "phone": entry.phone,
            "external_id": entry.external_id, "timezone": entry.timezone, "attributes": entry.attributes,
            "created_at": now, "updated_at": now,
        })  # fmt: skip
    insert_rows(connection, contacts, rows)


def _refresh(connection: Connection, pairs: Sequence[tuple[tuple[int, str], Entry]], now: datetime) -> None:
    """Contacts keep the latest attributes; enrollments keep theirs."""
    rows = [
        {"b_id": contact_id, "b_attributes": entry.attributes, "b_timezone": entry.timezone, "b_now": now}
        for (contact_id, attributes), entry in pairs
        if attributes != entry.attributes
    ]
    if rows:
        statement = (
            sa.update(contacts)
            .where(contacts.c.id == sa.bindparam("b_id"))
            .values(
                attributes=sa.bindparam("b_attributes"), timezone=sa.bindparam("b_timezone"),
                updated_at=sa.bindparam("b_now", type_=contacts.c.updated_at.type),
            )
        )  # fmt: skip
        connection.execute(statement, rows)


def _enroll(
    connection: Connection, campaign_id: int, channel: str, entries: Sequence[Entry],
    people: dict[str, tuple[int, str]], ids: Ids, now: datetime,
) -> dict[int, int]:  # fmt: skip
    """Returns the new enrollment of each contact."""
    enrolled, planned = [], []
    places: dict[int, int] = {}
    for entry in entries:
        contact_id, enrollment_id = people[entry.address_key][0], next(ids.enrollments)
        places[contact_id] = enrollment_id
        enrolled.append({
            "id": enrollment_id, "campaign_id": campaign_id, "contact_id": contact_id,
            "subject_key": "", "status": EnrollmentStatus.ACTIVE, "current_step_index": 0,
            "next_scheduled_at": entry.due_at, "token": entry.token, "timezone": entry.timezone,
            "snapshot": entry.attributes, "created_at": now, "updated_at": now,
        })  # fmt: skip
        planned.append(
            planned_message(
                message_id=next(ids.messages), campaign_id=campaign_id, enrollment_id=enrollment_id, step_index=0,
                channel=channel, recipient=(entry.email if channel == "email" else entry.phone) or "",
                recipient_key=entry.address_key, key=entry.provider_key, due_at=entry.due_at,
                expires_at=entry.expires_at, now=now,
            )
        )  # fmt: skip
    insert_rows(connection, enrollments, enrolled)
    insert_rows(connection, messages, planned)
    return places


def put_off(
    connection: Connection, ids: Ids, enrolled: int, moment: datetime, expires_after_s: int | None
) -> None:  # fmt: skip
    """Let what this load has planned for before `moment` be due at `moment`.

    In pieces: one statement over millions of rows would meet Postgres's statement_timeout.
    """
    expires_at = None if expires_after_s is None else moment + timedelta(seconds=expires_after_s)
    for start in range(0, enrolled, PUT_OFF_ROWS):
        planned, places = (block[start : min(start + PUT_OFF_ROWS, enrolled)] for block in (
            ids.message_ids, ids.enrollment_ids))  # fmt: skip
        connection.execute(
            sa.update(messages)
            .where(messages.c.id.between(planned[0], planned[-1]), messages.c.due_at < moment)
            .values(due_at=moment, next_attempt_at=moment, expires_at=expires_at)
        )
        connection.execute(
            sa.update(enrollments)
            .where(enrollments.c.id.between(places[0], places[-1]), enrollments.c.next_scheduled_at < moment)
            .values(next_scheduled_at=moment)
        )


def waiting_snapshots(connection: Connection, campaign_id: int) -> Iterator[tuple[str, str]]:
    """(address, snapshot) of active enrollments, streamed: those whom a change of templates would concern."""
    statement = (
        sa.select(contacts.c.address_key, enrollments.c.snapshot)
        .join(contacts, contacts.c.id == enrollments.c.contact_id)
        .where(enrollments.c.campaign_id == campaign_id, enrollments.c.status == EnrollmentStatus.ACTIVE)
        .execution_options(stream_results=True, max_row_buffer=1000)
    )
    for row in connection.execute(statement):
        yield row.address_key, row.snapshot


@dataclass(frozen=True, slots=True)
class Reached:
    """Messages that are not over: those a new revision reaches, and those somebody may have a copy of.

    Of the latter, `kept` keep the contents they began with; what was sent is `unknown` since the store was put back.
    """

    planned: int
    kept: int
    unknown: int


def reached(connection: Connection, campaign_id: int) -> Reached:
    """What a new revision means for a campaign's messages."""
    m = messages.c
    fresh, doubtful = m.revision.is_(None), m.status == State.IN_DOUBT
    counts = [sa.func.coalesce(sa.func.sum(sa.case((found, 1), else_=0)), 0) for found in (
        sa.and_(fresh, ~doubtful), ~fresh, sa.and_(fresh, doubtful)
    )]  # fmt: skip
    open_states = (State.QUEUED, State.SENDING, State.IN_DOUBT)
    statement = sa.select(*counts).where(m.campaign_id == campaign_id, m.status.in_(open_states))
    return Reached(*map(int, connection.execute(statement).one()))
