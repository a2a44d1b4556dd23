"""How far the events of services have been read from them, and which attempts they may still be about.

A place moves by compare-and-set in the transaction of its page's events: of two that read the same page, one moves it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import AttemptOutcome, CampaignStatus, State
from sendctl.store.dialect import insert_ignore
from sendctl.store.sections import Account
from sendctl.store.tables import attempts, campaigns, event_cursors, messages, replayed_keys

_C, _M, _A, _K = event_cursors.c, messages.c, attempts.c, replayed_keys.c


class Place(NamedTuple):
    """One reading of one list: all before `read_until` is read, and of the window that ends at `window_until` all
    before `page`. From `again_from` on it is read again when no more so many as `again_left` of the attempts that had
    begun by `again_for` are without an outcome.
    """

    provider: str
    feed: str
    lag_s: int
    read_until: datetime
    window_until: datetime | None = None
    page: str | None = None
    again_from: datetime | None = None
    again_for: datetime | None = None
    again_left: int | None = None
    not_before: datetime | None = None
    turn: int = 0

    @property
    def name(self) -> tuple[str, int]:
        """What tells it from the other readings of its provider."""
        return self.feed, self.lag_s


_PLACE = (
    _C.provider, _C.feed, _C.lag_s, _C.read_until, _C.window_until, _C.page, _C.again_from, _C.again_for, _C.again_left,
    _C.not_before, _C.turn,
)  # fmt: skip


def of_provider(connection: Connection, provider: str) -> dict[tuple[str, int], Place]:
    """All readings of a provider, by list and lag."""
    rows: Iterable[Any] = connection.execute(sa.select(*_PLACE).where(_C.provider == provider))
    places = [Place(*row) for row in rows]
    return {place.name: place for place in places}


def begin(connection: Connection, places: Iterable[Place], now: datetime) -> None:
    """Write readings that are not there yet; one that is there stays as it is."""
    rows = [place._asdict() | {"updated_at": now} for place in places]
    if rows:
        connection.execute(insert_ignore(connection, event_cursors), rows)


def move(connection: Connection, before: Place, after: Place, now: datetime) -> bool:
    """Move a reading on; False when another has moved it since `before` was read, and nothing is changed."""
    values = after._asdict() | {"turn": before.turn + 1, "updated_at": now}
    statement = sa.update(event_cursors).where(
        _C.provider == before.provider, _C.feed == before.feed, _C.lag_s == before.lag_s, _C.turn == before.turn
    )
    return connection.execute(statement.values(**values)).rowcount == 1


def leave_alone(connection: Connection, provider: str, until: datetime, now: datetime) -> None:
    """Nobody asks this provider for events before `until`."""
    statement = sa.update(event_cursors).where(_C.provider == provider)
    connection.execute(statement.values(not_before=until, updated_at=now))


def oldest_unsettled(connection: Connection, account: Account) -> datetime | None:
    """When the oldest attempt at this account began of which something is not known yet; None when all is known."""
    moment = sa.func.min(_unsettled(account).c.began_at, type_=_A.started_at.type)
    found: datetime | None = connection.execute(sa.select(moment)).scalar_one()
    return found


def unsettled(connection: Connection, account: Account, until: datetime) -> int:
    """How many attempts at this account that began until then have something that is not known yet."""
    began = _unsettled(account)
    found: int = connection.execute(sa.select(sa.func.count()).where(began.c.began_at <= until)).scalar_one()
    return found


def _unsettled(account: Account) -> sa.Subquery:
    """When each of them began.

    While no outcome is known, the provider's id of the message is not known either, by which an event may name it. Nor
    does the store have a message that only journals remember, since it was put back, before its file is enqueued again.
    """
    live = sa.select(campaigns.c.id).where(campaigns.c.status != CampaignStatus.ARCHIVED)  # for messages_by_state
    attempted = (
        sa.select(_A.started_at.label("began_at"))
        .join_from(messages, attempts, _A.message_id == _M.id)
        .where(_M.campaign_id.in_(live), _M.status.in_([State.SENDING, State.IN_DOUBT]))
        .where(account.tried_by(_A.provider), _A.outcome.in_([AttemptOutcome.OPEN, AttemptOutcome.UNKNOWN]))
    )
    here = sa.exists().where(_M.provider_key == _K.provider_key)
    remembered = sa.select(sa.func.coalesce(_K.composed_at, _K.at)).where(account.tried_by(_K.provider), ~here)
    return sa.union_all(attempted, remembered).subquery()
