"""Every move of every state through the ledger: what the table does not allow is impossible, and said to be lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from sendctl.states import TRANSITIONS, State
from sendctl.store import claims
from sendctl.store.ledger import move
from tests.store.ground import Ground

STAMPS = {State.SENT: "sent_at", State.FAILED: "failed_at", State.IN_DOUBT: "in_doubt_at"}
CLAIM = "claim_id = 'mine', run_id = 'run', claim_expires_at = due_at"
MOVES = sorted(set(TRANSITIONS) - {"claim"})


def one_in_each_state(ground: Ground) -> dict[int, State]:
    """Nine messages, each put into another state by hand; states by message id."""
    ground.provable = False
    ground.enqueue(len(State))
    ids = [row[0] for row in ground.rows("SELECT id FROM messages ORDER BY id")]
    found = dict(zip(ids, State, strict=True))
    for message_id, state in found.items():
        more = f", {CLAIM}" if state is State.SENDING else ""
        stamps = "sent_at = due_at, failed_at = due_at, in_doubt_at = due_at"
        ground.change(f"UPDATE messages SET status = '{state}', {stamps}{more} WHERE id = {message_id}")
    return found


def rows_for(ground: Ground, name: str, ids: Any, **values: Any) -> list[dict[str, Any]]:
    stamp = STAMPS.get(TRANSITIONS[name].target)
    more = {stamp: ground.clock.now} if stamp else {}
    return [{"id": message_id, **more, **values} for message_id in ids]


def states(connection: Connection) -> dict[int, State]:
    return {row.id: State(row.status) for row in connection.exec_driver_sql("SELECT id, status FROM messages")}


@contextmanager
def undone(ground: Ground) -> Iterator[Connection]:
    """A transaction that is rolled back in the end."""
    with ground.store.write() as connection:
        savepoint = connection.begin_nested()
        yield connection
        savepoint.rollback()


def test_a_move_changes_messages_in_its_source_states_and_no_others(ground: Ground) -> None:
    before = one_in_each_state(ground)
    for name in MOVES:
        rule = TRANSITIONS[name]
        with undone(ground) as connection:
            lost = move(connection, name, rows_for(ground, name, before), claimed=False, now=ground.clock.now)
            assert lost == {message_id for message_id, state in before.items() if state not in rule.sources}, name
            wanted = {key: rule.target if state in rule.sources else state for key, state in before.items()}
            assert states(connection) == wanted, name


def test_a_claimed_move_needs_the_claim_itself(ground: Ground) -> None:
    before = one_in_each_state(ground)
    (mine,) = [message_id for message_id, state in before.items() if state is State.SENDING]
    for name in MOVES:
        held = TRANSITIONS[name].sources == {State.SENDING}
        for claim_id, wins in (("mine", held), ("another's", False), ("", False)):
            with undone(ground) as connection:
                lost = move(
                    connection,
                    name,
                    rows_for(ground, name, before, claim_id=claim_id),
                    claimed=True,
                    now=ground.clock.now,
                )
                assert lost == set(before) - ({mine} if wins else set()), (name, claim_id)
                changed = {mine: TRANSITIONS[name].target} if wins else {}
                assert states(connection) == before | changed


def test_leaving_sending_ends_the_claim(ground: Ground) -> None:
    before = one_in_each_state(ground)
    (mine,) = [message_id for message_id, state in before.items() if state is State.SENDING]
    with ground.store.write() as connection:
        assert (
            move(
                connection,
                "accept",
                rows_for(ground, "accept", [mine], claim_id="mine"),
                claimed=True,
                now=ground.clock.now,
            )
            == set()
        )
    query = "SELECT claim_id, run_id, claim_expires_at FROM messages WHERE id = :id"
    assert [tuple(row) for row in ground.rows(query, id=mine)] == [(None, None, None)]


def test_only_queued_messages_can_be_claimed(ground: Ground) -> None:
    before = one_in_each_state(ground)
    claim = claims.Claim("new", "run", 0, ground.clock.now)
    for message_id, state in before.items():
        with ground.store.read() as connection:
            due = claims.by_id(connection, [message_id])[message_id]
        refused = nullcontext() if state is State.QUEUED else pytest.raises(AssertionError, match="claimed 0 of 1")
        with undone(ground) as connection, refused:
            claims.claim(connection, [(due, "primary")], claim, revision=1, now=ground.clock.now)


def test_losers_are_named_and_winners_moved_when_both_are_in_one_batch(ground: Ground) -> None:
    ground.provable = False
    ground.enqueue(5)
    ids = sorted(row[0] for row in ground.rows("SELECT id FROM messages"))
    ground.change(f"UPDATE messages SET status = 'cancelled' WHERE id IN ({ids[1]}, {ids[3]})")
    with ground.store.write() as connection:
        assert move(connection, "suppress", rows_for(ground, "suppress", ids), claimed=False, now=ground.clock.now) == {
            ids[1],
            ids[3],
        }
    assert ground.states() == {"suppressed": 3, "cancelled": 2}


def test_moving_nothing_asks_the_database_nothing(ground: Ground) -> None:
    with ground.store.read() as connection:
        assert move(connection, "accept", [], claimed=True, now=ground.clock.now) == set()
