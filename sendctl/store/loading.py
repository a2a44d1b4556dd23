"""Loading contacts into a campaign, a chunk at a time inside one transaction: only what is new is written.

All of a load happens in the caller's transaction, which also decided on the ids; nothing is visible before it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.calendar import Slot
from sendctl.states import EnrollmentStatus, State
from sendctl.store import numbers
from sendctl.store.bulk import bound, given
from sendctl.store.columns import insert_columns
from sendctl.store.enrollments import NOT_TRIED
from sendctl.store.id_set import IdSet
from sendctl.store.ids import take_ids
from sendctl.store.tables import contacts, enrollments, messages

SHOWN_REPEATS = 20
PUT_OFF_ROWS = 50_000
UNSAID = "{}"  # attributes that an encrypted letter keeps to itself: they say nothing against those that are known


class Entries(NamedTuple):
    """Valid rows of a contacts file, as the ledger needs them, column by column. All have one value for each row."""

    lines: Sequence[int]
    address_keys: Sequence[str]
    emails: Sequence[str | None]
    phones: Sequence[str | None]
    external_ids: Sequence[str | None]
    timezones: Sequence[str | None]
    attributes: Sequence[str]  # JSON objects
    tokens: Sequence[str]
    email_keys: Sequence[str | None]  # provider keys of the first messages; None where somebody gets none
    text_keys: Sequence[str | None]
    due_at: Sequence[datetime]
    expires_at: Sequence[datetime | None]

    def at(self, places: Sequence[int]) -> Entries:
        """Those at these places, which are in order and no more than once each."""
        if len(places) == len(self.lines):
            return self
        return Entries._make([column[place] for place in places] for column in self)


class About(NamedTuple):
    """What enrollments are about, where that is not the campaign itself: a value for each of some entries."""

    subject_keys: Sequence[str]
    snapshots: Sequence[str]  # JSON objects


class IdBlock:
    """Ids of one kind for a whole load, taken beforehand: a long transaction must not hold the counters."""

    def __init__(self, ids: range) -> None:
        self.ids = ids
        self._used = 0

    def take(self, count: int) -> range:
        """The next ids."""
        taken = self.ids[self._used : self._used + count]
        self._used += count
        return taken

    @property
    def used(self) -> range:
        """Those that were taken."""
        return self.ids[: self._used]


class Ids(NamedTuple):
    """Ids of all kinds that a load needs."""

    contacts: IdBlock
    enrollments: IdBlock
    messages: IdBlock


def take_for(connection: Connection, count: int, messages_each: int = 1) -> Ids:
    """Ids for at most `count` new people."""
    counts = {"contacts": count, "enrollments": count, "messages": count * messages_each}
    return Ids(*(IdBlock(take_ids(connection, kind, number)) for kind, number in counts.items()))


def only_one_loads(connection: Connection) -> None:
    """One load at a time, so that two never race for the same contact. SQLite has one writer anyway."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('sendctl enqueue'))")


@dataclass
class Loaded:
    """What a load has added so far. Each row of the file counts once: `enrolled`, `known` or `repeated_count`."""

    contacts: int = 0  # people not in the store before
    enrolled: int = 0
    planned: int = 0  # messages
    known: int = 0  # people who were enrolled before
    sharing: int = 0  # people who get no text, as another one of the same number gets it
    first_due_at: datetime | None = None  # of those enrolled
    repeated_count: int = 0  # rows whose address stood in the file before
    repeated: list[tuple[int, str]] = field(default_factory=list)  # the first of these: (line, address)
    people: IdSet = field(default_factory=IdSet)  # enrollments of the file's people that are known
    repeaters: IdSet = field(default_factory=IdSet)  # enrollments of those who stand in the file more than once


def load_chunk(
    connection: Connection, campaign_id: int, chunk: Entries, ids: Ids, loaded: Loaded, now: datetime
) -> None:
    """Enroll the people of a chunk who are not yet in the campaign, with their first messages, and count in `loaded`.

    Of rows with one address the first counts, in whichever chunks they are; and of texts to one number.
    """
    keys = chunk.address_keys
    first: dict[str, int] = {}
    again = [place for place, key in enumerate(keys) if first.setdefault(key, place) != place]
    people = known_people(connection, list(first))
    places = _places(connection, campaign_id, [person for person, _ in people.values()]) if people else {}
    enrolled = {key: places[person] for key, (person, _) in people.items() if person in places}
    again += [first[key] for key, place in enrolled.items() if not _is_known(place, ids, loaded)]
    unknown = chunk.at([place for key, place in first.items() if key not in people])
    fresh = chunk.at([place for key, place in first.items() if key not in enrolled])
    refresh_contacts(connection, people, fresh, now)
    contact_ids = {key: person for key, (person, _) in people.items()} | add_contacts(connection, unknown, ids, now)
    fresh, theirs = _one_text_a_number(connection, campaign_id, fresh, loaded)
    enrolled |= enroll(connection, campaign_id, fresh, contact_ids, ids, now)
    for key, owner in theirs.items():
        enrolled[key] = owner if isinstance(owner, int) else enrolled[owner]
        again += [] if _is_known(enrolled[key], ids, loaded) else [first[key]]
    loaded.contacts += len(unknown.lines)
    loaded.planned += planned(fresh)
    loaded.enrolled += len(fresh.lines)
    dues = [moment for moment in (loaded.first_due_at, *set(fresh.due_at)) if moment is not None]
    loaded.first_due_at = min(dues, default=None)
    names = {key: chunk.phones[first[key]] or key for key in theirs}  # it is the number that stood there before
    _count_repeated(
        loaded, [(chunk.lines[at], names.get(keys[at], keys[at]), enrolled[keys[at]]) for at in again]
    )  # fmt: skip


def _one_text_a_number(
    connection: Connection, campaign_id: int, fresh: Entries, loaded: Loaded
) -> tuple[Entries, dict[str, int | str]]:
    """The entries without a second text to a number, and who is left with nothing: whose enrollment has the number.

    By address; the enrollment, or the address of somebody in these entries.
    """
    texted = [phone if key else None for phone, key in zip(fresh.phones, fresh.text_keys, strict=True)]
    found = numbers.shared(connection, campaign_id, texted) if any(texted) else numbers.Shared({}, {})
    sharing = found.enrolled.keys() | found.earlier.keys()
    if not sharing:
        return fresh, {}
    fresh = fresh._replace(text_keys=[None if at in sharing else key for at, key in enumerate(fresh.text_keys)])
    gone = {at for at in sharing if fresh.email_keys[at] is None}
    loaded.sharing += len(sharing) - len(gone)
    theirs: dict[str, int | str] = {
        fresh.address_keys[at]: found.enrolled[at] if at in found.enrolled else fresh.address_keys[found.earlier[at]]
        for at in sorted(gone)
    }
    return fresh.at([at for at in range(len(fresh.lines)) if at not in gone]), theirs


def planned(entries: Entries) -> int:
    """How many first messages these entries have."""
    return sum(len(keys) - keys.count(None) for keys in (entries.email_keys, entries.text_keys))


def _is_known(enrollment_id: int, ids: Ids, loaded: Loaded) -> bool:
    """Whether somebody was enrolled before this load, and stands in its file for the first time. Counts them."""
    if enrollment_id in ids.enrollments.ids or not loaded.people.add(enrollment_id):
        return False
    loaded.known += 1
    return True


def _count_repeated(loaded: Loaded, again: list[tuple[int, str, int]]) -> None:
    again.sort()
    loaded.repeated_count += len(again)
    for line, address_key, enrollment_id in again:
        loaded.repeaters.add(enrollment_id)
        if len(loaded.repeated) < SHOWN_REPEATS:
            loaded.repeated.append((line, address_key))


def known_people(connection: Connection, keys: list[str]) -> dict[str, tuple[int, str]]:
    """(contact id, attributes) by address."""
    wanted = given(connection, contacts.c.address_key)
    statement = sa.select(contacts.c.address_key, contacts.c.id, contacts.c.attributes).join(
        wanted, wanted.c.address_key == contacts.c.address_key
    )
    found = connection.execute(statement, bound((key,) for key in keys))
    return {row.address_key: (row.id, row.attributes) for row in found}


def _places(connection: Connection, campaign_id: int, contact_ids: list[int]) -> dict[int, int]:
    """Each contact's enrollment for the campaign itself (no subject), where there is one."""
    wanted = given(connection, enrollments.c.contact_id)
    # Not joined: SQLite would read all of the campaign's enrollments, and all of these for each.
    statement = sa.select(enrollments.c.contact_id, enrollments.c.id).where(
        enrollments.c.campaign_id == campaign_id, enrollments.c.subject_key == "",
        enrollments.c.contact_id.in_(sa.select(wanted.c.contact_id)),
    )  # fmt: skip
    found = connection.execute(statement, bound((contact_id,) for contact_id in contact_ids))
    return {row.contact_id: row.id for row in found}


def add_contacts(connection: Connection, entries: Entries, ids: Ids, now: datetime) -> dict[str, int]:
    """Returns the new contact of each address."""
    contact_ids = ids.contacts.take(len(entries.lines))
    each = {
        "id": contact_ids, "address_key": entries.address_keys, "email": entries.emails, "phone": entries.phones,
        "external_id": entries.external_ids, "timezone": entries.timezones, "attributes": entries.attributes,
    }  # fmt: skip
    insert_columns(connection, contacts, each, {"created_at": now, "updated_at": now})
    return dict(zip(entries.address_keys, contact_ids, strict=True))


def refresh_contacts(
    connection: Connection, people: dict[str, tuple[int, str]], entries: Entries, now: datetime
) -> None:
    """Contacts keep the latest attributes; enrollments keep theirs."""
    if not people:
        return
    rows = [
        {"b_id": people[key][0], "b_attributes": attributes, "b_phone": phone, "b_timezone": timezone, "b_now": now}
        for key, attributes, phone, timezone in zip(
            entries.address_keys, entries.attributes, entries.phones, entries.timezones, strict=True
        )
        if key in people and attributes not in (people[key][1], UNSAID)
    ]  # fmt: skip
    if rows:
        statement = (
            sa.update(contacts)
            .where(contacts.c.id == sa.bindparam("b_id"))
            .values(
                attributes=sa.bindparam("b_attributes"), timezone=sa.bindparam("b_timezone"),
                phone=sa.func.coalesce(sa.bindparam("b_phone", type_=sa.Text), contacts.c.phone),
                updated_at=sa.bindparam("b_now", type_=contacts.c.updated_at.type),
            )
        )  # fmt: skip
        connection.execute(statement, rows)


def enroll(
    connection: Connection, campaign_id: int, entries: Entries, contact_ids: Mapping[str, int], ids: Ids, now: datetime,
    about: About | None = None,
) -> dict[str, int]:  # fmt: skip
    """Plan their first messages, on each channel that they have one for.

    Returns the new enrollment of each address, the last one if there are several.
    """
    count = len(entries.lines)
    # Due by an event's own time, which may be long past: that nobody has sent it yet is no pass's fault.
    attempts_at = entries.due_at if about is None else [max(moment, now) for moment in entries.due_at]
    about = about or About([""] * count, entries.attributes)
    enrollment_ids = ids.enrollments.take(count)
    always = {"campaign_id": campaign_id, "created_at": now, "updated_at": now}
    each: dict[str, Sequence[object]] = {
        "id": enrollment_ids, "contact_id": [contact_ids[key] for key in entries.address_keys],
        "next_scheduled_at": entries.due_at, "token": entries.tokens, "timezone": entries.timezones,
        "snapshot": about.snapshots, "subject_key": about.subject_keys,
    }  # fmt: skip
    same = {"status": EnrollmentStatus.ACTIVE.value, "current_step_index": 0, "current_occurrence": 0}
    insert_columns(connection, enrollments, each, same | always)
    emails = entries.email_keys, entries.emails, entries.address_keys
    texts = entries.text_keys, entries.phones, entries.phones
    for channel, (keys, recipients, recipient_keys) in (("email", emails), ("sms", texts)):
        columns = {
            "enrollment_id": enrollment_ids, "recipient": recipients, "recipient_key": recipient_keys,
            "provider_key": keys, "due_at": entries.due_at, "next_attempt_at": attempts_at,
            "expires_at": entries.expires_at,
        }  # fmt: skip
        _plan(connection, channel, columns, ids, always)
    return dict(zip(entries.address_keys, enrollment_ids, strict=True))


def _plan(
    connection: Connection, channel: str, columns: Mapping[str, Sequence[object]], ids: Ids,
    always: Mapping[str, object],
) -> None:  # fmt: skip
    """Write the messages of a channel: of all who have a provider key."""
    keys = columns["provider_key"]
    chosen = [place for place, key in enumerate(keys) if key is not None]
    if len(chosen) < len(keys):
        columns = {name: [column[place] for place in chosen] for name, column in columns.items()}
    if chosen:
        each = {"id": ids.messages.take(len(chosen)), **columns}
        insert_columns(connection, messages, each, {"channel": channel, **NOT_TRIED, **always})


def put_off(connection: Connection, ids: Ids, moment: datetime, slot_of: Callable[[str | None], Slot]) -> None:
    """Let what this load has planned for before `moment` be due in the slot that a person's time zone has then.

    In pieces: one statement over millions of rows would meet Postgres's statement_timeout.
    """
    e = enrollments.c
    for places in _pieces(ids.enrollments.used):
        here = e.id.between(places[0], places[-1])
        zones = connection.execute(sa.select(e.timezone).where(here).distinct()).scalars().all()
        slots = {zone: slot_of(zone) for zone in zones}
        for zone, slot in slots.items():
            theirs = [here] if len(set(slots.values())) == 1 else [here, e.timezone.is_not_distinct_from(zone)]
            connection.execute(
                sa.update(messages)
                .where(messages.c.enrollment_id.between(places[0], places[-1]), messages.c.due_at < moment)
                .where(messages.c.enrollment_id.in_(sa.select(e.id).where(*theirs)))
                .values(due_at=slot.due_at, next_attempt_at=slot.due_at, expires_at=slot.expires_at)
            )
            connection.execute(
                sa.update(enrollments)
                .where(*theirs, e.next_scheduled_at < moment)
                .values(next_scheduled_at=slot.due_at)
            )


def _pieces(ids: range) -> Iterator[range]:
    return (ids[start : start + PUT_OFF_ROWS] for start in range(0, len(ids), PUT_OFF_ROWS))


def waiting_snapshots(connection: Connection, campaign_id: int) -> Iterator[tuple[str, str, str]]:
    """(address, subject_key, snapshot) of active enrollments: those whom a change of templates would concern."""
    statement = (
        sa.select(contacts.c.address_key, enrollments.c.subject_key, enrollments.c.snapshot)
        .join(contacts, contacts.c.id == enrollments.c.contact_id)
        .where(enrollments.c.campaign_id == campaign_id, enrollments.c.status == EnrollmentStatus.ACTIVE)
        .execution_options(stream_results=True, max_row_buffer=1000)
    )
    for row in connection.execute(statement):
        yield row.address_key, row.subject_key, row.snapshot


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
