"""A changed campaign file and the people who are under way in it: fixed rules, told before anything is written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sendctl.errors import BadInput
from sendctl.passes import control, listing
from sendctl.states import State
from tests.passes.judge import Judge
from tests.passes.test_ingest import enrollments, fact, ingest, token
from tests.store.ground import ACCEPTED, DRIP, REFUSED, START, STEP, UNKNOWN, Ground


def step(name: str, after: str = "", **more: str) -> str:
    """A later step, or with no delay the first."""
    lines = {"name": name, "subject": name, "text": f"{name} {{{{ contact.first_name }}}}"} | more
    lines |= {"after": after} if after else {}
    return "".join(f'{key} = "{value}"\n' for key, value in lines.items())


def reminder(name: str, after: str, repeat: int = 1) -> str:
    return step(name, after, kind="reminder") + f"repeat = {repeat}\n"


FIRST, TIPS, OFFER, LAST = step("welcome"), step("tips", "2d"), step("offer", "3d"), step("last", "4d")


def sent(ground: Ground) -> list[str]:
    """The names of the steps that were sent, in order."""
    rows = ground.rows(
        "SELECT m.step_index, m.occurrence, s.name FROM messages m"
        " JOIN steps s ON s.campaign_id = m.campaign_id AND s.step_index = m.step_index AND s.revision = m.revision"
        " WHERE m.status = 'sent' ORDER BY m.sent_at, m.id"
    )
    return [row[2] for row in rows]


def planned(ground: Ground) -> list[tuple[str, float]]:
    """The current names of queued steps, and in how many days each is due."""
    rows = ground.rows(
        "SELECT s.name, m.due_at FROM messages m JOIN campaigns c ON c.id = m.campaign_id"
        " JOIN steps s ON s.campaign_id = m.campaign_id AND s.step_index = m.step_index AND s.revision = c.revision"
        " WHERE m.status = 'queued' ORDER BY m.id"
    )
    return [(row[0], days_until(ground, row[1])) for row in rows]


def days_until(ground: Ground, moment: object) -> float:
    due_at = moment if not isinstance(moment, str) else type(ground.clock.now).fromisoformat(f"{moment}+00:00")
    return round((due_at - ground.clock.now) / timedelta(days=1), 2)  # type: ignore[operator]


def live_on(ground: Ground, days: int = 30) -> None:
    for _ in range(days):
        ground.send_due()
        ground.clock.forward(days=1)
    assert ground.violations() == []


def test_a_step_that_is_added_reaches_those_who_are_not_past_its_place(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, OFFER))
    ground.pass_with(ACCEPTED)
    report = ground.enqueue(1, first=2, steps=(FIRST, TIPS, OFFER, LAST))
    assert "step tips is new: too late for 1 person past its place" in report.notes
    assert "step last is new: too late for 0 people past its place" in report.notes
    live_on(ground)
    assert sorted(sent(ground)) == sorted(["welcome", "offer", "last", "welcome", "tips", "offer", "last"])


def test_who_has_completed_a_campaign_gets_no_step_that_is_added(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST,))
    ground.pass_with(ACCEPTED)
    report = ground.enqueue(steps=(FIRST, TIPS))
    assert "step tips is new: too late for 1 person past its place" in report.notes
    live_on(ground)
    assert sent(ground) == ["welcome"]


def test_who_waits_for_a_step_that_is_removed_goes_on_with_the_one_after_it(ground: Ground) -> None:
    ground.enqueue(2, steps=(FIRST, TIPS, OFFER))
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=1)
    report = ground.enqueue(steps=(FIRST, OFFER))
    assert "step tips is removed: skipped by 2 people who waited for it" in report.notes
    assert planned(ground) == [("offer", 2.0)] * 2  # three days after welcome, a day of which is over
    assert ground.states() == {"sent": 2, "cancelled": 2, "queued": 2}
    live_on(ground)
    assert sorted(sent(ground)) == ["offer", "offer", "welcome", "welcome"]


def test_nothing_is_due_before_the_change_that_plans_it(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, LAST, OFFER), campaign='expires_after = "1d"')
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=3, hours=12)
    ground.enqueue(steps=(FIRST, step("offer", "1d")), campaign='expires_after = "1d"')
    assert planned(ground) == [("offer", 0.0)]
    live_on(ground, 1)
    assert sent(ground) == ["welcome", "offer"]


def test_removing_the_last_step_completes_who_waits_for_it(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS))
    ground.pass_with(ACCEPTED)
    ground.enqueue(steps=(FIRST,))
    assert ground.one("SELECT status FROM enrollments") == "completed"
    live_on(ground, 3)
    assert ground.one("SELECT status FROM campaigns") == "completed"


def test_a_campaign_whose_last_reminders_are_dropped_is_over_and_can_be_put_away(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, reminder("nudge", "1d", repeat=2)))
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=1, hours=1)
    ground.pass_with(ACCEPTED)
    ground.enqueue(steps=(FIRST, reminder("nudge", "1d")))
    assert ground.one("SELECT status FROM enrollments") == "completed"
    assert ground.one("SELECT status FROM campaigns") == "completed"
    assert control.archive(ground.context, "sale").changed


def test_what_is_in_flight_at_a_step_that_is_removed_finishes_and_goes_on_after_its_place(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS, OFFER))
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=2)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    ground.enqueue(steps=(FIRST, OFFER))
    clerk.turn(ground.done(window, ACCEPTED), 0)
    assert planned(ground) == [("offer", 3.0)]
    live_on(ground)
    assert sent(ground) == ["welcome", "tips", "offer"]


def test_what_comes_back_into_the_queue_of_a_step_that_is_removed_is_not_sent(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS, OFFER))
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=2)
    ground.pass_with(UNKNOWN)
    ground.enqueue(steps=(FIRST, OFFER))
    ground.recover(in_doubt="resend")
    live_on(ground)
    assert sent(ground) == ["welcome", "offer"]


def test_a_failed_message_of_a_step_that_is_removed_does_not_come_back(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS, OFFER))
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=2)
    ground.pass_with(REFUSED)
    ground.enqueue(steps=(FIRST, OFFER))
    ground.recover(failed=True)
    live_on(ground)
    assert sent(ground) == ["welcome", "offer"]


@pytest.mark.parametrize(("after", "in_days"), [("5d", 4.0), ("36h", 0.5), ("1h", 0.0)], ids=["later", "sooner", "now"])
def test_a_step_that_is_re_timed_waits_from_the_same_moment(ground: Ground, after: str, in_days: float) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS))
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=1)
    report = ground.enqueue(steps=(FIRST, step("tips", after)))
    assert any(note.endswith("instead of 2d: moved for 1 person") for note in report.notes)
    assert planned(ground) == [("tips", in_days)]
    assert ground.one("SELECT count(*) FROM enrollments e JOIN messages m ON m.enrollment_id = e.id"
                      " WHERE m.status = 'queued' AND m.due_at = e.next_scheduled_at") == 1  # fmt: skip


def test_what_is_due_already_is_not_put_off_by_a_longer_delay(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS))
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=2, hours=1)
    report = ground.enqueue(steps=(FIRST, step("tips", "9d")))
    assert "step tips comes after 9d instead of 2d: moved for 0 people" in report.notes
    live_on(ground, 1)
    assert sent(ground) == ["welcome", "tips"]


def test_a_dry_run_tells_the_rules_and_moves_nothing(ground: Ground) -> None:
    ground.enqueue(2, steps=(FIRST, TIPS, OFFER))
    ground.pass_with(ACCEPTED)
    before = ground.dump()
    told = ground.enqueue(steps=(FIRST, step("offer", "9d"), LAST), dry_run=True).notes
    assert ground.dump() == before
    done = ground.enqueue(steps=(FIRST, step("offer", "9d"), LAST)).notes
    assert told == done
    assert "step tips is removed: skipped by 2 people who waited for it" in told


def test_a_step_that_comes_back_is_a_new_one_and_reaches_nobody_twice(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS, OFFER))
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=2)
    ground.pass_with(ACCEPTED)
    ground.enqueue(1, first=2, steps=(FIRST, OFFER))
    ground.enqueue(steps=(FIRST, TIPS, OFFER))
    live_on(ground)
    assert sorted(sent(ground)) == sorted(["welcome", "tips", "offer"] * 2)


def test_a_renamed_step_is_another_one(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS, OFFER))
    ground.pass_with(ACCEPTED)
    ground.enqueue(steps=(FIRST, step("hints", "2d"), OFFER))
    live_on(ground)
    assert sent(ground) == ["welcome", "hints", "offer"]


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        (
            (step("hello"), TIPS.replace("tips", "x")),
            "the first step of campaign sale is welcome; the file begins with",
        ),
        ((FIRST, step("offer", "3d"), step("tips", "2d")), "have changed places: tips stood before offer"),
    ],
    ids=["another beginning", "another order"],
)
def test_changes_without_a_rule_are_refused(ground: Ground, steps: tuple[str, ...], problem: str) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS, OFFER))
    before = ground.dump()
    with pytest.raises(BadInput, match=problem) as caught:
        ground.enqueue(steps=steps)
    assert caught.value.place.count(":") == 2
    assert ground.dump() == before


def test_a_reminder_comes_as_often_as_it_says_and_at_its_distance(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, reminder("nudge", "3d", repeat=3)))
    for _ in range(4):
        assert len(ground.pass_with(ACCEPTED).messages) == 1
        ground.clock.forward(days=2, hours=23)
        assert ground.clerk().turn([], 10).messages == ()
        ground.clock.forward(hours=1)
    assert ground.clerk().turn([], 10).messages == ()
    assert ground.rows("SELECT step_index, occurrence FROM messages ORDER BY id") == [(0, 0), (1, 0), (1, 1), (1, 2)]
    assert ground.one("SELECT count(DISTINCT provider_key) FROM messages") == 4
    assert ground.one("SELECT status FROM enrollments") == "completed"
    assert ground.violations() == []


def test_fewer_reminders_reach_those_who_wait_for_one_more(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, reminder("nudge", "3d", repeat=3), LAST))
    for _ in range(3):
        ground.pass_with(ACCEPTED)
        ground.clock.forward(days=3)
    report = ground.enqueue(steps=(STEP, reminder("nudge", "3d", repeat=2), LAST))
    assert "step nudge comes 2 times at most: skipped by 1 person who waited for one more" in report.notes
    assert planned(ground)[0][0] == "last"
    live_on(ground)
    assert sent(ground) == ["offer", "nudge", "nudge", "last"]


def test_nobody_is_reminded_of_what_was_never_sent(ground: Ground) -> None:
    steps = (STEP, reminder("nudge", "3d", repeat=2), LAST)
    ground.enqueue(1, steps=steps, campaign='expires_after = "1d"')
    ground.clock.forward(days=2)
    ground.clerk().turn([], 10)
    assert [name for name, _ in planned(ground)] == ["last"]
    live_on(ground)
    assert sent(ground) == ["last"]


def test_an_enrollment_whose_only_request_expired_says_so(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, reminder("nudge", "3d")), campaign='expires_after = "1d"')
    ground.clock.forward(days=2)
    ground.clerk().turn([], 10)
    assert ground.rows("SELECT status, ended_for FROM enrollments") == [("completed", "expired")]


def test_a_reminder_that_expired_is_not_repeated(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, reminder("nudge", "3d", repeat=2)), campaign='expires_after = "1d"')
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=5)
    ground.clerk().turn([], 10)
    assert ground.rows("SELECT status, ended_for FROM enrollments") == [("completed", "expired")]


@pytest.mark.parametrize("change", ["timed anew", "removed"])
def test_a_change_at_night_plans_for_the_morning_of_the_window(ground: Ground, change: str) -> None:
    window = {"campaign": 'window = "08:00-20:00"'}
    slow, last = DRIP.replace('"3d"', '"10d"'), DRIP.replace('"reminder"', '"last"').replace('"3d"', '"1h"')
    ground.enqueue(1, steps=(STEP, slow, last), **window)
    ground.pass_with(ACCEPTED)
    ground.clock.now = START.replace(day=5, hour=23)
    soon = DRIP.replace('"3d"', '"1d"')
    ground.enqueue(0, steps=(STEP, soon, last) if change == "timed anew" else (STEP, last), **window)
    with listing.messages(ground.context, state=State.QUEUED) as (_, rows):
        (one,) = rows
    assert one.row.due_at == START.replace(day=6, hour=8)


# -- what was known before the file made it an end ------------------------------------------------------------------


def test_nobody_is_reminded_who_had_submitted_before_there_were_reminders(ground: Ground, judge: Judge) -> None:
    ground.enqueue(4, steps=(FIRST, LAST))
    ground.pass_with(ACCEPTED)
    ingest(ground, fact("submitted", token=token(ground, 1)), fact("clicked", token=token(ground, 2)))
    ingest(ground, fact("submitted", token=token(ground, 3)))
    flying = ground.change("UPDATE enrollments SET status = 'completed', next_scheduled_at = NULL WHERE id ="
                           " (SELECT enrollment_id FROM messages WHERE recipient = :to AND step_index = 0)",
                           to="p00003@x.example")  # fmt: skip
    assert flying == 1
    ground.change("UPDATE messages SET status = 'cancelled' WHERE recipient = 'p00003@x.example' AND status = 'queued'")
    before, more = ground.dump(), {"steps": (FIRST, LAST, reminder("nudge", "1d", 2))}
    told = "submitted ends an enrollment from now on: stopped for 1 person of whom it was known before"
    report = ground.enqueue(dry_run=True, **more)
    assert (told in report.notes, report.stopped) == (True, {"submitted": 1})
    assert ground.dump() == before
    report = ground.enqueue(**more)
    assert (told in report.notes, report.stopped) == (True, {"submitted": 1})
    assert enrollments(ground)[0] == ("stopped", "submitted")
    live_on(ground, 12)
    assert sorted(message.recipient for message in judge.delivered if b"Subject: nudge" in message.content) == (
        ["p00002@x.example"] * 2 + ["p00004@x.example"] * 2
    )
    assert not [one for one in judge.delivered if one.recipient == "p00001@x.example"]


def test_a_type_that_is_added_to_stop_ends_those_of_whom_it_is_known(ground: Ground) -> None:
    ground.enqueue(3, steps=(FIRST, TIPS))
    ground.pass_with(ACCEPTED)
    ingest(ground, fact("clicked", token=token(ground, 1)), fact("opened", token=token(ground, 1)) | {
        "occurred_at": "2026-03-02T09:30:00Z"}, fact("opened", token=token(ground, 2)))  # fmt: skip
    report = ground.enqueue(steps=(FIRST, TIPS), rest='[stop]\non = ["clicked"]')
    assert report.stopped == {"clicked": 1}
    report = ground.enqueue(steps=(FIRST, TIPS), rest='[stop]\non = ["clicked", "opened"]')
    assert report.stopped == {"opened": 1}
    assert enrollments(ground) == [("stopped", "clicked"), ("stopped", "opened"), ("active", None)]
    assert ground.enqueue(steps=(FIRST, TIPS)).stopped == {}  # what has ended stays so
    live_on(ground, 4)
    assert ground.states() == {"sent": 4, "cancelled": 2}


def test_a_campaign_of_which_nothing_is_left_by_a_change_is_over(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS))
    ground.pass_with(ACCEPTED)
    ingest(ground, fact("submitted", token=token(ground)))
    ground.enqueue(steps=(FIRST, TIPS), rest='[stop]\non = ["submitted"]')
    assert ground.one("SELECT status FROM campaigns") == "completed"


def test_what_is_in_flight_when_a_change_ends_it_finishes_and_leads_to_nothing(ground: Ground) -> None:
    ground.enqueue(1, steps=(FIRST, TIPS))
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    ingest(ground, fact("submitted", token=token(ground)))
    ground.enqueue(steps=(FIRST, TIPS, reminder("nudge", "1d")))
    clerk.turn(ground.done(window, ACCEPTED), 0)
    live_on(ground, 9)
    assert (ground.states(), enrollments(ground)) == ({"sent": 1}, [("stopped", "submitted")])
