"""The ledger's own proof: each way of damaging it by hand is found and named, and a sound one passes."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa

from sendctl.states import State
from sendctl.store import proofs
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, REFUSED, STEP, UNKNOWN, UNTOUCHED, Ground

# What to do by hand to a message in some state, and what the proof then says.
DAMAGE = [
    ("sent", "UPDATE attempts SET outcome = 'refused' WHERE outcome = 'accepted'",
     "a sent message without exactly one accepted attempt"),
    ("sent", "UPDATE messages SET status = 'queued'", "an accepted attempt of a message that is not sent"),
    ("sending", "UPDATE attempts SET claim_id = 'another'", "a message in flight without an open attempt of its claim"),
    ("sending", "UPDATE attempts SET outcome = 'deferred', finished_at = started_at",
     "a message in flight without an open attempt of its claim"),
    ("sending", "UPDATE messages SET status = 'queued', claim_id = NULL, run_id = NULL, claim_expires_at = NULL",
     "an attempt left open by a message that is not in flight"),
    ("sending", "UPDATE messages SET error_class = 'allowance'", "a message in flight without a share of its account"),
    ("in_doubt", "UPDATE attempts SET outcome = 'abandoned'",
     "a message in doubt without an attempt of unknown outcome"),
    ("queued", "UPDATE messages SET attempts = attempts + 1", "a count of attempts that is not the number of attempts"),
    ("sent", "DELETE FROM attempts", "a count of attempts that is not the number of attempts"),
    ("queued", "UPDATE messages SET status = 'cancelled'",
     "an active enrollment without a message to come (enrollment id)"),
    ("queued", "DELETE FROM messages", "an active enrollment without a message to come (enrollment id)"),
    ("queued", "UPDATE enrollments SET current_step_index = 1",
     "an active enrollment without a message to come (enrollment id)"),
    ("queued", "UPDATE enrollments SET status = 'completed'",
     "an enrollment that is over and has a message in the queue (enrollment id)"),
    ("sent", "UPDATE messages SET copy = 1", "a copy of what was never planned"),
]  # fmt: skip


def put_into(ground: Ground, state: str) -> None:
    ground.enqueue(1)
    if state == "sending":
        ground.clerk().turn([], 1)
    elif state != "queued":
        ground.pass_with({"sent": ACCEPTED, "in_doubt": UNKNOWN}[state])


@pytest.mark.parametrize(("state", "damage", "found"), DAMAGE)
def test_each_damage_is_found_and_named(ground: Ground, state: str, damage: str, found: str) -> None:
    ground.provable = False
    put_into(ground, state)
    assert ground.violations() == []
    assert ground.change(damage) == 1
    assert found in ground.violations()


def test_every_invariant_is_damaged_by_some_case() -> None:
    assert {found for _, _, found in DAMAGE} == set(proofs._VIOLATIONS)


def test_a_state_that_nobody_knows_is_missing_in_the_sum(ground: Ground) -> None:
    """The database refuses such a word; its guard may have been taken away by hand."""
    ground.provable = False
    ground.enqueue(1)
    if ground.store.sqlite:
        with closing(sqlite3.connect(ground.folder / "store.db")) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute("UPDATE messages SET status = 'forgotten'")
    else:
        named = "SELECT conname FROM pg_constraint WHERE conrelid = 'messages'::regclass AND contype = 'c'"
        for (name,) in ground.rows(named):
            ground.change(f'ALTER TABLE messages DROP CONSTRAINT "{name}"')
        ground.change("UPDATE messages SET status = 'forgotten'")
    assert "states that do not add up to what was planned" in ground.violations()


def test_a_violation_names_campaign_and_rows_and_stays_readable(ground: Ground) -> None:
    ground.provable = False
    ground.enqueue(30)
    ground.enqueue(2, name="sound")
    ground.change("UPDATE messages SET attempts = 7 WHERE campaign_id = 1")
    with ground.store.read() as connection:
        (found,) = proofs.check(connection)
    assert found.campaign == "sale"
    assert len(found.ids) == 10


def test_the_states_always_add_up_to_what_was_planned(ground: Ground) -> None:
    ground.enqueue(7, steps=(STEP, DRIP), controls="max_attempts = 1")
    clerk = ground.clerk()
    window = clerk.turn([], 6)
    clerk.turn(ground.done(window, ACCEPTED, REFUSED, DEFERRED, UNKNOWN, UNTOUCHED, ACCEPTED)[:5], 0)
    with ground.store.read() as connection:
        counts = proofs.counts(connection, 1)
        assert list(counts) == list(State)
        assert sum(counts.values()) == proofs.planned(connection, 1) == 8
    assert {state: count for state, count in counts.items() if count} == {
        "queued": 3, "sending": 1, "in_doubt": 1, "sent": 1, "failed": 2,
    }  # fmt: skip


def test_a_bounced_message_keeps_its_acceptance(ground: Ground) -> None:
    put_into(ground, "sent")
    ground.change("UPDATE messages SET status = 'bounced'")
    assert ground.violations() == []


def test_archived_campaigns_are_left_out(ground: Ground) -> None:
    ground.provable = False
    put_into(ground, "queued")
    ground.change("UPDATE messages SET attempts = 7")
    ground.change("UPDATE campaigns SET status = 'archived'")
    assert ground.violations() == []


def test_each_campaign_is_counted_for_itself(ground: Ground) -> None:
    for number, name in enumerate(("sale", "other"), 1):
        ground.enqueue(number, name=name)
    with ground.store.read() as connection:
        ids = [row[0] for row in connection.execute(sa.text("SELECT id FROM campaigns ORDER BY name"))]
        assert [proofs.planned(connection, campaign_id) for campaign_id in ids] == [2, 1]
        assert [sum(proofs.counts(connection, campaign_id).values()) for campaign_id in ids] == [2, 1]
