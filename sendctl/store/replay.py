"""After a rewind: putting back into the store what journals prove, message by message, found by provider key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.providers.base import Phase
from sendctl.states import AttemptOutcome, State
from sendctl.store.bulk import bound, given
from sendctl.store.dialect import insert_ignore, upsert
from sendctl.store.ledger import move
from sendctl.store.tables import attempts, messages, replayed_keys


@dataclass(frozen=True, slots=True)
class Proven:
    """What a journal proves of one attempt: accepted, or handed over with no reply known."""

    key: str
    run_id: str
    worker: int
    claim_id: str
    provider: str
    accepted: bool
    provider_message_id: str
    text: str
    at: datetime


def known_messages(connection: Connection, keys: Iterable[str]) -> dict[str, tuple[int, int, State]]:
    """(message id, attempts so far, state) by provider key, for the keys the store knows."""
    wanted = list(keys)
    found: dict[str, tuple[int, int, State]] = {}
    for start in range(0, len(wanted), 500):
        statement = sa.select(messages.c.provider_key, messages.c.id, messages.c.attempts, messages.c.status).where(
            messages.c.provider_key.in_(wanted[start : start + 500])
        )
        found |= {row[0]: (row[1], row[2], State(row[3])) for row in connection.execute(statement)}
    return found


def remember(connection: Connection, proven: Proven) -> None:
    """Keep what is proven of a key that has no message yet, or whose message cannot take it now: the claim asks.

    An acceptance replaces a doubt, never the other way round.
    """
    row = {
        "provider_key": proven.key, "outcome": "accepted" if proven.accepted else "unknown",
        "provider": proven.provider, "provider_message_id": proven.provider_message_id or None,
        "run_id": proven.run_id, "at": proven.at,
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
            row.provider_key, row.run_id, 0, row.run_id, row.provider, row.outcome == "accepted",
            row.provider_message_id or "", "replayed from the journal", row.at,
        )
        for row in connection.execute(statement, bound((key,) for key in keys))
    }  # fmt: skip


def attempt_known(connection: Connection, message_id: int, claim_id: str) -> bool:
    """Whether the store has the attempt that this claim made."""
    statement = sa.select(attempts.c.number).where(attempts.c.message_id == message_id, attempts.c.claim_id == claim_id)
    return connection.execute(statement).first() is not None


def put_back(connection: Connection, message_id: int, attempts_so_far: int, proven: Proven, now: datetime) -> bool:
    """Record a forgotten attempt; False when the message is in a state that contradicts it (sent or claimed anew)."""
    row: dict[str, object] = {"id": message_id, "attempts": attempts_so_far + 1, "updated_at": now}
    if proven.accepted:
        lost = move(connection, "replay_accepted", [row | {"sent_at": proven.at}], claimed=False)
    else:
        lost = move(connection, "replay_doubt", [row | {"in_doubt_at": proven.at}], claimed=False)
    if lost:
        return False
    connection.execute(
        sa.insert(attempts).values(
            message_id=message_id, number=attempts_so_far + 1, run_id=proven.run_id, worker=proven.worker,
            claim_id=proven.claim_id, provider=proven.provider, evidence="journal",
            outcome=AttemptOutcome.ACCEPTED if proven.accepted else AttemptOutcome.UNKNOWN,
            phase=Phase.REPLIED if proven.accepted else Phase.DOTTED, reply=proven.text or None,
            provider_message_id=proven.provider_message_id or None, started_at=proven.at, finished_at=proven.at,
        )
    )  # fmt: skip
    return True
