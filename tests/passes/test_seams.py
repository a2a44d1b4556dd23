"""Where features meet: what was held and is moved, copies of letters, keys and limits, two channels and one proof."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sendctl.definition import Window
from sendctl.errors import TooLate, UsageError
from sendctl.passes import control, evidence, ingest, planning, reconcile, recover, rescheduling
from sendctl.passes import resend as resending
from sendctl.passes.claiming import Claimed, Done
from sendctl.passes.evidence import Evidence
from sendctl.passes.resend import Wanted
from sendctl.providers.base import Outcome
from sendctl.settings import AccountTable, LimitsSettings
from tests.passes import two_channels
from tests.passes.judge import Judge
from tests.passes.test_key_replay import BROKEN, NewDouble, keys, resend
from tests.passes.test_sealed_letters import keys as letter_keys
from tests.store.ground import ACCEPTED, DRIP, REFUSED, START, STEP, UNKNOWN, Ground

__all__ = ["resend"]
NIGHT = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
MORNING = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 20, 10, 0, tzinfo=UTC)
QUIET = LimitsSettings(quiet=Window(time(21), time(8)))
DISTANCE = LimitsSettings(distance_s=12 * 3600)
THIRD = 'name = "third"\nafter = "10d"\nsubject = "third"\ntext = "third"\n'


def limited(ground: Ground, limits: LimitsSettings) -> None:
    ground.close()
    ground.limits = limits


def reschedule(ground: Ground, name: str, moment: datetime) -> rescheduling.Rescheduled:
    return rescheduling.run(ground.context, name, lambda _definition, _now: moment, "test")


def send_again(ground: Ground, message: int = 1) -> None:
    made = resending.plan(ground.context, Wanted(message=str(message)))
    resending.apply(ground.context, made, "they lost it")


# -- held, and moved ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [QUIET, DISTANCE], ids=["quiet hours", "distance"])
def test_what_was_held_and_then_rescheduled_goes_at_its_new_time(
    sqlite_ground: Ground, judge: Judge, limits: LimitsSettings
) -> None:
    ground = sqlite_ground
    ground.enqueue(1, name="first", marketing=True)
    ground.send_due()
    ground.enqueue(1, marketing=True, at=NIGHT if limits is QUIET else None)
    limited(ground, limits)
    ground.clock.now = NIGHT + timedelta(minutes=5) if limits is QUIET else START + timedelta(hours=1)
    ground.send_due()
    assert ground.one("SELECT error_class FROM messages WHERE status = 'queued'")
    assert reschedule(ground, "sale", LATER).moved == 1
    assert ground.rows("SELECT error_class, last_error FROM messages WHERE status = 'queued'") == [(None, None)]
    ground.clock.now = MORNING + timedelta(days=1)
    reconcile.run(ground.context)
    ground.send_due()
    assert ground.states() == {"queued": 1}
    ground.clock.now = LATER
    ground.send_due()
    assert ground.states() == {"sent": 1}


def test_a_held_step_that_is_re_timed_goes_at_its_new_time(sqlite_ground: Ground, judge: Judge) -> None:
    ground = sqlite_ground
    ground.clock.now = NIGHT - timedelta(days=1)
    ground.enqueue(1, marketing=True, steps=(STEP, DRIP.replace('"3d"', '"1d"')))
    ground.send_due()
    limited(ground, QUIET)
    ground.clock.now = NIGHT + timedelta(minutes=5)
    ground.send_due()
    ground.enqueue(marketing=True, steps=(STEP, DRIP.replace('"3d"', '"10d"')))
    ground.clock.now = MORNING
    reconcile.run(ground.context)
    ground.send_due()
    assert ground.states() == {"sent": 1, "queued": 1}


def test_what_is_moved_into_another_period_of_its_account_waits_for_a_share_of_that(
    sqlite_ground: Ground, judge: Judge
) -> None:
    ground = sqlite_ground
    ground.accounts = {"shop": AccountTable("shop", allowance=2, period="day")}
    ground.close()
    paid = 'account = "shop"'
    ground.enqueue(2, name="one", campaign=paid, at=START + timedelta(days=1))
    ground.enqueue(2, name="two", first=3, campaign=paid, at=START + timedelta(days=2))
    assert reschedule(ground, "two", START + timedelta(days=1)).moved == 2
    ground.clock.now = START + timedelta(days=1, hours=1)
    ground.send_due()
    assert (ground.states("one"), ground.states("two")) == ({"sent": 2}, {"queued": 2})
    ground.clock.now = START + timedelta(days=2, hours=1)
    ground.send_due()
    assert ground.states("two") == {"sent": 2}


# -- copies -------------------------------------------------------------------------------------------------------


def test_a_copy_of_a_letter_can_be_cancelled_and_is_what_is_spoken_of(sqlite_ground: Ground, judge: Judge) -> None:
    ground = sqlite_ground
    ground.letter()
    ground.send_due()
    send_again(ground)
    assert control.cancel(ground.context, "note", "enough").cancelled == 1
    ground.send_due()
    assert len(judge.people()) == 1
    ground.letter("other")
    judge.answer = lambda _message: REFUSED
    ground.send_due()
    failed = ground.one("SELECT max(id) FROM messages")
    judge.answer = lambda _message: ACCEPTED
    send_again(ground, failed)
    ground.send_due()
    with pytest.raises(TooLate, match="it was sent"):
        control.cancel(ground.context, "other", "enough")


def test_a_copy_of_what_failed_is_composed_afresh_and_one_of_what_was_sent_is_not(
    sqlite_ground: Ground, judge: Judge
) -> None:
    ground = sqlite_ground
    ground.enqueue(2)
    judge.answer = lambda message: REFUSED if message.recipient.startswith("p00001") else ACCEPTED
    ground.send_due()
    send_again(ground, 1)
    ground.send_due()
    judge.answer = lambda _message: UNKNOWN._replace(phase=REFUSED.phase, kind=REFUSED.kind, text="no")
    send_again(ground, 2)
    ground.send_due()
    ground.enqueue(steps=(STEP.replace("Hello", "Mended"),))
    judge.answer = lambda _message: ACCEPTED
    ground.recover(failed=True)
    ground.send_due()
    subjects = {m.recipient[:6]: "Mended" in m.content.decode() for m in judge.delivered[-2:]}
    assert subjects == {"p00001": True, "p00002": False}


def test_the_sender_of_a_letter_hears_of_the_copy_that_got_through(sqlite_ground: Ground, judge: Judge) -> None:
    ground = sqlite_ground
    ground.letter(more='notify = "me@shop.example"')
    judge.answer = lambda message: REFUSED if message.recipient.startswith("ann") else ACCEPTED
    ground.send_due()
    ground.send_due()
    judge.answer = lambda _message: ACCEPTED
    send_again(ground)
    for _ in range(3):
        ground.send_due()
    told = [m.content.decode() for m in judge.delivered if m.recipient == "me@shop.example"]
    assert ["could not be sent" in told[0], "was accepted" in told[1], len(told)] == [True, True, 2]


def test_a_copy_moves_nobodys_next_time(sqlite_ground: Ground, judge: Judge) -> None:
    ground = sqlite_ground
    ground.enqueue(1, marketing=True, steps=(STEP, THIRD))
    ground.send_due()
    before = ground.rows("SELECT next_scheduled_at FROM enrollments")
    ground.clock.now = NIGHT
    send_again(ground)
    limited(ground, QUIET)
    ground.clock.forward(minutes=1)
    ground.send_due()
    assert ground.rows("SELECT error_class FROM messages WHERE copy = 1") == [("quiet_hours",)]
    assert ground.rows("SELECT next_scheduled_at FROM enrollments") == before


def test_a_bounced_mail_is_no_reason_against_another_text(sqlite_ground: Ground, tmp_path: Path) -> None:
    ground = two_channels.with_texts(sqlite_ground)
    two_channels.enqueue(ground, ["a"])
    ground.send_due()
    first = {row[1]: row for row in ground.rows("SELECT id, channel, provider_key FROM messages WHERE step_index = 0")}
    event = {"id": "e1", "type": "bounced", "occurred_at": "2026-03-02T10:00:00Z"}
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps(event | {"message_id": f"<{first['email'][2]}@shop.example>"}) + "\n")
    ground.clock.forward(hours=2)
    ingest.run(ground.context, path)
    assert resending.plan(ground.context, Wanted(message=str(first["sms"][0]))).copy == 1
    with pytest.raises(UsageError):
        resending.plan(ground.context, Wanted(message=str(first["email"][0])))


def test_a_cancelled_letter_leaves_no_campaign_running(sqlite_ground: Ground) -> None:
    ground = sqlite_ground
    ground.letter(more='notify = "me@shop.example"', at="2026-03-10T09:00:00Z")
    control.cancel(ground.context, "note", "no")
    assert ground.rows("SELECT name FROM campaigns WHERE status = 'running'") == []


# -- keys ---------------------------------------------------------------------------------------------------------


def test_what_an_operator_gives_up_is_not_sent_under_its_key(sqlite_ground: Ground, resend: NewDouble) -> None:
    ground = sqlite_ground
    double = resend(BROKEN)
    ground.letter()
    ground.send_due()
    made = planning.plan(ground.context, "note", in_doubt="skip")
    assert made.keyed == 0
    done = recover.apply(ground.context, made, reason="it must not go")
    assert (done.skipped, done.proven_sent, keys(double)) == (1, 0, [])


def test_nobody_gives_up_what_its_key_can_settle_in_the_morning(sqlite_ground: Ground, resend: NewDouble) -> None:
    ground = sqlite_ground
    double = resend(BROKEN)
    ground.enqueue(1, campaign='in_doubt = "skip"\nwindow = "08:00-17:00"')
    ground.clock.now = START.replace(hour=16, minute=50)
    ground.send_due()
    ground.clock.forward(hours=2)
    reconcile.run(ground.context)
    assert ground.states() == {"in_doubt": 1}
    ground.clock.now = MORNING
    reconcile.run(ground.context)
    assert (ground.states(), len(keys(double))) == ({"sent": 1}, 1)


def test_a_removed_step_and_the_distance_hold_what_is_sent_again_under_its_key(
    sqlite_ground: Ground, resend: NewDouble
) -> None:
    ground = sqlite_ground
    resend()
    ground.enqueue(1, steps=(STEP, DRIP, THIRD))
    ground.enqueue(1, first=9, name="first", marketing=True)
    ground.send_due()
    double = resend(BROKEN | {"first": 2})
    ground.clock.forward(days=3, hours=1)
    limited(ground, DISTANCE)
    ground.enqueue(1, first=7, name="second", marketing=True)
    ground.send_due()
    assert (ground.states(), ground.states("second")) == ({"sent": 1, "in_doubt": 1}, {"in_doubt": 1})
    ground.enqueue(steps=(STEP, THIRD))
    ground.clock.forward(hours=13)
    ground.enqueue(1, first=7, name="third", marketing=True)
    ground.send_due(campaign="third")
    before = keys(double)
    said = list(reconcile.run(ground.context).cannot_tell)
    assert keys(double) == before
    assert [reason for reason in said if "its step was removed" in reason]
    assert [reason for reason in said if "while [limits] hold" in reason]


def test_an_encrypted_letter_is_settled_by_its_key_too(sqlite_ground: Ground, resend: NewDouble) -> None:
    ground = sqlite_ground
    double = resend(BROKEN)
    letter_keys(ground, "a")
    ground.letter(more="encrypt = true", text="Your code is {{ contact.name }} 2580")
    ground.send_due()
    assert reconcile.run(ground.context).proven_sent == 1
    first, second = (row["body"] for row in double.heard())
    assert first == second
    assert "2580" in first


# -- two channels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_proofs_of_several_people_and_a_pass_close_no_ring(ground: Ground) -> None:
    """Both wait for enrollments before they take ids for next steps."""
    ground = two_channels.with_texts(ground)
    two_channels.enqueue(ground, ["a", "b", "c"])
    clerk = ground.clerk()
    window = clerk.turn([], 100)
    names = dict(ground.rows("SELECT e.id, c.email FROM enrollments e JOIN contacts c ON c.id = e.contact_id"))

    def of(name: str, channel: str) -> Claimed:
        return next(
            item for item in window.messages
            if names[item.due.enrollment_id][0] == name and item.due.channel == channel
        )  # fmt: skip

    def done(*pairs: tuple[str, str, Outcome]) -> list[Done]:
        return [Done(of(name, channel), outcome, ground.clock.boot) for name, channel, outcome in pairs]

    clerk.turn(done(("a", "sms", ACCEPTED), ("a", "email", UNKNOWN), ("b", "email", UNKNOWN),
                    ("c", "email", ACCEPTED)), 0)  # fmt: skip
    other = ground.other_host()
    proof = Evidence()
    for item in (of("a", "email"), of("b", "email")):
        proof.accepted[item.due.id, item.claim_id] = ACCEPTED
    has_taken_ids, may_go_on = threading.Event(), threading.Event()

    def pause(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "UPDATE id_blocks" in statement and not has_taken_ids.is_set():
            has_taken_ids.set()
            may_go_on.wait(1)  # as long as the pass needs to wait for the other's ids

    sa.event.listen(other.store.engine, "after_cursor_execute", pause)
    failed: list[Exception] = []

    def prove() -> None:
        try:
            evidence.record(other.context, proof)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=prove)
    thread.start()
    has_taken_ids.wait(20)
    clerk.turn(done(("b", "sms", ACCEPTED), ("c", "sms", ACCEPTED)), 0)
    thread.join(60)
    other.close()
    assert failed == []
    assert ground.rows("SELECT count(*) FROM messages WHERE step_index = 1") == [(6,)]
