"""`suppress`: from its commit on nobody listed is claimed, what waits is set aside, what is in flight is counted."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.errors import BadInput, UsageError
from sendctl.passes import control
from sendctl.passes.suppress import CHUNK, Asked, SuppressReport, every, suppress, unsuppress
from sendctl.states import State
from sendctl.store import suppressions
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, STEP, UNKNOWN, Ground
from tests.store.waiting import begin_before_the_commit, until_it_waits


def address(number: int) -> str:
    return f"p{number:05}@x.example"


def stop(ground: Ground, *addresses: str, reason: str = "") -> SuppressReport:
    return suppress(ground.context, Asked(addresses, reason=reason))


def listed(ground: Ground) -> list[tuple[str, str]]:
    with every(ground.context) as rows:
        return [(row.address_key, row.reason) for row in rows]


def who_waits(ground: Ground) -> list[str]:
    return [row[0] for row in ground.rows("SELECT recipient FROM messages WHERE status = 'queued' ORDER BY id")]


def file_of(ground: Ground, *lines: str) -> Path:
    path = ground.folder / "addresses.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_what_waits_for_an_address_is_set_aside_in_every_campaign_and_nobody_elses(ground: Ground) -> None:
    for name in ("running", "paused"):
        ground.enqueue(3, name=name, steps=(STEP, DRIP))
    control.pause(ground.context, "paused")
    report = stop(ground, address(2))
    assert (report.addresses, report.changed, report.messages, report.in_flight) == (1, 1, 2, 0)
    assert ground.states("running") == ground.states("paused") == {"queued": 2, "suppressed": 1}
    assert who_waits(ground) == [address(1), address(3)] * 2
    ended = ground.rows("SELECT status, next_scheduled_at FROM enrollments WHERE status <> 'active'")
    assert [tuple(row) for row in ended] == [("stopped", None)] * 2


def test_what_is_in_flight_is_counted_and_its_next_step_is_never_sent(ground: Ground) -> None:
    ground.enqueue(3, steps=(STEP, DRIP))
    clerk = ground.clerk()
    window = clerk.turn([], 2)
    report = stop(ground, address(1), address(3))
    assert (report.messages, report.in_flight, report.deadline_s) == (1, 1, 60.0)
    clerk.turn(ground.done(window, ACCEPTED), 0)
    ground.clock.forward(days=4)
    assert [item.due.recipient for item in ground.clerk().turn([], 10).messages] == [address(2)]
    assert ground.states() == {"sent": 2, "sending": 1, "suppressed": 2}


@pytest.mark.parametrize("outcome", [DEFERRED, UNKNOWN], ids=["deferred", "resent in doubt"])
def test_what_was_in_flight_and_comes_back_is_not_sent_again(ground: Ground, outcome: Any) -> None:
    ground.enqueue(1)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    assert stop(ground, address(1)).in_flight == 1
    clerk.turn(ground.done(window, outcome), 0)
    if outcome is UNKNOWN:
        ground.recover(in_doubt="resend")
    ground.clock.forward(days=1)
    assert ground.clerk().turn([], 1).messages == ()
    assert ground.states() == {"suppressed": 1}


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_claim_that_is_under_way_is_waited_for_and_counted(ground: Ground) -> None:
    """It has asked the list before the address stood there."""
    ground.enqueue(2)
    clerk = ground.clerk()
    mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
    reports: list[SuppressReport] = []
    stopping = threading.Thread(target=lambda: reports.append(stop(mine, address(1), address(2))))
    begin_before_the_commit(ground.store.engine, stopping)
    assert len(clerk.turn([], 1).messages) == 1
    stopping.join()
    mine.close()
    assert [(report.in_flight, report.messages) for report in reports] == [(1, 1)]
    assert clerk.turn([], 2).messages == ()


@contextmanager
def claiming_beside(ground: Ground, people: int) -> Iterator[None]:
    """Two workers claim everybody, one message at a time, while the block runs; both have ended after it."""
    ground.clerk()  # the host has joined
    barrier = threading.Barrier(3, timeout=60)

    def claiming() -> None:
        mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
        clerk = mine.clerk()
        barrier.wait()
        for _ in range(people // 3):
            clerk.turn([], 1)
        mine.close()

    threads = [threading.Thread(target=claiming) for _ in range(2)]
    for thread in threads:
        thread.start()
    barrier.wait()
    yield
    for thread in threads:
        thread.join()


def test_claims_at_the_same_time_leave_nothing_that_is_neither_in_flight_nor_set_aside(ground: Ground) -> None:
    people = 60
    ground.enqueue(people)
    with claiming_beside(ground, people):
        report = stop(ground, *map(address, range(1, people + 1)))
    found = ground.states()
    assert found.get("sending", 0) == report.in_flight
    assert found.get("suppressed", 0) == people - report.in_flight


def test_the_same_again_changes_nothing_and_keeps_the_first_reason(ground: Ground) -> None:
    ground.enqueue(2)
    stop(ground, address(1), reason="asked by phone")
    before = ground.dump()
    again = stop(ground, address(1).upper(), address(1), reason="another")
    assert (again.addresses, again.changed, again.messages) == (2, 0, 0)
    assert ground.dump() == before
    assert listed(ground) == [(address(1), "asked by phone")]


def test_what_a_death_left_behind_the_list_is_set_aside_by_the_same_again(ground: Ground) -> None:
    ground.enqueue(2)
    with ground.store.write() as connection:
        assert suppressions.add(connection, [address(1)], "", ground.clock.now) == [address(1)]
    assert who_waits(ground) == [address(1), address(2)]
    assert stop(ground, address(1)).messages == 1
    assert who_waits(ground) == [address(2)]


def test_what_is_planned_for_a_suppressed_address_later_is_never_claimed(ground: Ground) -> None:
    stop(ground, address(1))
    ground.enqueue(2)
    assert [item.due.recipient for item in ground.clerk().turn([], 10).messages] == [address(2)]
    assert ground.states() == {"sending": 1, "suppressed": 1}


def test_a_campaign_of_which_nothing_is_left_is_completed(ground: Ground) -> None:
    ground.enqueue(1)
    stop(ground, address(1))
    assert ground.one("SELECT status FROM campaigns") == "completed"


def test_a_list_of_many_pieces_with_repeats_is_taken_whole(ground: Ground) -> None:
    ground.enqueue(4)
    ground.clerk().turn([], 1)
    others = [f"other{number}@x.example" for number in range(CHUNK)]
    theirs = [address(number) for number in (1, 2, 3)]
    path = file_of(ground, *theirs, *others, "+49 30 123456-78", "", *theirs)
    report = suppress(ground.context, Asked([address(1)], path))
    assert (report.addresses, report.changed) == (CHUNK + 8, CHUNK + 4)
    assert (report.messages, report.in_flight) == (2, 1)
    assert ground.states() == {"sending": 1, "queued": 1, "suppressed": 2}
    assert ("+493012345678", "") in listed(ground)


@pytest.mark.parametrize("act", [suppress, unsuppress])
def test_one_bad_line_is_named_and_nothing_is_changed(ground: Ground, act: Any) -> None:
    ground.enqueue(2)
    stop(ground, address(2))
    before = ground.dump()
    good = [f"other{number}@x.example" for number in range(CHUNK)]
    path = file_of(ground, address(1), address(2), *good, "no address", "also none")
    with pytest.raises(BadInput, match=rf"addresses\.txt:{CHUNK + 3}: neither an e-mail address"):
        act(ground.context, Asked([address(1)], path))
    with pytest.raises(UsageError, match="Ana is no address"):
        act(ground.context, Asked([address(1), "Ana"]))
    assert ground.dump() == before


def test_the_audit_says_who_and_why_and_which(ground: Ground) -> None:
    stop(ground, address(1), address(2), reason="asked by phone")
    stop(ground, address(2))
    unsuppress(ground.context, Asked([address(2), address(3)], reason="changed her mind"))
    lines = ground.rows("SELECT login, action, reason, detail FROM audit ORDER BY id")
    assert [(row[1], row[2]) for row in lines] == [("suppress", "asked by phone"), ("unsuppress", "changed her mind")]
    assert all(row[0] for row in lines)
    assert address(1) in lines[0][3]
    assert address(3) not in lines[1][3]


def test_who_is_taken_off_the_list_gets_what_is_planned_from_then_on(ground: Ground) -> None:
    ground.enqueue(1, name="old")
    stop(ground, address(1))
    report = unsuppress(ground.context, Asked([address(1)]))
    assert (report.changed, listed(ground)) == (1, [])
    ground.enqueue(1, name="new")
    ground.pass_with(ACCEPTED)
    assert (ground.states("old"), ground.states("new")) == ({"suppressed": 1}, {"sent": 1})


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_second_change_of_the_list_waits_for_the_first(ground: Ground) -> None:
    """Long lists in opposite orders would otherwise each wait for a row of the other."""
    mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
    reports: list[SuppressReport] = []
    second = threading.Thread(target=lambda: reports.append(stop(mine, address(2), address(1))))

    def still_waits(connection: Connection) -> None:
        second.start()
        until_it_waits(connection, second)
        assert second.is_alive()

    sa.event.listen(ground.store.engine, "commit", still_waits, once=True)
    assert unsuppress(ground.context, Asked([address(9)])).changed == 0  # it shares no row with the second
    second.join()
    mine.close()
    assert [report.changed for report in reports] == [2]


def test_messages_of_an_address_are_found_by_indexes_alone(sqlite_ground: Ground) -> None:
    sqlite_ground.enqueue(3)
    plan: list[str] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        cursor = connection.connection.cursor()
        plan.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    with sqlite_ground.store.write() as connection:
        sa.event.listen(connection, "before_cursor_execute", explain)
        suppressions.messages_to(connection, [address(1)], [1], State.QUEUED)
    searches = [re.sub(r"USING .*INDEX \S+ ", "", step) for step in plan if step.startswith("SEARCH ")]
    assert searches == [
        "SEARCH messages (enrollment_id=?)", "SEARCH enrollments (campaign_id=? AND contact_id=?)",
        "SEARCH contacts (address_key=?)", "SEARCH contacts (phone=?)",
    ], plan  # fmt: skip
    assert not [step for step in plan if step.startswith("SCAN ") and "VIRTUAL TABLE" not in step]
