"""The frequency cap and the least distance: asked in the claim, over campaigns, windows and hosts."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.durations import Rate
from sendctl.passes import control, reconcile
from sendctl.passes.advice import advise
from sendctl.passes.claiming import BUSY_WAIT_S
from sendctl.passes.status import read
from sendctl.settings import LimitsSettings
from sendctl.store import holds, touches
from tests.passes.judge import Judge
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, REFUSED, START, STEP, UNKNOWN, UNTOUCHED, Ground

WEEK_S = 7 * 86400
TWO_A_WEEK = LimitsSettings(per_person=Rate(2, WEEK_S))
TWELVE_HOURS = LimitsSettings(distance_s=12 * 3600)


def campaigns(ground: Ground, limits: LimitsSettings, *names: str, people: int = 1) -> None:
    ground.limits = limits
    for name in names:
        ground.enqueue(people, name=name, marketing=True)


def due_in_h(ground: Ground, campaign: str) -> float:
    """Hours from the start until the only queued message of a campaign may go."""
    (row,) = ground.rows(
        "SELECT m.next_attempt_at FROM messages m JOIN campaigns c ON c.id = m.campaign_id"
        " WHERE c.name = :name AND m.status = 'queued'", name=campaign,
    )  # fmt: skip
    with ground.store.read() as connection:
        moment = connection.execute(
            sa.text("SELECT :moment AS moment").columns(moment=touches._A.started_at.type), {"moment": row[0]}
        ).scalar_one()
    return float((moment - START).total_seconds() / 3600)


def test_the_next_campaign_waits_for_the_distance_and_says_so(ground: Ground) -> None:
    campaigns(ground, TWELVE_HOURS, "first", "second")
    ground.enqueue(1, name="receipt")  # transactional: neither asked nor counted
    for name in ("receipt", "first", "second"):
        ground.clerk(name).turn([], 10)
    assert (ground.states("receipt"), ground.states("first")) == ({"sending": 1}, {"sending": 1})
    assert ground.states("second") == {"queued": 1}
    assert due_in_h(ground, "second") == pytest.approx(12, abs=0.01)
    situation = read(ground.context, "second")
    (held,) = situation.campaigns[0].held
    assert (held.why, held.number) == ("distance", 1)
    assert held.example == "held by the distance of 12h until 2026-03-02 21:00Z"
    assert any("held by the least distance" in one.matter for one in advise(situation))
    ground.clock.forward(hours=13)
    assert len(ground.clerk("second").turn([], 10).messages) == 1


def test_the_cap_counts_what_may_have_been_received_and_nothing_else(ground: Ground) -> None:
    """Accepted, in doubt and in flight count; deferred, refused and untouched give their place back."""
    campaigns(ground, TWO_A_WEEK, "a", "b", "c", "d", "e")
    for name, outcome in (("a", DEFERRED), ("b", REFUSED), ("c", UNTOUCHED), ("d", ACCEPTED)):
        clerk = ground.clerk(name)
        clerk.turn(ground.done(clerk.turn([], 10), outcome), 0)
    clerk = ground.clerk("e")
    window = clerk.turn([], 10)
    assert len(window.messages) == 1
    clerk.turn(ground.done(window, UNKNOWN), 0)
    ground.clock.forward(hours=1)
    for name in ("a", "c"):  # the third of the week
        assert ground.clerk(name).turn([], 10).messages == ()
        assert due_in_h(ground, name) == pytest.approx(WEEK_S / 3600, abs=0.01)
    ground.clock.now = START + timedelta(days=7, minutes=1)
    assert len(ground.clerk("a").turn([], 10).messages) == 1


def test_doubt_that_is_given_up_still_counts_and_a_resend_does_not_wait_for_itself(ground: Ground) -> None:
    campaigns(ground, TWELVE_HOURS, "first", "second")
    clerk = ground.clerk("first")
    clerk.turn(ground.done(clerk.turn([], 10), UNKNOWN), 0)
    ground.recover("first", in_doubt="resend")
    assert ground.states("first") == {"queued": 1}
    assert ground.clerk("second").turn([], 10).messages == ()
    assert len(ground.clerk("first").turn([], 10).messages) == 1


def test_what_a_window_gives_somebody_is_counted_before_the_window_is_recorded(ground: Ground) -> None:
    """One campaign has two orders of the same person in one window: the second waits, and not for nothing."""
    ground.limits = TWELVE_HOURS
    ground.enqueue(2, marketing=True)
    ground.change("UPDATE enrollments SET subject_key = 'order-' || id")
    ground.change("UPDATE enrollments SET contact_id = (SELECT min(id) FROM contacts)")
    clerk = ground.clerk()
    assert len(clerk.turn([], 10).messages) == 1
    assert ground.one("SELECT count(*) FROM messages WHERE error_class = 'distance'") == 0  # looked at again
    clerk.turn([], 10)
    assert ground.one("SELECT count(*) FROM messages WHERE error_class = 'distance'") == 1
    assert ground.states() == {"sending": 1, "queued": 1}


def test_who_would_have_to_wait_beyond_the_expiry_is_let_go_at_it(ground: Ground) -> None:
    """The sequence goes on then, and the reason stays written."""
    campaigns(ground, TWELVE_HOURS, "first")
    ground.enqueue(1, name="late", marketing=True, campaign='expires_after = "2h"', steps=(STEP, DRIP))
    ground.clerk("first").turn([], 10)
    ground.clerk("late").turn([], 10)
    assert due_in_h(ground, "late") == pytest.approx(2, abs=0.01)
    ground.clock.now = START + timedelta(hours=3)
    ground.clerk("late").turn([], 10)
    assert ground.states("late") == {"expired": 1, "queued": 1}
    assert "when it expires" in ground.one("SELECT last_error FROM messages WHERE status = 'expired'")


def test_limits_that_are_loosened_let_go_whom_they_could_not_hold_any_more(ground: Ground) -> None:
    campaigns(ground, LimitsSettings(distance_s=300 * 86400), "first", "second")
    ground.send_due()
    ground.clock.forward(days=1)
    ground.close()
    ground.limits = LimitsSettings(distance_s=3 * 86400)
    reconcile.run(ground.context)
    assert ground.clerk("second").turn([], 10).messages == ()
    (held,) = read(ground.context, "second").campaigns[0].held
    assert held.example == "held by the distance of 3d until 2026-03-05 09:00Z"
    reconcile.run(ground.context)  # as long as it may be held: it stays
    assert due_in_h(ground, "second") == pytest.approx(72, abs=0.01)
    ground.close()
    ground.limits = LimitsSettings()
    reconcile.run(ground.context)
    assert len(ground.clerk("second").turn([], 10).messages) == 1


def test_a_cap_that_is_set_later_counts_what_was_sent_before_and_over_ended_campaigns(ground: Ground) -> None:
    ground.enqueue(1, name="first", marketing=True)
    ground.send_due()
    assert ground.one("SELECT status FROM campaigns WHERE name = 'first'") == "completed"
    ground.close()
    campaigns(ground, TWELVE_HOURS, "second")
    ground.send_due()
    assert (ground.states("first"), ground.states("second")) == ({"sent": 1}, {"queued": 1})


def test_what_was_in_flight_when_its_campaign_was_cancelled_counts_from_when_it_was_accepted(ground: Ground) -> None:
    campaigns(ground, TWELVE_HOURS, "first", "second")
    clerk = ground.clerk("first")
    window = clerk.turn([], 10)
    control.cancel(ground.context, "first")
    ground.clock.forward(seconds=100)
    clerk.turn(ground.done(window, ACCEPTED), 0)
    ground.clock.forward(hours=12, seconds=-5)
    assert ground.clerk("second").turn([], 10).messages == ()
    ground.clock.forward(seconds=6)
    assert len(ground.clerk("second").turn([], 10).messages) == 1


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_two_claims_for_one_person_at_the_same_moment_have_one_winner(ground: Ground) -> None:
    """Two campaigns, two hosts, neither of them committed: the second passes the person over and looks again."""
    campaigns(ground, TWELVE_HOURS, "first", "second", people=2)
    mine, other = ground.clerk("first"), ground.other_host()
    theirs = other.clerk("second")
    seen = []

    def claim_too(_connection: Connection) -> None:
        seen.append(theirs.turn([], 10))

    sa.event.listen(ground.store.engine, "commit", claim_too, once=True)
    assert len(mine.turn([], 10).messages) == 2
    (window,) = seen
    assert (window.messages, window.wait_s, window.passing) == ((), BUSY_WAIT_S, True)
    assert theirs.turn([], 10).messages == ()
    assert ground.states("second") == {"queued": 2}
    assert {row[0] for row in ground.rows("SELECT error_class FROM messages WHERE status = 'queued'")} == {"distance"}
    other.close()


def test_many_claims_at_once_never_give_anybody_more_than_the_cap(ground: Ground) -> None:
    names = [f"c{number}" for number in range(4)]
    campaigns(ground, TWO_A_WEEK, *names, people=15)
    ground.clerk()
    hosts = [ground.other_host() for _ in names]
    barrier = threading.Barrier(len(names))

    def work(host: Ground, name: str) -> None:
        clerk = host.clerk(name)
        barrier.wait()
        while (window := clerk.turn([], 4)).messages or window.wait_s is not None:
            clerk.turn(host.done(window, ACCEPTED), 0)

    workers = [threading.Thread(target=work, args=pair) for pair in zip(hosts, names, strict=True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for host in hosts:
        host.close()
    got = ground.rows(
        "SELECT e.contact_id, count(*) FROM messages m JOIN enrollments e ON e.id = m.enrollment_id"
        " WHERE m.status = 'sent' GROUP BY e.contact_id"
    )
    assert [row[1] for row in got] == [2] * 15


def test_a_rewound_store_counts_what_its_journals_prove(ground: Ground, judge: Judge) -> None:
    """Also of a campaign that had ended in the backup, and says what is known of nobody."""
    campaigns(ground, TWELVE_HOURS, "first")
    ground.send_due()
    ground.enqueue(1, first=2, name="first", marketing=True)
    ground.change("UPDATE campaigns SET status = 'completed', updated_at = :old", old="2026-01-01 00:00:00.000000")
    before = ground.backup()
    ground.change("UPDATE campaigns SET status = 'running'")
    ground.send_due()  # the second person
    ground.enqueue(1, first=3, name="gone", marketing=True)
    ground.clock.forward(seconds=1)
    ground.send_due()
    assert judge.people() == ["p00001", "p00002", "p00003"]
    ground.close()
    ground.put_back(before)
    ground.recover("first", in_doubt="hold")
    ground.change("UPDATE campaigns SET status = 'completed'")
    ground.enqueue(3, name="second", marketing=True)
    ground.send_due()
    assert ground.states("second") == {"queued": 2, "sent": 1}  # nobody knows that the third got something
    situation = read(ground.context)
    assert situation.store.uncounted == 1
    assert any("do not count 1 message that only journals know" in one.matter for one in advise(situation))


def test_people_and_what_is_held_are_found_by_the_index_whatever_the_size_of_the_store(ground: Ground) -> None:
    campaigns(ground, TWELVE_HOURS, "first", people=300)
    ground.send_due()
    seen: list[tuple[str, Any]] = []
    plans = ""
    with ground.store.write() as connection:
        if not ground.store.sqlite:
            connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        note = lambda _c, _cursor, statement, parameters, *_: seen.append((statement, parameters))  # noqa: E731
        sa.event.listen(ground.store.engine, "before_cursor_execute", note)
        found = touches.of_people(connection, [1], [1, 2, 3], START - timedelta(days=1))
        assert holds.counts(connection, 1) == []
        sa.event.remove(ground.store.engine, "before_cursor_execute", note)
        explain = "EXPLAIN QUERY PLAN " if ground.store.sqlite else "EXPLAIN "
        for statement, parameters in seen:
            plans += " ".join(str(row) for row in connection.exec_driver_sql(explain + statement, parameters))
    assert sorted(touch.contact_id for touch in found) == [1, 2, 3]
    assert "Seq Scan" not in plans
    assert not any(f"SCAN {table}" in plans for table in ("messages", "attempts", "enrollments")), plans
    assert "messages_held" in plans or not ground.store.sqlite
