"""Claims: what is due, in order, once, whoever else is claiming at the same moment, at any size of the ledger."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sendctl.passes.claiming import Window
from sendctl.store import claims
from sendctl.store.claims import Claim
from sendctl.store.engine import Store
from sendctl.store.ledger import move
from tests.store.ground import ACCEPTED, START, Ground


def recipients(window: Window) -> list[str]:
    return [item.due.recipient.partition("@")[0] for item in window.messages]


def claim_until_empty(ground: Ground, size: int, taken: list[list[str]], barrier: threading.Barrier) -> None:
    """One pass of its own connections: claims windows, and settles each in the turn that claims the next."""
    mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
    clerk = mine.clerk()
    barrier.wait()
    window = clerk.turn([], size)
    while window.messages:
        taken.append([item.due.key for item in window.messages])
        window = clerk.turn(mine.done(window, ACCEPTED), size)
    mine.close()


@pytest.mark.parametrize("passes", [2, 5])
def test_passes_at_the_same_time_never_claim_the_same_message(ground: Ground, passes: int) -> None:
    ground.enqueue(60)
    taken: list[list[str]] = []
    barrier = threading.Barrier(passes, timeout=60)
    threads = [threading.Thread(target=claim_until_empty, args=(ground, 4, taken, barrier)) for _ in range(passes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = Counter(key for window in taken for key in window)
    # A pass that finds the rest locked ends early; what it leaves is claimed by the others.
    assert set(counts.values()) == {1}
    assert ground.states() == {"sent": 60}
    assert ground.one("SELECT count(*) FROM attempts WHERE outcome = 'accepted'") == 60


def test_a_message_that_another_transaction_holds_is_passed_over_not_waited_for(ground: Ground) -> None:
    if ground.store.sqlite:
        return  # one writer: there is nothing to pass over
    ground.enqueue(4)
    clerk = ground.clerk()
    with ground.store.write() as connection:
        held = claims.pick_due(connection, 1, ground.clock.now, 2)
        window = clerk.turn([], 10)
    assert len(window.messages) == 2
    assert not {item.due.id for item in window.messages} & {due.id for due in held}


def test_windows_take_the_oldest_first(ground: Ground) -> None:
    ground.enqueue(2, at=START + timedelta(minutes=3))
    ground.enqueue(2, first=3, at=START + timedelta(minutes=1))
    ground.enqueue(2, first=5, at=START + timedelta(minutes=2))
    ground.clock.forward(minutes=10)
    clerk = ground.clerk()
    assert [sorted(recipients(clerk.turn([], 2))) for _ in range(4)] == [
        ["p00003", "p00004"], ["p00005", "p00006"], ["p00001", "p00002"], [],
    ]  # fmt: skip


def test_nothing_is_claimed_a_moment_before_it_is_due(ground: Ground) -> None:
    ground.enqueue(1, at=START + timedelta(hours=1))
    ground.clock.now = START + timedelta(hours=1) - timedelta(microseconds=1)
    assert ground.clerk().turn([], 1).messages == ()
    ground.clock.now = START + timedelta(hours=1)
    assert len(ground.clerk().turn([], 1).messages) == 1


def test_a_claim_writes_claim_attempt_and_what_is_frozen_before_anything_leaves(ground: Ground) -> None:
    ground.enqueue(1)
    (item,) = ground.clerk(run_id="run-1", worker=3).turn([], 1).messages
    with ground.store.read() as connection:
        message = connection.execute(sa.text("SELECT * FROM messages")).mappings().one()
        attempt = connection.execute(sa.text("SELECT * FROM attempts")).mappings().one()
    assert (message["status"], message["run_id"], message["attempts"]) == ("sending", "run-1", 1)
    assert message["claim_id"] == attempt["claim_id"] == item.claim_id
    assert message["revision"] == 1
    assert message["composed_at"] is not None
    assert (attempt["outcome"], attempt["number"], attempt["worker"], attempt["provider"]) == ("open", 1, 3, "primary")


def test_a_window_is_claimed_whole_or_not_at_all(ground: Ground) -> None:
    """Were a message claimed only in part, its attempt would be handed over although it had left the queue."""
    ground.enqueue(2)
    run_id = ground.clerk().run_id
    before = ground.dump()
    now = ground.clock.now

    def claim_what_was_cancelled() -> None:
        with ground.store.write() as connection:
            picked = claims.pick_due(connection, 1, now, 2)
            move(connection, "cancel", [{"id": picked[0].id}], claimed=False, now=now)
            pairs = [(due, "primary") for due in picked]
            claims.claim(connection, pairs, Claim("claim", run_id, 0, now + timedelta(minutes=5)), revision=1, now=now)

    with pytest.raises(AssertionError, match="claimed 1 of 2"):
        claim_what_was_cancelled()
    assert ground.dump() == before


def test_every_window_has_a_claim_id_of_its_own(ground: Ground) -> None:
    ground.enqueue(4)
    clerk = ground.clerk()
    first, second = clerk.turn([], 2), clerk.turn([], 2)
    assert len({item.claim_id for item in first.messages}) == 1
    assert first.messages[0].claim_id != second.messages[0].claim_id


def test_campaigns_take_turns_so_that_a_large_one_starves_nobody(ground: Ground) -> None:
    for name in ("a", "b", "c"):
        ground.enqueue(4, name=name)
    clerk = ground.clerk()
    assert [clerk.turn([], 2).campaign_id for _ in range(6)] == [1, 2, 3, 1, 2, 3]


def test_campaigns_with_something_due_are_found_oldest_first(ground: Ground) -> None:
    ground.enqueue(1, name="later", at=START + timedelta(days=1))
    ground.enqueue(1, name="young", at=START + timedelta(minutes=2))
    ground.enqueue(1, name="old", at=START)
    ground.enqueue(1, name="paused", at=START)
    ground.change("UPDATE campaigns SET status = 'paused' WHERE name = 'paused'")
    ground.clock.forward(minutes=5)
    with ground.store.read() as connection:
        assert claims.campaigns_with_due(connection, ground.clock.now) == ["old", "young"]
        assert claims.due_counts(connection, ground.clock.now) == {"old": 1, "young": 1}


def test_postponing_moves_queued_messages_only(ground: Ground) -> None:
    ground.enqueue(2)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    later = ground.clock.now + timedelta(hours=1)
    ids = [row[0] for row in ground.rows("SELECT id FROM messages ORDER BY id")]
    with ground.store.write() as connection:
        claims.postpone(connection, [(message_id, later) for message_id in ids], ground.clock.now)
    clerk.turn(ground.done(window, ACCEPTED), 0)
    ground.clock.forward(minutes=59)
    assert clerk.turn([], 2).messages == ()
    ground.clock.forward(minutes=1)
    assert len(clerk.turn([], 2).messages) == 1


def plan_of(store: Store, ask: Any) -> str:
    """How the database executes what `ask(connection)` sends it."""
    seen: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    with store.write() as connection:
        sa.event.listen(store.engine, "before_cursor_execute", listen)
        ask(connection)
        sa.event.remove(store.engine, "before_cursor_execute", listen)
        explain = "EXPLAIN QUERY PLAN " if store.sqlite else "EXPLAIN "
        (statement, parameters) = seen[-1]
        return "\n".join(str(row) for row in connection.exec_driver_sql(explain + statement, parameters))


def test_finding_what_is_due_reads_neither_the_sent_nor_the_future(ground: Ground) -> None:
    ground.provable = False
    ground.enqueue(3000)
    ground.change("UPDATE messages SET status = 'sent', sent_at = due_at WHERE id > 1500")
    ground.change("ANALYZE")
    now = ground.clock.now
    due = plan_of(ground.store, lambda connection: claims.pick_due(connection, 1, now, 20))
    first = plan_of(ground.store, lambda connection: claims.campaigns_with_due(connection, now))
    for plan in (due, first):
        assert "messages_by_state" in plan
        assert "Seq Scan on messages" not in plan
        assert "SCAN messages" not in plan
    assert "Sort" not in due
    assert "TEMP B-TREE" not in due
