"""Sealed contents of letters. What they say is unknown here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.sealing import Sealed
from sendctl.states import State
from sendctl.store.dialect import insert_ignore
from sendctl.store.tables import messages, sealed

SEALED = "sealed"  # the error class of a queued message whose contents cannot be opened
_S, _M = sealed.c, messages.c


def write(connection: Connection, message_id: int, contents: Sealed, now: datetime) -> None:
    """Keep the contents of a message that has none yet."""
    row = {
        "message_id": message_id, "key_id": contents.key_id, "nonce": contents.nonce,
        "ciphertext": contents.ciphertext, "sealed_at": now,
    }  # fmt: skip
    connection.execute(insert_ignore(connection, sealed), [row])


def of(connection: Connection, message_ids: Iterable[int]) -> dict[int, Sealed]:
    """The sealed contents of messages, as far as there are any."""
    statement = sa.select(_S.message_id, _S.key_id, _S.nonce, _S.ciphertext).where(_S.message_id.in_(list(message_ids)))
    rows: Iterable[Any] = connection.execute(statement)
    return {row[0]: Sealed(*row[1:]) for row in rows}


def not_under(connection: Connection, key_id: str, *, after_id: int, limit: int) -> list[tuple[int, Sealed]]:
    """Contents that another key has sealed, in order of id, held until commit where rows can be."""
    statement = (
        sa.select(_S.message_id, _S.key_id, _S.nonce, _S.ciphertext)
        .where(_S.key_id != key_id, _S.message_id > after_id)
        .order_by(_S.message_id)
        .limit(limit)
    )
    if connection.dialect.name != "sqlite":
        statement = statement.with_for_update()
    rows: Iterable[Any] = connection.execute(statement)
    return [(row[0], Sealed(*row[1:])) for row in rows]


def reseal(connection: Connection, message_id: int, before: Sealed, after: Sealed, now: datetime) -> bool:
    """Put other ciphertext in the place of one that is still the same; False when it is not."""
    statement = sa.update(sealed).where(_S.message_id == message_id, _S.nonce == before.nonce)
    values = {"key_id": after.key_id, "nonce": after.nonce, "ciphertext": after.ciphertext, "sealed_at": now}
    return connection.execute(statement.values(**values)).rowcount == 1


def counts(connection: Connection) -> dict[str, int]:
    """How many messages each key has sealed."""
    statement = sa.select(_S.key_id, sa.func.count()).group_by(_S.key_id)
    return {row[0]: row[1] for row in connection.execute(statement)}


def waiting_keys(connection: Connection, campaign_id: int) -> set[str]:
    """The keys that the queued messages of a campaign need."""
    statement = (
        sa.select(_S.key_id)
        .distinct()
        .join(messages, _M.id == _S.message_id)
        .where(_M.campaign_id == campaign_id, _M.status == State.QUEUED)
    )
    return set(connection.execute(statement).scalars())


def note(connection: Connection, message_id: int, reason: str, now: datetime) -> bool:
    """Write down why a queued message cannot be opened; False where that is known."""
    changed = connection.execute(
        sa.update(messages)
        .where(_M.id == message_id, _M.status == State.QUEUED, _M.last_error.is_distinct_from(reason))
        .values(error_class=SEALED, last_error=reason, updated_at=now)
    )
    return changed.rowcount > 0


def trouble(connection: Connection, campaign_id: int) -> str:
    """What was noted of a queued message of a campaign, or ""."""
    statement = sa.select(_M.last_error).where(
        _M.campaign_id == campaign_id, _M.status == State.QUEUED, _M.error_class == SEALED
    )
    return connection.execute(statement.limit(1)).scalar() or ""
