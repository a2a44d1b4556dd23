"""Loading contacts into a campaign, a chunk at a time inside one transaction: only what is new is written.

All of a load happens in the caller's transaction, which also decided on the ids; nothing is visible before it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import EnrollmentStatus, State
from sendctl.store.dialect import insert_rows
from sendctl.store.enrollments import planned_message
from sendctl.store.ids import take_ids
from sendctl.store.tables import contacts, enrollments, messages


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


@dataclass
class Ids:
    """Ids for a whole load, taken beforehand: a long transaction must not hold the counters."""

    contacts: Iterator[int]
    enrollments: Iterator[int]
    messages: Iterator[int]


def take_for(connection: Connection, count: int) -> Ids:
    """Ids for at most `count` new people."""
    return Ids(*(iter(take_ids(connection, kind, count)) for kind in ("contacts", "enrollments", "messages")))


def only_one_loads(connection: Connection) -> None:
    """One load at a time, so that two never race for the same contact. SQLite has one writer anyway."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('sendctl enqueue'))")


@dataclass
class Loaded:
    """What a chunk added. `known` were enrolled before; `repeated` stood in the file already: (line, address)."""

    contacts: int = 0
    enrolled: int = 0
    known: int = 0
    repeated: list[tuple[int, str]] | None = None

    def add(self, other: Loaded, *, most: int) -> None:
        self.contacts += other.contacts
        self.enrolled += other.enrolled
        self.known += other.known
        self.repeated = ((self.repeated or []) + (other.repeated or []))[:most]


def load_chunk(
    connection: Connection, campaign_id: int, channel: str, chunk: Sequence[Entry], ids: Ids, now: datetime
) -> tuple[Loaded, int]:
    """Enroll the people of a chunk who are not yet in the campaign, with their first message.

    Returns what was added, and how many rows repeated an address of the same file.
    """
    repeated = []
    unique: dict[str, Entry] = {}
    for entry in chunk:
        if entry.address_key in unique:
            repeated.append((entry.line, entry.address_key))
        else:
            unique[entry.address_key] = entry
    people = _known_people(connection, list(unique))
    loaded = Loaded(contacts=len(unique) - len(people))
    places = _places(connection, campaign_id, [person for person, _ in people.values()])
    fresh = []
    for key, entry in unique.items():
        person = people.get(key)
        if person is not None and person[0] in places:
            if places[person[0]] == now:
                repeated.append((entry.line, key))
            else:
                loaded.known += 1
            continue
        fresh.append(entry)
    _write_contacts(connection, [unique[key] for key in unique if key not in people], people, ids, now)
    _refresh(connection, [(people[entry.address_key], entry) for entry in fresh], now)
    _enroll(connection, campaign_id, channel, fresh, people, ids, now)
    loaded.enrolled, loaded.repeated = len(fresh), sorted(repeated)
    return loaded, len(repeated)


def _known_people(connection: Connection, keys: list[str]) -> dict[str, tuple[int, str]]:
    """(contact id, attributes) by address."""
    statement = sa.select(contacts.c.address_key, contacts.c.id, contacts.c.attributes).where(
        contacts.c.address_key.in_(keys)
    )
    return {row.address_key: (row.id, row.attributes) for row in connection.execute(statement)}


def _places(connection: Connection, campaign_id: int, contact_ids: list[int]) -> dict[int, datetime]:
    """Since when each contact is enrolled for the campaign itself (no subject)."""
    if not contact_ids:
        return {}
    statement = sa.select(enrollments.c.contact_id, enrollments.c.created_at).where(
        enrollments.c.campaign_id == campaign_id, enrollments.c.contact_id.in_(contact_ids),
        enrollments.c.subject_key == "",
    )  # fmt: skip
    return {row.contact_id: row.created_at for row in connection.execute(statement)}


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
) -> None:  # fmt: skip
    enrolled, planned = [], []
    for entry in entries:
        enrollment_id = next(ids.enrollments)
        enrolled.append({
            "id": enrollment_id, "campaign_id": campaign_id, "contact_id": people[entry.address_key][0],
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


def unfrozen_count(connection: Connection, campaign_id: int) -> tuple[int, int]:
    """(queued messages that a new revision reaches, queued or doubtful ones that keep the revision they began with)."""
    open_states = (State.QUEUED, State.SENDING, State.IN_DOUBT)
    free = sa.func.coalesce(sa.func.sum(sa.case((messages.c.revision.is_(None), 1), else_=0)), 0)
    statement = sa.select(free, sa.func.count()).where(
        messages.c.campaign_id == campaign_id, messages.c.status.in_(open_states)
    )
    reached, every = connection.execute(statement).one()
    return int(reached), every - int(reached)
