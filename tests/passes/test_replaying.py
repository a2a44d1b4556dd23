"""Replaying journals: those put away too, beside a run that lives, into another store, in races for what they prove."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sendctl.errors import StoreElsewhere, StoreLocked, StoreRewound
from sendctl.journal import home as homes
from sendctl.journal import older
from sendctl.journal.home import KEEP_JOURNALS_S, RunNote
from sendctl.passes import planning, remembered, replaying
from sendctl.passes.startup import check_remembered
from tests.passes.judge import Judge, accept
from tests.store.ground import ACCEPTED, DEFERRED, UNKNOWN, Ground

PEOPLE = ["p00001", "p00002", "p00003", "p00004", "p00005"]


def rewound(ground: Ground) -> None:
    """What the first pass on this host finds."""
    with pytest.raises(StoreRewound):
        ground.send_due()


def test_what_the_backup_has_not_sent_and_no_journal_knows_is_sent_after_the_replay(
    ground: Ground, judge: Judge
) -> None:
    ground.enqueue(5)
    before = ground.backup()
    ground.send_due(limit=2)
    ground.put_back(before)
    rewound(ground)
    ground.recover()
    assert ground.states() == {"sent": 2, "queued": 3}
    ground.send_due()
    assert judge.people() == PEOPLE


def test_journals_that_were_put_away_are_replayed_like_all_others(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(older, "MANY", 2)
    monkeypatch.setattr(older, "NEWEST", 1)
    ground.enqueue(5)
    before = ground.backup()
    for _ in range(5):
        ground.send_due(limit=1)
    assert len(ground.context.home.confirmed()) <= 3 < len(ground.context.home.all_confirmed())
    ground.put_back(before)
    rewound(ground)
    assert planning.plan(ground.context, "sale").worst_case_duplicates == 0
    done = ground.recover()
    assert done.replayed is not None
    assert (done.replayed.sent, done.replayed.contradicted) == (5, [])
    ground.send_due()
    assert judge.people() == PEOPLE


def test_what_was_put_back_under_another_number_is_known_to_the_next_replay(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1)
    before = ground.backup()
    for answer in (DEFERRED, ACCEPTED):
        judge.answer = lambda _message, answer=answer: answer
        ground.send_due()
        ground.clock.forward(hours=1)
    for known, sent in ((0, 1), (1, 0)):
        ground.put_back(before)
        rewound(ground)
        done = ground.recover()
        assert done.replayed is not None
        assert (done.replayed.known, done.replayed.sent) == (known, sent)
        before = ground.backup()
        ground.send_due()
    assert judge.people() == ["p00001"]


def test_a_replay_knows_what_the_backup_had_already(ground: Ground, judge: Judge) -> None:
    ground.enqueue(5)
    ground.send_due(limit=3)
    before = ground.backup()
    ground.send_due(limit=1)
    ground.put_back(before)
    rewound(ground)
    done = ground.recover()
    assert done.replayed is not None
    assert (done.replayed.known, done.replayed.sent) == (3, 1)
    ground.send_due()
    assert judge.people() == PEOPLE


def test_journals_are_not_replayed_beside_a_run_that_lives(ground: Ground) -> None:
    ground.enqueue(2)
    ground.clerk()
    store_id = ground.one("SELECT store_id FROM store")
    note = RunNote(store_id, "alive", "send-due", homes.boot_id(), 7, ground.clock.now.isoformat())
    with (
        homes.held_lock(ground.context.home, note),
        pytest.raises(StoreLocked, match=r"run alive \(pid 7\) is still alive on this host"),
    ):
        replaying.replay_all(ground.context)


def test_journals_are_not_replayed_into_a_copy(sqlite_ground: Ground) -> None:
    sqlite_ground.change("UPDATE store SET bound_to = 'another machine:/store.db'")
    with pytest.raises(StoreElsewhere, match="belongs to another machine"):
        replaying.replay_all(sqlite_ground.context)


def test_a_backup_older_than_the_journals_is_refused_until_somebody_takes_the_risk(
    ground: Ground, judge: Judge
) -> None:
    ground.clock.now = datetime.now(UTC)
    ground.enqueue(2)
    ground.send_due(limit=1)
    before = ground.backup()
    ground.send_due(limit=1)
    ground.put_back(before)
    rewound(ground)
    ground.clock.forward(seconds=KEEP_JOURNALS_S + 60)
    with pytest.raises(StoreRewound, match="the backup is 30 days old; journals are kept for 30"):
        ground.recover()


def test_an_attempt_that_is_known_or_was_accepted_elsewhere_is_not_foreseen_as_doubt(
    ground: Ground, judge: Judge
) -> None:
    """Handed over, in doubt, sent again by decision, and accepted: the plan counts it as sent."""
    ground.enqueue(2)
    before = ground.backup()
    judge.answer = lambda message: UNKNOWN if message.recipient.startswith("p00001") else ACCEPTED
    ground.send_due(limit=1)
    ground.recover(in_doubt="resend")
    judge.answer = accept
    ground.send_due()
    ground.put_back(before)
    rewound(ground)
    made = planning.plan(ground.context, "sale")
    assert (made.replayed.sent, made.replayed.in_doubt) == (2, [])


def test_an_acceptance_in_a_journal_settles_the_doubt_that_the_backup_holds(ground: Ground, judge: Judge) -> None:
    """In the backup its first attempt is in doubt; it was sent again by decision, and that copy was accepted."""
    ground.enqueue(1)
    judge.answer = lambda _message: UNKNOWN
    ground.send_due()
    before = ground.backup()
    ground.recover(in_doubt="resend")
    judge.answer = accept
    ground.send_due()
    ground.put_back(before)
    assert ground.states() == {"in_doubt": 1}
    rewound(ground)
    done = ground.recover()
    assert done.replayed is not None
    assert (done.replayed.sent, done.replayed.contradicted) == (1, [])
    assert ground.states() == {"sent": 1}
    ground.send_due()
    assert len(judge.delivered) == 2  # the two that were sent


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("seen", ["JOIN replayed_keys", "FROM replayed_keys JOIN"], ids=["that it waits", "what it is"])
def test_what_a_claim_takes_up_first_is_not_taken_up_again(ground: Ground, judge: Judge, seen: str) -> None:
    """Enqueue settles what was remembered of its campaign; a claim at the same moment has settled it already."""
    ground.enqueue(1, name="other", at=ground.clock.now.replace(year=2027))
    before = ground.backup()
    ground.enqueue(2)
    ground.send_due()
    ground.put_back(before)
    rewound(ground)
    ground.recover("other")
    beside = ground.other_host()
    clerk = beside.clerk("sale")
    kept = ground.rows("SELECT * FROM replayed_keys")
    ground.enqueue(2)
    assert (ground.states(), len(kept)) == ({"sent": 2}, 2)
    put_back(ground, kept)
    with ground.once_after(seen, lambda: clerk.turn([], 10)):
        assert remembered.take_up(ground.context, "sale") == remembered.TakenUp(0, 0)
    assert ground.states() == {"sent": 2}
    assert len(judge.delivered) == 2
    beside.close()


def put_back(ground: Ground, kept: list[Any]) -> None:
    """The messages wait again, and what was proven of them is remembered, as before it was taken up."""
    for row in kept:
        names = ", ".join(row._fields)
        ground.change(
            f"INSERT INTO replayed_keys ({names}) VALUES ({', '.join(f':{name}' for name in row._fields)})",
            **row._asdict(),
        )
    ground.change("DELETE FROM attempts")
    ground.change(
        "UPDATE messages SET status = 'queued', attempts = 0, sent_at = NULL, revision = NULL, composed_at = NULL"
        " WHERE status = 'sent'"
    )
    ground.change("UPDATE enrollments SET status = 'active', current_step_index = 0 WHERE status = 'completed'")
    ground.change("UPDATE campaigns SET status = 'running'")


def test_what_is_in_flight_and_the_store_has_forgotten_stops_the_pass_before_a_byte_leaves(ground: Ground) -> None:
    """The journal may not know of it yet; this process does."""
    ground.enqueue(2)
    clerk = ground.clerk()
    before = ground.backup()
    window = clerk.turn([], 2)
    check_remembered(ground.context, clerk.run_id, whole=False, under_way=window.messages)
    ground.put_back(before)
    with pytest.raises(StoreRewound, match=r"message \d+ \(attempt 1\) is under way and the store does not know it"):
        check_remembered(ground.context, clerk.run_id, whole=False, under_way=window.messages)
    assert replaying.needed(ground.context)
