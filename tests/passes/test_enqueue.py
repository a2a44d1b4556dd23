"""Enqueue: all or nothing, only what is new, and a plan of messages that is the same however often it is made."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

import pytest

from sendctl import faults
from sendctl.errors import BadConfig, BadInput, UsageError
from sendctl.passes import control, enqueue, enrolling
from sendctl.store import loading
from tests.store.ground import (
    ACCEPTED,
    DEFERRED,
    START,
    STEP,
    UNKNOWN,
    Ground,
    OwnedClock,
    contacts_file,
    lay,
)


def counts(report: enqueue.EnqueueReport) -> tuple[int, int, int]:
    return report.enrolled, report.known, report.repeated_count


def test_the_same_file_again_adds_nothing(ground: Ground) -> None:
    assert counts(ground.enqueue(5)) == (5, 0, 0)
    tables = ("messages", "enrollments", "contacts", "campaigns", "revisions", "steps", "templates")
    before = ground.dump()
    assert counts(ground.enqueue(5)) == (0, 5, 0)
    after = ground.dump()
    assert {name: after[name] for name in tables} == {name: before[name] for name in tables}


def test_a_longer_file_adds_the_difference_also_while_it_is_sent(ground: Ground) -> None:
    ground.enqueue(3)
    ground.pass_with(ACCEPTED)
    assert counts(ground.enqueue(5)) == (2, 3, 0)
    assert ground.states() == {"sent": 3, "queued": 2}


def test_a_shorter_file_takes_nothing_away(ground: Ground) -> None:
    ground.enqueue(5)
    assert counts(ground.enqueue(2)) == (0, 2, 0)
    assert ground.states() == {"queued": 5}


def test_new_people_wake_a_completed_campaign(ground: Ground) -> None:
    ground.enqueue(1)
    ground.send_due()
    assert ground.one("SELECT status FROM campaigns") == "completed"
    ground.enqueue(2)
    assert ground.one("SELECT status FROM campaigns") == "running"
    ground.send_due()
    assert ground.delivered() == ["p00001@x.example", "p00002@x.example"]


def test_an_address_twice_in_a_file_is_one_message_and_is_reported(ground: Ground) -> None:
    contacts = "email,first_name\nana@x.example,Ana\nben@x.example,Ben\nANA@X.example,Anna\n"
    report = ground.enqueue(contacts=contacts)
    assert counts(report) == (2, 0, 1)
    assert report.repeated == [(4, "ana@x.example")]
    assert ground.states() == {"queued": 2}
    assert ground.one("SELECT attributes FROM contacts WHERE address_key = 'ana@x.example'").count("Anna") == 0


def test_repetitions_are_found_across_chunks(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolling, "CHUNK_ROWS", 4)
    contacts = contacts_file(1, 10) + "p00002@x.example,Again\np00010@x.example,Again\np00010@x.example,Again\n"
    report = ground.enqueue(contacts=contacts)
    assert (report.rows, *counts(report), report.repeated_addresses) == (13, 10, 0, 3, 2)
    assert report.repeated == [(12, "p00002@x.example"), (13, "p00010@x.example"), (14, "p00010@x.example")]
    monkeypatch.setattr(enrolling, "CHUNK_ROWS", 3)
    again = ground.enqueue(contacts=contacts + "p00011@x.example,New\n")
    assert (again.rows, *counts(again), again.repeated_addresses) == (14, 1, 10, 3, 2)
    assert again.repeated == report.repeated


def test_one_contact_in_two_campaigns_is_one_person_with_two_messages(ground: Ground) -> None:
    ground.enqueue(2, name="one")
    ground.enqueue(2, name="two")
    assert ground.one("SELECT count(*) FROM contacts") == 2
    assert ground.one("SELECT count(DISTINCT provider_key) FROM messages") == 4


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(ground: Ground) -> None:
    ground.enqueue(2)
    before = ground.dump()
    report = ground.enqueue(5, dry_run=True, steps=(STEP.replace("Hello", "Hi"),))
    assert counts(report) == (3, 2, 0)
    assert report.changed
    assert ground.dump() == before
    assert counts(ground.enqueue(4, name="new", dry_run=True)) == (4, 0, 0)
    assert ground.dump() == before


BAD = "email,first_name\nana@x.example,Ana\nnot an address,Bob\nben@x.example,Ben\n"


def test_a_bad_row_is_named_and_nothing_is_written(ground: Ground) -> None:
    before = ground.dump()
    with pytest.raises(BadInput, match=r"contacts\.csv:3:1: "):
        ground.enqueue(contacts=BAD)
    assert ground.dump() == before


def test_many_bad_rows_are_counted_and_the_first_shown(ground: Ground) -> None:
    contacts = "email,first_name\n" + "nobody,X\n" * 50
    with pytest.raises(BadInput) as caught:
        ground.enqueue(contacts=contacts)
    assert "50 rows cannot be used" in str(caught.value)
    assert "... and 30 more" in str(caught.value)


def test_skip_bad_goes_on_with_the_good_rows_and_keeps_the_bad_ones(ground: Ground) -> None:
    report = ground.enqueue(contacts=BAD, skip_bad=ground.folder / "bad.csv")
    assert (report.enrolled, report.skipped) == (2, 1)
    assert "not an address" in (ground.folder / "bad.csv").read_text()
    assert ground.states() == {"queued": 2}


def test_a_changed_template_reaches_whom_nobody_can_have_sent_a_copy(ground: Ground) -> None:
    ground.enqueue(3)
    ground.pass_with(DEFERRED, limit=1)
    ground.pass_with(UNKNOWN, limit=1)
    report = ground.enqueue(3, steps=(STEP.replace("Hello", "Hi"),))
    assert report.revision == 2
    assert report.changed == ["steps.offer.subject", "steps.offer.text"]
    assert any("reaches 2 planned messages; 1 that somebody may have" in note for note in report.notes)
    ground.clock.forward(hours=1)
    window = ground.clerk().turn([], 10)
    assert [item.revision for item in window.messages] == [2, 2]


def test_a_changed_template_must_fit_those_who_are_enrolled(ground: Ground) -> None:
    ground.enqueue(1)
    before = ground.dump()
    contacts = "email,first_name,town\nben@x.example,Ben,Graz\n"
    with pytest.raises(BadInput, match=r"contact\.town, which p00001@x\.example, already enrolled, lacks"):
        ground.enqueue(contacts=contacts, steps=(STEP.replace("first_name", "town"),))
    assert ground.dump() == before


def test_a_start_in_the_past_is_said_and_one_that_is_over_is_refused(ground: Ground) -> None:
    past = ground.clock.now - timedelta(days=2)
    with pytest.raises(UsageError, match="is so long ago that expires_after is over: nobody would get it"):
        ground.enqueue(1, at=past, campaign='expires_after = "1d"')
    assert ground.one("SELECT count(*) FROM campaigns") == 0
    report = ground.enqueue(1, at=past, campaign='expires_after = "3d"')
    assert [note for note in report.notes if note.endswith("is past: everybody is due at once")]
    assert not ground.enqueue(1, at=past, campaign='expires_after = "3d"').notes


def test_live_controls_are_the_operators_and_a_file_does_not_change_them(ground: Ground) -> None:
    ground.enqueue(1)
    control.tune(ground.context, "sale", {"batch_size": 7})
    report = ground.enqueue(1, controls="batch_size = 9")
    assert report.revision == 1
    assert any("live controls stay" in note for note in report.notes)
    assert '"batch_size":7' in ground.one("SELECT controls FROM campaigns")


@pytest.mark.parametrize("status", ["cancelled", "archived"])
def test_a_campaign_that_is_over_takes_nobody(ground: Ground, status: str) -> None:
    ground.provable = status != "archived"
    ground.enqueue(1)
    ground.change("UPDATE campaigns SET status = :status", status=status)
    with pytest.raises(UsageError, match=f"campaign sale is {status}"):
        ground.enqueue(2)
    assert ground.one("SELECT count(*) FROM messages") == 1


def test_a_paused_campaign_takes_people_and_stays_paused(ground: Ground) -> None:
    ground.enqueue(1)
    control.pause(ground.context, "sale")
    report = ground.enqueue(2)
    assert report.enrolled == 1
    assert any("is paused" in note for note in report.notes)
    assert ground.clerk().turn([], 10).messages == ()


SMS_STEP = 'name = "offer"\nsms = "Hello"\n'


def test_a_campaign_that_no_provider_of_this_host_can_carry_is_refused(ground: Ground) -> None:
    both = STEP + 'sms = "Hello"\n'
    for campaign, step in (('channel = "sms"', SMS_STEP), ('channel = "both"', both)):
        with pytest.raises(BadConfig, match=r"sends text messages, and none of its providers \(primary\) carries that"):
            ground.enqueue(1, campaign=campaign, steps=[step])
        with pytest.raises(BadInput, match=r"none of its providers \(fallback\) carries that") as caught:
            ground.enqueue(1, campaign=f'{campaign}\nproviders = ["fallback"]', steps=[step])
        assert caught.value.place.endswith("campaign.toml:6:13")
    assert ground.one("SELECT count(*) FROM campaigns") == 0
    # Of one that another host has, nobody can tell here.
    report = ground.enqueue(
        contacts="phone\n+4930123456\n", campaign='channel = "sms"\nproviders = ["texts"]', steps=[SMS_STEP]
    )
    assert "no provider of (texts) is configured on this host" in report.warnings[0]
    with pytest.raises(BadInput, match="was enqueued with channel 'sms'") as caught:
        ground.enqueue(campaign="", steps=[STEP])
    assert caught.value.exit_code == 65


def test_the_start_is_that_of_the_command_else_of_the_file_else_now(ground: Ground) -> None:
    later = "start_at = 2026-04-01T08:00:00Z"
    assert ground.enqueue(1, name="now").first_due_at is not None
    assert str(ground.enqueue(1, name="file", campaign=later).first_due_at) == "2026-04-01 08:00:00+00:00"
    at = START.replace(year=2027)
    assert ground.enqueue(1, name="command", campaign=later, at=at).first_due_at == at


class SlowDay(OwnedClock):
    """A clock on which half an hour goes by between two looks."""

    def utc_now(self) -> datetime:
        self.forward(minutes=30)
        return self.now


def test_an_enqueue_that_nobody_is_late_or_expired_by_plans_once(ground: Ground) -> None:
    class SlowHour(OwnedClock):
        """A clock on which three minutes go by between two looks."""

        def utc_now(self) -> datetime:
            self.forward(minutes=3)
            return self.now

    ground.clock = SlowHour()
    ground.enqueue(3, campaign='expires_after = "2h"')
    begun, done = ground.one("SELECT min(created_at) FROM messages"), ground.one("SELECT max(at) FROM audit")
    assert str(done) > str(begun)
    assert ground.rows("SELECT DISTINCT due_at, next_attempt_at FROM messages") == [(begun, begun)]
    assert ground.enqueue(3, name="brief", campaign='expires_after = "50m"').enrolled == 3
    brief = "SELECT count(*) FROM messages JOIN campaigns c ON c.id = campaign_id WHERE name = 'brief' AND due_at > {}"
    assert ground.one(brief.format("messages.created_at")) == 3  # a twentieth of its life was over


@pytest.mark.parametrize("at", [None, "now"])
def test_now_is_when_a_long_enqueue_is_done(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, at: Literal["now"] | None
) -> None:
    monkeypatch.setattr(loading, "PUT_OFF_ROWS", 3)
    ground.enqueue(2)
    ground.clock = SlowDay()
    ground.close()
    report = ground.enqueue(7, campaign='expires_after = "1h"', at=at)
    done = ground.one("SELECT max(at) FROM audit")
    assert str(report.first_due_at)[:19] == str(done)[:19]
    assert ground.rows("SELECT due_at, next_attempt_at, count(*) FROM messages GROUP BY due_at, next_attempt_at"
                       " HAVING due_at > (SELECT min(due_at) FROM messages)") == [(done, done, 5)]  # fmt: skip
    assert ground.one("SELECT count(*) FROM enrollments WHERE next_scheduled_at = :done", done=done) == 5
    assert ground.one("SELECT count(*) FROM messages WHERE due_at = :done AND expires_at > due_at", done=done) == 5


def test_a_moment_that_was_asked_for_stays_however_long_the_enqueue_takes(ground: Ground) -> None:
    ground.clock = SlowDay()
    at = ground.clock.now
    assert ground.enqueue(2, at=at).first_due_at == at
    later = "start_at = 2026-04-01T08:00:00Z"
    assert str(ground.enqueue(1, name="file", campaign=later).first_due_at) == "2026-04-01 08:00:00+00:00"
    assert ground.one("SELECT count(DISTINCT due_at) FROM messages") == 2


def test_people_whose_hours_are_still_to_come_wait_for_them_after_a_long_enqueue(ground: Ground) -> None:
    ground.clock = SlowDay()
    contacts = "email,first_name,timezone\nana@x.example,A,Europe/Berlin\nben@x.example,B,America/New_York\n"
    report = ground.enqueue(contacts=contacts, campaign='window = "10:00-20:00"')
    dues = [str(row[0])[:16] for row in ground.rows("SELECT due_at FROM messages ORDER BY recipient")]
    assert dues == [str(report.first_due_at)[:16], "2026-03-02 15:00"]


def test_an_address_is_one_message_also_in_a_dry_run_that_meets_it_again(ground: Ground) -> None:
    contacts = contacts_file(1, 3) + "p00002@x.example,Again\n"
    report = ground.enqueue(contacts=contacts, dry_run=True)
    assert (report.rows, *counts(report), report.repeated_addresses) == (4, 3, 0, 1, 1)


@pytest.mark.parametrize("point", ["enqueue.before_commit", "enqueue.committed"])
def test_a_death_at_the_commit_leaves_all_or_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    for attribute, value in (("_name", point), ("_action", "raise"), ("_left", 1)):
        monkeypatch.setattr(faults, attribute, value)
    with pytest.raises(faults.InjectedFault):
        ground.enqueue(5)
    assert ground.states() == ({"queued": 5} if point == "enqueue.committed" else {})
    ground.clock.forward(seconds=1)
    ground.enqueue(5)
    assert ground.states() == {"queued": 5}


def test_identities_do_not_depend_on_order_or_company(ground: Ground) -> None:
    ground.enqueue(contacts="email,first_name\nben@x.example,Ben\nana@x.example,Ana\n")
    keys = dict(tuple(row) for row in ground.rows("SELECT recipient, provider_key FROM messages"))
    tokens = [row[0] for row in ground.rows("SELECT token FROM enrollments")]
    other = replace(ground, url=f"sqlite:///{ground.folder / 'second.db'}", _context=None)
    lay(ground.folder, other.url).close()
    other.change("UPDATE store SET secret = :secret", secret=ground.one("SELECT secret FROM store"))
    other.enqueue(contacts="email,first_name\nana@x.example,Ana\ncleo@x.example,Cleo\nBEN@x.example,Ben\n")
    again = dict(tuple(row) for row in other.rows("SELECT recipient_key, provider_key FROM messages"))
    assert {name: again[name] for name in keys} == keys
    assert set(tokens) < {row[0] for row in other.rows("SELECT token FROM enrollments")}
    other.close()


def test_a_moment_for_people_who_are_in_already_is_refused_or_said(ground: Ground) -> None:
    later = START + timedelta(days=2)
    ground.enqueue(2)
    before = ground.dump()
    with pytest.raises(UsageError, match="--at is for people who are added, and nobody is") as caught:
        ground.enqueue(at=later)
    assert "`sendctl reschedule sale --at WHEN`" in caught.value.hint
    assert ground.dump() == before
    report = ground.enqueue(2, at=later)
    assert [one for one in report.warnings if one.startswith("--at moves nobody: all were in campaign sale before")]
    assert ground.enqueue(3, at=later).warnings == []
