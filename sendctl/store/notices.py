"""Telling the sender what became of a letter: a message of its own, planned in the transaction of the outcome.

Called where messages change their state (ledger.py), so that no way to an outcome forgets it. A letter is told of at
most once for each kind of outcome, whoever records it and however often; nobody is told of a notice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.definition import FIRST_STEP
from sendctl.identity import link_token, provider_key
from sendctl.states import EnrollmentStatus, State
from sendctl.store import meta
from sendctl.store.bulk import bound, given
from sendctl.store.dialect import insert_ignore
from sendctl.store.enrollments import NOT_TRIED
from sendctl.store.tables import attempts, campaigns, contacts, enrollments, messages, notices
from sendctl.store.tries import TRIES

# What is told, in this order: each kind has the place in the ids that were kept free.
KINDS = ("sent", "delivered", "failed", "given-up", "bounced", "expired", "suppressed")
OF_MOVE = {
    "accept": "sent", "prove_accepted": "sent", "replay_accepted": "sent", "refuse": "failed", "skip": "given-up",
    "bounce": "bounced", "expire": "expired", "suppress": "suppressed",
    "cancel": "suppressed",  # an event ended it, and they all suppress; an operator's `cancel` comes another way
}  # fmt: skip
_SAID = {
    "sent": "was accepted by {provider} at {at}. That is no proof that it was delivered: {provider} does not tell.",
    "delivered": "was delivered: {provider} has said so.",
    "failed": "could not be sent, and is not tried again by itself. The reason: {reason}",
    "given-up": "may or may not have been sent: nobody knows, and it was decided not to send it again.",
    "bounced": "was accepted by {provider} and then returned by the receiving side.",
    "expired": "was not sent: it would have been later than its expires_after allows.",
    "suppressed": "was not sent: nothing may be sent to this address.",
}
_STOPPED = enrollments.c.status == EnrollmentStatus.STOPPED


class _Wanted(NamedTuple):
    """A letter of whose outcome somebody is to be told."""

    message_id: int
    campaign_id: int
    contact_id: int
    first_enrollment_id: int
    first_message_id: int
    email: str
    address_key: str
    campaign: str
    letter: str
    recipient: str
    sent_at: datetime | None
    transient: int
    reason: str | None
    stopped: bool  # its enrollment: it is not tried again, whatever it failed for
    provider: str | None
    copy: int  # above 0: sent once more by an operator
    before_at: datetime | None  # when the letter had been accepted before that copy of it


def keep(
    connection: Connection, message_id: int, campaign_id: int, contact_id: int, *, enrollment_ids: range,
    message_ids: range,
) -> None:  # fmt: skip
    """Have somebody told of a letter by messages of a campaign; the ids are kept for these."""
    connection.execute(
        sa.insert(notices).values(
            message_id=message_id, campaign_id=campaign_id, contact_id=contact_id,
            first_enrollment_id=enrollment_ids[0], first_message_id=message_ids[0],
        )
    )  # fmt: skip


def silent_teller(connection: Connection, message_id: int) -> int | None:
    """The campaign that would have told of a letter, and has nothing to tell; None when it has, or there is none."""
    n = notices.c
    told = sa.exists().where(messages.c.campaign_id == n.campaign_id)
    found: int | None = connection.execute(
        sa.select(n.campaign_id).where(n.message_id == message_id, ~told)
    ).scalar_one_or_none()
    return found


def teller_of(connection: Connection, campaign_id: int) -> int | None:
    """The campaign that tells of the letter of this one; None where there is none."""
    n = notices.c
    statement = (
        sa.select(n.campaign_id).join(messages, messages.c.id == n.message_id)
        .where(messages.c.campaign_id == campaign_id).limit(1)
    )  # fmt: skip
    found: int | None = connection.execute(statement).scalar_one_or_none()
    return found


def letter_of_teller(connection: Connection, campaign_id: int) -> str | None:
    """The name of the letter of which this campaign tells; None where it tells of none."""
    statement = (
        sa.select(campaigns.c.name)
        .join(messages, messages.c.campaign_id == campaigns.c.id)
        .join(notices, notices.c.message_id == messages.c.id)
        .where(notices.c.campaign_id == campaign_id)
        .limit(1)
    )
    found: str | None = connection.execute(statement).scalar_one_or_none()
    return found


def keep_for_copy(connection: Connection, message_id: int, copy_id: int) -> None:
    """Have the same person told of a copy of a letter: of each kind of outcome that they have not been told of."""
    n = notices.c
    kept = sa.select(
        sa.literal(copy_id, type_=n.message_id.type), n.campaign_id, n.contact_id, n.first_enrollment_id,
        n.first_message_id,
    ).where(n.message_id == message_id)  # fmt: skip
    connection.execute(sa.insert(notices).from_select([column.name for column in n], kept))


def after_move(connection: Connection, transition: str, moved: Collection[int], now: datetime) -> None:
    """Plan the notices that follow from a transition of these messages."""
    kind = OF_MOVE.get(transition)
    if kind is None or not moved:
        return
    wanted = _wanted(connection, moved)
    # What failed for a passing cause is tried again after a day: that is no end yet.
    again = {one.message_id for one in wanted if kind == "failed" and one.transient and not one.stopped}
    tell(connection, kind, [one for one in wanted if one.message_id not in again], now)


def known(connection: Connection, message_ids: Collection[int]) -> list[int]:
    """Those of these messages of which somebody is told."""
    return [one.message_id for one in _wanted(connection, message_ids)] if message_ids else []


def of_messages(connection: Connection, kind: str, message_ids: Collection[int], now: datetime) -> None:
    """The same for what is learned of messages without a change of their state."""
    tell(connection, kind, _wanted(connection, message_ids) if message_ids else [], now)


def tell(connection: Connection, kind: str, wanted: Iterable[_Wanted], now: datetime) -> None:
    """Plan a notice for each letter that has had none of this kind."""
    for one in wanted:
        if kind != "sent" or not _told(connection, one, "delivered"):
            _plan(connection, kind, one, now)


def tell_exhausted(
    connection: Connection, most_tries: int, now: datetime, campaign_id: int | None = None
) -> None:  # fmt: skip
    """Letters that failed for a passing cause, and have no try left or were stopped: only now it is known that
    they are over. All of them, or the one of a campaign.
    """
    statement = (
        sa.select(messages.c.id)
        .join(notices, notices.c.message_id == messages.c.id)
        .join(enrollments, enrollments.c.id == messages.c.enrollment_id)
        .where(messages.c.status == State.FAILED, messages.c.transient == 1, sa.or_(most_tries <= TRIES, _STOPPED))
    )
    if campaign_id is not None:
        statement = statement.where(messages.c.campaign_id == campaign_id)
    of_messages(connection, "failed", connection.execute(statement).scalars().all(), now)


def tell_stopped(connection: Connection, enrollment_ids: Collection[int], now: datetime) -> None:
    """Letters that had failed for a passing cause when their enrollments were stopped: they are over with that."""
    rows = given(connection, enrollments.c.id)
    statement = (
        sa.select(messages.c.id)
        .join(notices, notices.c.message_id == messages.c.id)
        .join(rows, rows.c.id == messages.c.enrollment_id)
        .where(messages.c.status == State.FAILED, messages.c.transient == 1)
    )
    if enrollment_ids:
        ids = connection.execute(statement, bound((one,) for one in sorted(enrollment_ids))).scalars().all()
        of_messages(connection, "failed", ids, now)


@cache
def _statement(rows: sa.Subquery) -> Any:
    m, n, told, letters = messages.c, notices.c, campaigns.alias("told"), campaigns.alias("letters")
    first = messages.alias("first")
    before = (
        sa.select(sa.func.max(first.c.sent_at))
        .where(first.c.enrollment_id == m.enrollment_id, first.c.copy < m.copy)
        .where(first.c.status.in_([State.SENT, State.BOUNCED]))
        .scalar_subquery()
    )
    last = (
        sa.select(attempts.c.provider)
        .where(attempts.c.message_id == m.id)
        .order_by(attempts.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        sa.select(
            m.id, n.campaign_id, n.contact_id, n.first_enrollment_id, n.first_message_id, contacts.c.email,
            contacts.c.address_key, told.c.name, letters.c.name, m.recipient, m.sent_at, m.transient, m.last_error,
            _STOPPED, last, m.copy, before,
        )
        .select_from(notices)
        .join(rows, rows.c.message_id == n.message_id)
        .join(messages, m.id == n.message_id)
        .join(enrollments, enrollments.c.id == m.enrollment_id)
        .join(contacts, contacts.c.id == n.contact_id)
        .join(told, told.c.id == n.campaign_id)
        .join(letters, letters.c.id == m.campaign_id)
    )  # fmt: skip


def _wanted(connection: Connection, message_ids: Collection[int]) -> list[_Wanted]:
    """Almost always nothing: one look into the index of a small table."""
    statement = _statement(given(connection, notices.c.message_id))
    rows: Iterable[Any] = connection.execute(statement, bound((one,) for one in sorted(message_ids)))
    return sorted(_Wanted(*row) for row in rows)


def _told(connection: Connection, one: _Wanted, kind: str) -> bool:
    statement = sa.select(enrollments.c.id).where(
        enrollments.c.campaign_id == one.campaign_id, enrollments.c.subject_key == kind
    )
    return connection.execute(statement).first() is not None


def _plan(connection: Connection, kind: str, one: _Wanted, now: datetime) -> None:
    secret, place = meta.read(connection).secret, KINDS.index(kind)
    name = {"campaign": one.campaign, "address_key": one.address_key, "subject_key": kind}
    row = {
        "id": one.first_enrollment_id + place, "campaign_id": one.campaign_id, "contact_id": one.contact_id,
        "subject_key": kind, "status": EnrollmentStatus.ACTIVE, "current_step_index": 0, "current_occurrence": 0,
        "next_scheduled_at": now, "token": link_token(secret, **name), "snapshot": _snapshot(kind, one),
        "created_at": now, "updated_at": now,
    }  # fmt: skip
    fresh = insert_ignore(connection, enrollments).returning(enrollments.c.id)
    if connection.execute(fresh, [row]).first() is None:
        return  # it was told already
    connection.execute(
        sa.insert(messages).values(
            NOT_TRIED | {
                "id": one.first_message_id + place, "campaign_id": one.campaign_id, "enrollment_id": row["id"],
                "channel": "email", "recipient": one.email, "recipient_key": one.address_key,
                "provider_key": provider_key(secret, step=FIRST_STEP, occurrence=0, channel="email", copy=0, **name),
                "due_at": now, "next_attempt_at": now, "created_at": now, "updated_at": now,
            }
        )
    )  # fmt: skip


def _snapshot(kind: str, one: _Wanted) -> str:
    at = f"{one.sent_at:%Y-%m-%d %H:%M:%S} UTC" if one.sent_at is not None else "an unknown time"
    provider = f"provider {one.provider}" if one.provider else "the provider"
    said = _SAID[kind].format(provider=provider, at=at, reason=one.reason or "none was given")
    number = f" (copy {one.copy})" if one.copy else ""
    again = ", which was to be sent once more," if one.copy else ""
    before = f" It had been accepted before, at {one.before_at:%Y-%m-%d %H:%M:%S} UTC." if one.before_at else ""
    return json.dumps(
        {"contact": {
            "email": one.email, "subject": f"Letter {one.letter}{number}: {kind.replace('-', ' ')}",
            "text": f"Letter {one.letter} to {one.recipient}{again} {said}{before}",
        }},
        ensure_ascii=False,
    )  # fmt: skip
