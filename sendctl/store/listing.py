"""What `messages` and `show` ask the ledger: rows of messages in order of id, and all that is known of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import EventType, State
from sendctl.store.holds import Why
from sendctl.store.tables import attempts, campaigns, contacts, enrollments, events, messages, steps, suppressions

# States that most messages are in, so that walking along the ids finds them at once; the others are found by index.
_COMMON = (None, State.QUEUED, State.SENT)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages: all that are given must hold. `contact_ids` are people, `after_id` where to go on."""

    campaign_id: int | None = None
    state: State | None = None
    contact_ids: tuple[int, ...] | None = None
    channel: str | None = None
    event: EventType | None = None  # has had one of this type
    after_id: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message as it is listed; `provider` and `provider_message_id` are of its last attempt."""

    id: int
    campaign_id: int
    campaign: str
    revision: int  # frozen at the first claim, else the current one
    recipient: str
    channel: str
    step_index: int
    step: str
    occurrence: int
    status: State
    attempts: int
    due_at: datetime
    next_attempt_at: datetime
    expires_at: datetime | None
    sent_at: datetime | None
    failed_at: datetime | None
    in_doubt_at: datetime | None
    transient: bool
    provider: str | None
    provider_message_id: str | None
    provider_key: str
    error_class: str | None
    last_error: str | None
    enrollment_id: int
    copy: int  # above 0: sent once more, by an operator
    progress: EventType | None  # the furthest that is known

    @property
    def held(self) -> Why | None:
        """What holds it back in the queue."""
        marks = {str(why): why for why in Why}
        return marks.get(self.error_class or "") if self.status is State.QUEUED else None


_M, _C, _A, _V = messages.c, campaigns.c, attempts.c, events.c
# How far a message got, nearest first: later ones say more, whatever came before them.
PROGRESS = (EventType.DELIVERED, EventType.OPENED, EventType.CLICKED, EventType.SUBMITTED)
_FURTHEST = (
    sa.select(sa.func.max(sa.case(*((_V.type == kind, rank) for rank, kind in enumerate(PROGRESS)))))
    .where(_V.enrollment_id == _M.enrollment_id, _V.message_id == _M.id)
    .scalar_subquery()
)
_REVISION = sa.func.coalesce(_M.revision, _C.revision)
_ANY = steps.alias()
# A step that was removed before its message was tried is in earlier revisions only.
_STEP_NAME = sa.func.coalesce(
    steps.c.name,
    sa.select(sa.func.max(_ANY.c.name))
    .where(_ANY.c.campaign_id == _M.campaign_id, _ANY.c.step_index == _M.step_index)
    .scalar_subquery(),
)
_ROWS = (
    sa.select(
        _M.id, _M.campaign_id, _C.name, _REVISION, _M.recipient, _M.channel, _M.step_index, _STEP_NAME,
        _M.occurrence, _M.status, _M.attempts, _M.due_at, _M.next_attempt_at, _M.expires_at, _M.sent_at, _M.failed_at,
        _M.in_doubt_at, _M.transient, _A.provider, _A.provider_message_id, _M.provider_key, _M.error_class,
        _M.last_error, _M.enrollment_id, _M.copy, _FURTHEST,
    )
    .join(campaigns, _C.id == _M.campaign_id)
    .outerjoin(
        steps,
        sa.and_(
            steps.c.campaign_id == _M.campaign_id, steps.c.revision == _REVISION, steps.c.step_index == _M.step_index
        ),
    )
    .outerjoin(attempts, sa.and_(_A.message_id == _M.id, _A.number == _M.attempts))
)  # fmt: skip


def _row(row: Sequence[Any]) -> MessageRow:
    values = dict(zip(MessageRow.__slots__, row, strict=True))
    rank = values["progress"]
    return MessageRow(
        **(values | {"status": State(values["status"]), "transient": bool(values["transient"]),
                     "progress": None if rank is None else PROGRESS[rank]})
    )  # fmt: skip


def select(connection: Connection, selection: Selection) -> Iterator[MessageRow]:
    """The selected messages in order of id, streamed: memory stays flat at any number."""
    statement = _ROWS.where(_M.id > selection.after_id).order_by(_M.id)
    if selection.state is not None:
        statement = statement.where(_M.status == selection.state)
    if selection.campaign_id is not None:
        # Adding nothing hides the column from the index on (campaign_id, status): see _COMMON.
        walk = selection.state in _COMMON and selection.contact_ids is None
        column = _M.campaign_id + 0 if walk else _M.campaign_id
        statement = statement.where(column == selection.campaign_id)
    if selection.contact_ids is not None:
        statement = statement.where(_M.enrollment_id.in_(places_of(connection, selection.contact_ids)))
    if selection.channel is not None:
        statement = statement.where(_M.channel == selection.channel)
    if selection.event is not None:
        had = sa.select(_V.message_id).where(_V.type == selection.event)
        if selection.campaign_id is not None:
            had = had.where(_V.campaign_id == selection.campaign_id)
        statement = statement.where(_M.id.in_(had))
    if selection.limit is not None:
        statement = statement.limit(selection.limit)
    rows = connection.execution_options(stream_results=True, max_row_buffer=1000).execute(statement)
    return (_row(row) for row in rows)


def places_of(connection: Connection, contact_ids: tuple[int, ...]) -> list[int]:
    """Enrollments of people: one index seek a campaign, as their index begins with the campaign."""
    every = list(connection.execute(sa.select(_C.id)).scalars())
    statement = sa.select(enrollments.c.id).where(
        enrollments.c.campaign_id.in_(every), enrollments.c.contact_id.in_(contact_ids)
    )
    return list(connection.execute(statement).scalars())


def by_id(connection: Connection, message_id: int) -> MessageRow | None:
    """The message with that id."""
    row = connection.execute(_ROWS.where(_M.id == message_id)).one_or_none()
    return _row(row) if row else None


def copies_of(connection: Connection, row: MessageRow, numbers: Iterable[int]) -> list[MessageRow]:
    """A message and what was sent of it once more, in order: the same step and occurrence of the same enrollment.

    `numbers` are all that the step has had: it may have been removed, and be back.
    """
    statement = _ROWS.where(
        _M.enrollment_id == row.enrollment_id, _M.step_index.in_(sorted(numbers)), _M.occurrence == row.occurrence,
        _M.channel == row.channel,
    )  # fmt: skip
    return [_row(found) for found in connection.execute(statement.order_by(_M.id))]


def id_of_key(connection: Connection, key: str) -> int | None:
    """The message with that provider key, which is the left part of its Message-ID."""
    return connection.execute(sa.select(_M.id).where(_M.provider_key == key)).scalar_one_or_none()


@dataclass(frozen=True, slots=True)
class ContactRow:
    """A person, and why they must not be contacted at the address that was asked for, if so."""

    id: int
    address_key: str
    email: str | None
    phone: str | None
    external_id: str | None
    timezone: str | None
    created_at: datetime
    suppressed_for: str | None
    suppressed_at: datetime | None


def people(connection: Connection, address_key: str) -> list[ContactRow]:
    """Who has that address: a person, or of a number all who have it, in order of id."""
    c = contacts.c
    statement = (
        sa.select(
            c.id, c.address_key, c.email, c.phone, c.external_id, c.timezone, c.created_at, suppressions.c.reason,
            suppressions.c.created_at,
        )
        .outerjoin(suppressions, suppressions.c.address_key == address_key)
        .where(sa.or_(c.address_key == address_key, c.phone == address_key))
        .order_by(c.id)
    )  # fmt: skip
    return [ContactRow(*row) for row in connection.execute(statement)]


def attempts_of(connection: Connection, message_id: int) -> list[Any]:
    """The attempts of a message, first to last."""
    return list(connection.execute(sa.select(attempts).where(_A.message_id == message_id).order_by(_A.number)))


def events_of(connection: Connection, message_id: int) -> list[Any]:
    """What was learned of a message after it was sent, and of its enrollment before."""
    mine = sa.select(_M.enrollment_id).where(_M.id == message_id).scalar_subquery()
    about = sa.or_(_V.message_id == message_id, _V.message_id.is_(None))
    statement = sa.select(events).where(_V.enrollment_id == mine, about).order_by(_V.occurred_at, _V.id)
    return list(connection.execute(statement))
