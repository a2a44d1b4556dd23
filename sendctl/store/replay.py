"""After a rewind: putting back into the store what journals prove, message by message, found by provider key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.providers.base import Phase
from sendctl.states import AttemptOutcome, State
from sendctl.store.bulk import bound, given
from sendctl.store.dialect import insert_ignore, upsert
from sendctl.store.ledger import move
from sendctl.store.tables import attempts, campaigns, messages, replayed_keys

NO_REPLY = "a journal has its last byte and no reply"


@dataclass(frozen=True, slots=True)
class Proven:
    """What a journal proves of one attempt: accepted, or handed over with no reply known.

    `contents` (definition.fingerprint) and `composed_at` are what its bytes were made of.
    """

    key: str
    run_id: str
    worker: int
    claim_id: str
    provider: str
    accepted: bool
    provider_message_id: str
    text: str
    at: datetime
    contents: str
    composed_at: datetime | None


class Place(NamedTuple):
    """The message that has a key."""

    message_id: int
    campaign_id: int
    attempts: int  # so far
    state: State


def known_messages(connection: Connection, keys: Iterable[str]) -> dict[str, Place]:
    """Messages by provider key, for the keys the store knows."""
    m = messages.c
    rows = given(connection, m.provider_key)
    statement = sa.select(m.provider_key, m.id, m.campaign_id, m.attempts, m.status).join(
        rows, rows.c.provider_key == m.provider_key
    )
    found: Iterable[Any] = connection.execute(statement, bound((key,) for key in keys))
    return {row[0]: Place(row[1], row[2], row[3], State(row[4])) for row in found}


def remember(connection: Connection, proven: Proven) -> None:
    """Keep what is proven of a key that has no message yet, or whose message cannot take it now: the claim asks.

    An acceptance replaces a doubt, never the other way round.
    """
    row = {
        "provider_key": proven.key, "outcome": "accepted" if proven.accepted else "unknown",
        "provider": proven.provider, "provider_message_id": proven.provider_message_id or None,
        "run_id": proven.run_id, "claim_id": proven.claim_id, "contents": proven.contents,
        "composed_at": proven.composed_at, "at": proven.at,
    }  # fmt: skip
    if proven.accepted:
        upsert(connection, replayed_keys, "provider_key", row)
    else:
        connection.execute(insert_ignore(connection, replayed_keys), [row])


def forget(connection: Connection, key: str) -> None:
    """What was remembered is in the ledger now, where an operator may decide otherwise."""
    connection.execute(sa.delete(replayed_keys).where(replayed_keys.c.provider_key == key))


def remembered(connection: Connection, keys: Iterable[str]) -> dict[str, Proven]:
    """What was remembered of these keys. Almost always nothing: the table is empty but after a rewind."""
    rows = given(connection, replayed_keys.c.provider_key)
    statement = sa.select(replayed_keys).join(rows, rows.c.provider_key == replayed_keys.c.provider_key)
    return {
        row.provider_key: Proven(
            row.provider_key, row.run_id, 0, row.claim_id, row.provider, row.outcome == "accepted",
            row.provider_message_id or "", "replayed from the journal", row.at, row.contents, row.composed_at,
        )
        for row in connection.execute(statement, bound((key,) for key in keys))
    }  # fmt: skip


def remembers(connection: Connection) -> bool:
    """Whether anything at all is remembered."""
    return connection.execute(sa.select(replayed_keys.c.provider_key).limit(1)).first() is not None


# What would be sent, and what is not known, or thought not, to have been accepted while a journal has proven it.
_settles = sa.or_(
    messages.c.status == State.QUEUED,
    sa.and_(messages.c.status.in_([State.IN_DOUBT, State.FAILED]), replayed_keys.c.outcome == "accepted"),
)


def waiting(connection: Connection, campaign_id: int) -> dict[int, tuple[str, State]]:
    """Messages of a campaign that something remembered settles: id, key and state."""
    m = messages.c
    statement = (
        sa.select(m.id, m.provider_key, m.status)
        .join(replayed_keys, replayed_keys.c.provider_key == m.provider_key)
        .where(m.campaign_id == campaign_id, _settles)
    )
    return {row[0]: (row[1], State(row[2])) for row in connection.execute(statement)}


def campaigns_waiting(connection: Connection) -> list[str]:
    """Names of the campaigns that have such messages. Almost always none."""
    m = messages.c
    statement = (
        sa.select(campaigns.c.name)
        .join(messages, m.campaign_id == campaigns.c.id)
        .join(replayed_keys, replayed_keys.c.provider_key == m.provider_key)
        .where(_settles)
        .distinct()
        .order_by(campaigns.c.name)
    )
    return list(connection.execute(statement).scalars())


def homeless(connection: Connection) -> int:
    """How much was remembered of messages that the store does not have."""
    theirs = sa.exists().where(messages.c.provider_key == replayed_keys.c.provider_key)
    count: int = connection.execute(sa.select(sa.func.count()).select_from(replayed_keys).where(~theirs)).scalar_one()
    return count


def attempt_known(connection: Connection, message_id: int, claim_id: str) -> bool:
    """Whether the store has the attempt that this claim made."""
    statement = sa.select(attempts.c.number).where(attempts.c.message_id == message_id, attempts.c.claim_id == claim_id)
    return connection.execute(statement).first() is not None


def put_back(
    connection: Connection, place: Place, proven: Proven, *, revision: int | None, now: datetime, renamed: bool = False
) -> bool:  # fmt: skip
    """Record a forgotten attempt; False when the message is in a state that contradicts it (sent or claimed anew).

    `revision` is the one with the proven contents: with it a second copy, if ever one is sent, is the same to the byte.
    `renamed`: it went under another key than the message has now, by which nobody can find it, or send it once.
    """
    row: dict[str, object] = {"id": place.message_id, "attempts": place.attempts + 1}
    if revision is not None:
        row |= {"revision": revision, "composed_at": proven.composed_at}
    if proven.accepted:
        lost = move(connection, "replay_accepted", [row | {"sent_at": proven.at}], claimed=False, now=now)
    else:
        # What stands there is about an earlier attempt.
        row |= {"revision": None, "composed_at": None} if renamed else {}
        row |= {"in_doubt_at": proven.at, "last_error": proven.text or NO_REPLY, "error_class": None}
        lost = move(connection, "replay_doubt", [row], claimed=False, now=now)
    if lost:
        return False
    connection.execute(
        sa.insert(attempts).values(
            message_id=place.message_id, number=place.attempts + 1, run_id=proven.run_id, worker=proven.worker,
            claim_id=proven.claim_id, provider=proven.provider, evidence="journal",
            outcome=AttemptOutcome.ACCEPTED if proven.accepted else AttemptOutcome.UNKNOWN,
            phase=Phase.REPLIED if proven.accepted else Phase.DOTTED, reply=proven.text or None,
            provider_message_id=proven.provider_message_id or None, started_at=proven.at, finished_at=proven.at,
        )
    )  # fmt: skip
    return True
