"""The database's own guards: what no program, and no operator with SQL, can write into the ledger."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from sendctl.states import AttemptOutcome
from sendctl.store.columns import insert_columns
from sendctl.store.tables import attempts, metadata
from tests.store.ground import ACCEPTED, DOWN, UNKNOWN, Ground

LIVE = (AttemptOutcome.OPEN, AttemptOutcome.ACCEPTED, AttemptOutcome.UNKNOWN)


def copied(ground: Ground, table: str, **changes: Any) -> None:
    """Insert a copy of a table's first row with some columns changed."""
    where = metadata.tables[table]
    with ground.store.write() as connection:
        row = connection.execute(sa.select(where)).mappings().first()
        assert row is not None
        connection.execute(sa.insert(where).values(**{**row, **changes}))


def refused(ground: Ground, sql: str, **values: Any) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        ground.change(sql, **values)


def test_a_second_message_for_the_same_slot_is_refused(ground: Ground) -> None:
    ground.enqueue(1)
    before = ground.dump()
    with pytest.raises(sa.exc.IntegrityError):
        copied(ground, "messages", id=99, provider_key="another")
    assert ground.dump() == before


def test_other_slots_of_the_same_enrollment_are_other_messages(ground: Ground) -> None:
    ground.enqueue(1)
    changes: list[dict[str, Any]] = [{"step_index": 1}, {"occurrence": 1}, {"channel": "sms"}, {"copy": 1}]
    for number, change in enumerate(changes, start=91):
        copied(ground, "messages", id=number, provider_key=f"key {number}", **change)
    assert ground.states() == {"queued": 5}


def test_two_messages_never_share_a_provider_key(ground: Ground) -> None:
    ground.enqueue(1)
    with pytest.raises(sa.exc.IntegrityError):
        copied(ground, "messages", id=99, step_index=1)


@pytest.mark.parametrize("outcome", [None, ACCEPTED, UNKNOWN], ids=["open", "accepted", "unknown"])
def test_a_second_live_attempt_is_refused(ground: Ground, outcome: Any) -> None:
    ground.enqueue(1)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    if outcome is not None:
        clerk.turn(ground.done(window, outcome), 0)
    for second in LIVE:
        finished_at = None if second is AttemptOutcome.OPEN else ground.clock.now
        with pytest.raises(sa.exc.IntegrityError, match="message_id"):  # the index, not a CHECK
            copied(ground, "attempts", number=2, outcome=second, finished_at=finished_at)


def test_attempts_that_ended_without_acceptance_allow_another(ground: Ground) -> None:
    ground.provable = False
    ground.enqueue(1)
    ground.clerk().turn([], 1)
    ended = sorted(set(AttemptOutcome) - set(LIVE))
    for number, outcome in enumerate(ended, start=2):
        ended_now = "UPDATE attempts SET outcome = :outcome, finished_at = started_at WHERE outcome = 'open'"
        ground.change(ended_now, outcome=outcome)
        copied(ground, "attempts", number=number, outcome="open", finished_at=None)
    assert ground.one("SELECT count(*) FROM attempts") == len(ended) + 1


def test_a_word_outside_the_list_is_refused(ground: Ground) -> None:
    ground.enqueue(1)
    ground.clerk().turn([], 1)
    for table, column, word in (
        ("messages", "status", "sendign"),
        ("messages", "channel", "fax"),
        ("attempts", "outcome", "fine"),
        ("attempts", "phase", "later"),
        ("attempts", "evidence", "hearsay"),
        ("enrollments", "status", "asleep"),
        ("campaigns", "status", "done"),
    ):
        refused(ground, f"UPDATE {table} SET {column} = :word", word=word)


def test_sending_without_a_whole_claim_is_refused(ground: Ground) -> None:
    ground.enqueue(1)
    ground.clerk().turn([], 1)
    for column in ("claim_id", "run_id", "claim_expires_at"):
        refused(ground, f"UPDATE messages SET {column} = NULL")


def test_a_claim_without_sending_is_refused(ground: Ground) -> None:
    ground.enqueue(1)
    refused(ground, "UPDATE messages SET status = 'sending'")
    refused(ground, "UPDATE messages SET claim_id = 'c', run_id = 'r', claim_expires_at = CURRENT_TIMESTAMP")


def test_a_state_without_its_time_is_refused(ground: Ground) -> None:
    ground.enqueue(1)
    for state in ("sent", "in_doubt", "failed"):
        refused(ground, "UPDATE messages SET status = :state", state=state)


def test_a_message_that_came_back_was_sent_at_a_time(ground: Ground) -> None:
    ground.enqueue(1)
    refused(ground, "UPDATE messages SET status = 'bounced'")
    ground.pass_with(ACCEPTED)
    refused(ground, "UPDATE messages SET status = 'bounced', sent_at = NULL")
    assert ground.change("UPDATE messages SET status = 'bounced'") == 1


def test_an_attempt_has_an_end_exactly_when_it_has_an_outcome(ground: Ground) -> None:
    ground.enqueue(1)
    ground.clerk().turn([], 1)
    refused(ground, "UPDATE attempts SET finished_at = started_at")
    for outcome in sorted(set(AttemptOutcome) - {AttemptOutcome.OPEN}):
        refused(ground, "UPDATE attempts SET outcome = :outcome", outcome=outcome)


def test_a_message_has_its_revision_and_its_date_together(ground: Ground) -> None:
    ground.enqueue(1)
    refused(ground, "UPDATE messages SET revision = 1")
    refused(ground, "UPDATE messages SET composed_at = due_at")


@pytest.mark.parametrize(
    ("table", "column", "least"),
    [
        ("store", "passes", 0),
        ("id_blocks", "next_id", 1),
        ("campaigns", "revision", 1),
        ("revisions", "revision", 1),
        ("steps", "step_index", 0),
        ("steps", "after_s", 0),
        ("steps", "repeat_count", 1),
        ("enrollments", "current_step_index", 0),
        ("messages", "step_index", 0),
        ("messages", "occurrence", 0),
        ("messages", "attempts", 0),
        ("messages", "charged_attempts", 0),
        ("attempts", "number", 1),
        ("attempts", "worker", 0),
        ("provider_state", "consecutive_failures", 0),
        ("provider_state", "times_opened", 0),
    ],
)
def test_a_number_below_its_least_is_refused(ground: Ground, table: str, column: str, least: int) -> None:
    ground.enqueue(1)
    ground.pass_with(DOWN)
    with pytest.raises(sa.exc.IntegrityError, match=r"(?i)check"):
        ground.change(f"UPDATE {table} SET {column} = {least - 1}")


def test_no_more_attempts_are_charged_than_were_made(ground: Ground) -> None:
    ground.enqueue(1)
    refused(ground, "UPDATE messages SET charged_attempts = 1")


def test_rows_that_others_point_at_cannot_go(ground: Ground) -> None:
    ground.enqueue(1)
    ground.clerk().turn([], 1)
    for table in ("messages", "enrollments", "contacts", "campaigns", "templates", "revisions"):
        refused(ground, f"DELETE FROM {table}")


def test_there_is_one_store_row(ground: Ground) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        copied(ground, "store", id=2)


def test_the_bulk_way_in_meets_the_same_guards_with_the_same_errors(ground: Ground) -> None:
    ground.enqueue(1)
    ground.clerk().turn([], 1)
    with ground.store.read() as connection:
        row = dict(connection.execute(sa.select(attempts)).mappings().one())
    with pytest.raises(sa.exc.IntegrityError), ground.store.write() as connection:
        insert_columns(connection, attempts, {"number": [2]}, {name: row[name] for name in row if name != "number"})
