"""Accounts: what their campaigns have used up, counted from the messages themselves, and what was granted to them.

A message of an account is consumed once it was accepted, reserved as long as it may still be, and counts for nothing
when it has failed, expired, or was cancelled or suppressed. One that has no share yet is marked (holds.Why.ALLOWANCE).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.identity import new_id
from sendctl.states import State
from sendctl.store.bulk import bound, given
from sendctl.store.dialect import insert_ignore, skip_locked
from sendctl.store.holds import MARKED, Why
from sendctl.store.tables import account_campaigns, accounts, enrollments, grants, messages

_M, _J, _G = messages.c, account_campaigns.c, grants.c
_CONSUMED = (State.SENT, State.BOUNCED)
_UNPAID = sa.and_(MARKED, _M.error_class == Why.ALLOWANCE)


class Waiting(NamedTuple):
    """A message without a share of its account."""

    message_id: int
    due_at: datetime
    expires_at: datetime | None
    timezone: str | None
    asked: bool  # it was told before that there is none


class Total(NamedTuple):
    """All messages of an account, by what they mean for it."""

    consumed: int
    reserved: int
    waiting: int
    released: int


def hold(connection: Connection, name: str, now: datetime) -> None:
    """Hold an account until commit, made when it is first named: whoever counts it counts alone. SQLite has one writer.

    After campaigns, and with no message locked that another holder could want.
    """
    connection.execute(insert_ignore(connection, accounts), [{"name": name, "created_at": now}])
    if connection.dialect.name != "sqlite":
        held = sa.select(accounts.c.name).where(accounts.c.name == name)
        # FOR NO KEY UPDATE: an enqueue of a new campaign refers to the account from its beginning, and may last.
        connection.execute(held.with_for_update(key_share=True))


def join(connection: Connection, campaign_id: int, name: str, now: datetime) -> None:
    """Let a new campaign use an account."""
    connection.execute(insert_ignore(connection, accounts), [{"name": name, "created_at": now}])
    connection.execute(sa.insert(account_campaigns).values(campaign_id=campaign_id, account=name))


def names(connection: Connection) -> list[str]:
    """Every account that was ever used or granted to."""
    return list(connection.execute(sa.select(accounts.c.name).order_by(accounts.c.name)).scalars())


def grant(
    connection: Connection, name: str, amount: int, *, login: str, hostname: str, reason: str, now: datetime
) -> None:  # fmt: skip
    """Add credits to an account that is held; below 0 takes them back."""
    connection.execute(
        sa.insert(grants).values(
            id=new_id(), account=name, amount=amount, login=login, hostname=hostname, reason=reason, at=now
        )
    )


def granted(connection: Connection, name: str) -> int:
    """All credits ever granted, less those taken back."""
    total = sa.select(sa.func.coalesce(sa.func.sum(_G.amount), 0)).where(_G.account == name)
    return int(connection.execute(total).scalar_one())


# -- what is used -------------------------------------------------------------------------------------------------


def _theirs(name: str) -> sa.ColumnElement[bool]:
    return _M.campaign_id.in_(sa.select(_J.campaign_id).where(_J.account == name))


def _count(connection: Connection, name: str, *conditions: sa.ColumnElement[bool]) -> int:
    statement = sa.select(sa.func.count()).select_from(messages).where(_theirs(name), *conditions)
    return connection.execute(statement).scalar_one()


def planned(connection: Connection, name: str) -> int:
    """All messages of an account's campaigns, whatever their state."""
    return _count(connection, name)


def consumed(connection: Connection, name: str, since: datetime | None = None) -> int:
    """How many messages of an account were accepted, since a moment."""
    when = () if since is None else (_M.sent_at >= since,)
    return _count(connection, name, _M.status.in_(_CONSUMED), *when)


def in_hand(connection: Connection, name: str, since: datetime | None = None) -> int:
    """How many are in flight, or have been in doubt since a moment: they may have been accepted."""
    doubtful = _M.status == State.IN_DOUBT
    if since is not None:
        doubtful = sa.and_(doubtful, _M.in_doubt_at >= since)
    return _count(connection, name, sa.or_(_M.status == State.SENDING, doubtful))


def queued(connection: Connection, name: str, ids: range | None = None) -> Iterator[tuple[datetime, int]]:
    """(moment, number) of the messages that wait with a share, by when they may go. `ids`: of those alone."""
    statement = (
        sa.select(_M.next_attempt_at, sa.func.count())
        .where(_theirs(name), _M.status == State.QUEUED, _M.error_class.is_distinct_from(Why.ALLOWANCE))
        .group_by(_M.next_attempt_at)
    )
    if ids is not None:
        statement = statement.where(_M.id.between(min(ids), max(ids)))
    found: Iterable[Any] = connection.execute(statement)
    for row in found:
        yield row[0], row[1]


def totals(connection: Connection, name: str) -> Total:
    """Every message of an account, each in one of four."""
    unpaid = _count(connection, name, _UNPAID)
    counted = sa.select(_M.status, sa.func.count()).where(_theirs(name)).group_by(_M.status)
    by_state: dict[str, int] = {row[0]: row[1] for row in connection.execute(counted)}
    used = sum(by_state.get(state, 0) for state in _CONSUMED)
    open_ = sum(by_state.get(state, 0) for state in (State.QUEUED, State.SENDING, State.IN_DOUBT))
    return Total(used, open_ - unpaid, unpaid, sum(by_state.values()) - used - open_)


# -- what has no share yet ----------------------------------------------------------------------------------------


def with_unpaid(connection: Connection, now: datetime | None = None) -> list[str]:
    """Accounts with messages that have no share: those asked about for the first time, or again, by `now`."""
    new = sa.true() if now is None else sa.or_(_M.last_error.is_(None), _M.next_attempt_at <= now)
    one = sa.select(_M.id).limit(1)
    return [name for name in names(connection) if connection.execute(one.where(_theirs(name), _UNPAID, new)).first()]


def any_unpaid(connection: Connection, name: str) -> bool:
    """Whether anything of an account has no share."""
    return connection.execute(sa.select(_M.id).where(_theirs(name), _UNPAID).limit(1)).first() is not None


def unpaid(connection: Connection, name: str) -> list[Waiting]:
    """The messages of an account without a share, as they are due; not those in a claim's hands."""
    statement = (
        sa.select(_M.id, _M.due_at, _M.expires_at, enrollments.c.timezone, _M.last_error.is_not(None))
        .join(enrollments, enrollments.c.id == _M.enrollment_id)
        .where(_theirs(name), _UNPAID)
        .order_by(_M.due_at, _M.id)
    )
    return [Waiting(*row) for row in connection.execute(skip_locked(connection, statement, messages))]


def pay(connection: Connection, paid: Sequence[Waiting], now: datetime) -> None:
    """Give messages their share: they are due as planned."""
    rows = given(connection, _M.id)
    statement = (
        sa.update(messages)
        .where(_M.id.in_(sa.select(rows.c.id)), _UNPAID)
        .values(error_class=None, last_error=None, next_attempt_at=_M.due_at, updated_at=now)
    )
    if paid:
        connection.execute(statement, bound((item.message_id,) for item in paid))
