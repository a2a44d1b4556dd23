"""What may not go, asked at every claim: suppressed, stopped, expired, outside the hours, paused, cancelled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from sendctl.passes import control
from sendctl.providers.base import OPTED_OUT
from tests.passes.judge import Judge
from tests.passes.test_ingest import REMINDER, fact, ingest, token
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, REFUSED, START, STEP, UNTOUCHED, Ground


def suppress(ground: Ground, address: str) -> None:
    ground.change(
        "INSERT INTO suppressions (address_key, reason, created_at) VALUES (:key, 'unsubscribed', CURRENT_TIMESTAMP)",
        key=address,
    )


def who(ground: Ground, limit: int = 100) -> list[str]:
    return sorted(item.due.recipient.partition("@")[0] for item in ground.clerk().turn([], limit).messages)


def test_a_suppressed_address_is_never_claimed_and_its_enrollment_ends(ground: Ground) -> None:
    ground.enqueue(3, steps=(STEP, DRIP))
    suppress(ground, "p00002@x.example")
    assert who(ground) == ["p00001", "p00003"]
    assert ground.states() == {"sending": 2, "suppressed": 1}
    assert (
        ground.one("SELECT status FROM enrollments WHERE current_step_index = 0 AND next_scheduled_at IS NULL")
        == "stopped"
    )


def test_a_suppression_between_two_attempts_holds(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(DEFERRED)
    suppress(ground, "p00001@x.example")
    ground.clock.forward(hours=1)
    assert who(ground) == []
    assert ground.states() == {"suppressed": 1}


def test_a_suppression_between_two_steps_holds(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.pass_with(ACCEPTED)
    suppress(ground, "p00001@x.example")
    ground.clock.forward(days=4)
    assert who(ground) == []
    assert ground.states() == {"sent": 1, "suppressed": 1}


@pytest.mark.parametrize("status", ["stopped", "cancelled"])
def test_a_message_of_an_enrollment_that_is_over_is_cancelled(ground: Ground, status: str) -> None:
    ground.enqueue(2)
    ground.change(
        "UPDATE enrollments SET status = :status"
        " WHERE contact_id = (SELECT id FROM contacts WHERE email LIKE 'p00001%')",
        status=status,
    )
    assert who(ground) == ["p00002"]
    assert ground.states() == {"sending": 1, "cancelled": 1}


def test_a_message_past_its_expiry_is_never_sent_and_the_next_step_goes_on(ground: Ground) -> None:
    ground.enqueue(1, campaign='expires_after = "2h"', steps=(STEP, DRIP))
    ground.clock.now = START + timedelta(hours=2)
    assert who(ground) == []
    assert ground.states() == {"expired": 1, "queued": 1}
    assert ground.one("SELECT current_step_index FROM enrollments") == 1
    ground.clock.forward(days=3)
    assert who(ground) == ["p00001"]


def test_a_message_just_before_its_expiry_is_sent(ground: Ground) -> None:
    ground.enqueue(1, campaign='expires_after = "2h"')
    ground.clock.now = START + timedelta(hours=2) - timedelta(seconds=1)
    assert who(ground) == ["p00001"]


def test_a_deferral_over_the_expiry_ends_in_expired_not_in_a_late_message(ground: Ground) -> None:
    ground.enqueue(1, campaign='expires_after = "1h"', controls='retry_base = "2h"')
    ground.pass_with(DEFERRED)
    ground.clock.forward(hours=3)
    assert who(ground) == []
    assert ground.states() == {"expired": 1}


def test_a_message_outside_the_persons_hours_is_postponed_to_their_morning(ground: Ground) -> None:
    contacts = "email,first_name,timezone\nana@x.example,Ana,Asia/Tokyo\nben@x.example,Ben,Europe/Berlin\n"
    ground.enqueue(contacts=contacts, campaign='window = "09:00-17:00"')  # 10:00 in Berlin, 18:00 in Tokyo
    assert who(ground) == ["ben"]
    due = ground.rows("SELECT recipient, status FROM messages WHERE status = 'queued'")
    assert [row[0] for row in due] == ["ana@x.example"]
    ground.clock.now = datetime(2026, 3, 2, 23, 59, tzinfo=UTC)
    assert who(ground) == []
    ground.clock.now = datetime(2026, 3, 3, 0, 0, tzinfo=UTC)
    assert who(ground) == ["ana"]


def test_hours_are_asked_again_at_the_claim_after_a_delay(ground: Ground) -> None:
    ground.enqueue(1, campaign='window = "09:00-10:00"\ntimezone = "UTC"')
    ground.clock.now = START + timedelta(hours=2)  # the pass comes late: it is eleven
    assert who(ground) == []
    ground.clock.now = START + timedelta(days=1)
    assert who(ground) == ["p00001"]


@pytest.mark.parametrize(
    ("night", "opens"),
    [
        # Clocks go forward from 02:00 to 03:00 on 29 March 2026: half past two does not exist, three comes next.
        ("2026-03-28T22:00", "2026-03-29T01:00"),
        # Clocks go back from 03:00 to 02:00 on 25 October 2026: the first of the two half past twos.
        ("2026-10-24T22:00", "2026-10-25T00:30"),
    ],
)
def test_hours_in_a_gap_or_an_overlap_open_once(ground: Ground, night: str, opens: str) -> None:
    ground.clock.now = datetime.fromisoformat(night).replace(tzinfo=UTC)
    ground.enqueue(1, campaign='window = "02:30-06:00"\ntimezone = "Europe/Berlin"')
    ground.clock.now = datetime.fromisoformat(opens).replace(tzinfo=UTC) - timedelta(seconds=1)
    assert who(ground) == []
    ground.clock.forward(seconds=1)
    assert who(ground) == ["p00001"]


@pytest.mark.parametrize("status", ["paused", "cancelled", "completed", "archived"])
def test_only_a_running_campaign_claims(ground: Ground, status: str) -> None:
    ground.enqueue(2)
    ground.change("UPDATE campaigns SET status = :status", status=status)
    for name in (None, "sale"):
        assert ground.clerk(name).turn([], 10).messages == ()
    ground.provable = status != "archived"


def test_a_pause_takes_effect_before_the_next_window_and_lets_this_one_finish(ground: Ground) -> None:
    ground.enqueue(4)
    clerk = ground.clerk()
    window = clerk.turn([], 2)
    assert control.pause(ground.context, "sale").in_flight == 2
    assert clerk.turn(ground.done(window, ACCEPTED), 2).messages == ()
    assert ground.states() == {"sent": 2, "queued": 2}
    control.resume(ground.context, "sale")
    assert len(clerk.turn([], 10).messages) == 2


def test_a_cancel_ends_what_waits_and_what_comes_back_later(ground: Ground) -> None:
    ground.enqueue(4, steps=(STEP, DRIP))
    clerk = ground.clerk()
    window = clerk.turn([], 2)
    assert control.cancel(ground.context, "sale").cancelled == 2
    clerk.turn(ground.done(window, ACCEPTED, UNTOUCHED), 2)
    assert ground.states() == {"sent": 1, "queued": 1, "cancelled": 2}
    ground.enqueue(1, name="other")
    ground.send_due()  # any pass sweeps
    assert ground.states() == {"sent": 1, "cancelled": 3}
    assert {row[0] for row in ground.rows("SELECT status FROM enrollments WHERE campaign_id = 1")} == {"cancelled"}


def test_a_window_is_never_larger_than_the_batch_size(ground: Ground) -> None:
    ground.enqueue(5, controls="batch_size = 2")
    assert len(ground.clerk().turn([], 100).messages) == 2
    control.tune(ground.context, "sale", {"batch_size": 3})
    assert len(ground.clerk().turn([], 100).messages) == 3


def test_whoever_has_opted_out_at_the_provider_gets_nothing_of_any_campaign(ground: Ground, judge: Judge) -> None:
    ground.enqueue(2, steps=(STEP, DRIP))
    ground.enqueue(2, name="other", at=START + timedelta(hours=1))
    gone = REFUSED._replace(error_class=OPTED_OUT)
    judge.answer = lambda message: gone if message.recipient.startswith("p00001") else ACCEPTED
    ground.send_due(campaign="sale")
    assert ground.rows("SELECT address_key, reason FROM suppressions") == [("p00001@x.example", "unsubscribed")]
    judge.answer = lambda _message: ACCEPTED
    ground.clock.forward(hours=2)
    ground.send_due()
    assert ground.states("other") == {"sent": 1, "suppressed": 1}


@pytest.mark.parametrize("kind", ["submitted", "opened"])
def test_a_reminder_is_never_claimed_for_who_has_submitted(ground: Ground, kind: str) -> None:
    """Also where the event did not end the enrollment: the store of an older sendctl, or rows put in by hand."""
    ground.enqueue(2, steps=(STEP, REMINDER))
    ground.pass_with(ACCEPTED)
    ingest(ground, fact("opened", token=token(ground, 1), id="e"))
    ground.change("UPDATE events SET type = :kind", kind=kind)
    ground.clock.forward(days=4)
    assert who(ground) == (["p00002"] if kind == "submitted" else ["p00001", "p00002"])
    if kind == "submitted":
        assert ground.states() == {"sent": 2, "sending": 1, "cancelled": 1}
        assert ground.rows("SELECT status, ended_for FROM enrollments ORDER BY id")[0] == ("stopped", "submitted")


def test_only_reminders_ask_what_was_submitted(ground: Ground) -> None:
    ground.enqueue(2, steps=(STEP, REMINDER))
    asked: list[str] = []
    sa.event.listen(ground.store.engine, "after_cursor_execute", lambda *call: asked.append(" ".join(call[2].split())))
    for questions in (0, 1):
        del asked[:]
        ground.pass_with(ACCEPTED)
        assert len([statement for statement in asked if "FROM events" in statement]) == questions
        ground.clock.forward(days=4)
