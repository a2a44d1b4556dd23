"""Reconcile: retries what may pass, applies the campaign's own policy to doubt, never guesses, and raises the alarm."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from sendctl.clock import Deadline
from sendctl.errors import ExitCode
from sendctl.journal import home as homes
from sendctl.journal import older
from sendctl.journal.home import KEEP_JOURNALS_S, RunNote
from sendctl.passes import control, reconcile
from sendctl.providers.base import Outgoing
from sendctl.providers.maildir import MaildirProvider
from tests.passes.dying import dead_run
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, UNKNOWN, Ground


def run(ground: Ground) -> reconcile.ReconcileReport:
    return reconcile.run(ground.context)


def test_a_passing_failure_is_retried_after_a_day_and_no_sooner(ground: Ground) -> None:
    ground.enqueue(2, controls="max_attempts = 1")
    clerk = ground.clerk()
    clerk.turn(ground.done(clerk.turn([], 2), DEFERRED, REFUSED), 0)
    assert ground.states() == {"failed": 2}
    ground.clock.forward(hours=23, minutes=59)
    assert run(ground).retried == 0
    ground.clock.forward(minutes=2)
    assert run(ground).retried == 1
    assert ground.states() == {"queued": 1, "failed": 1}  # what was refused for good stays
    assert ground.rows("SELECT status, count(*) FROM enrollments GROUP BY status ORDER BY status") == [
        ("active", 1), ("failed", 1),
    ]  # fmt: skip


def test_automatic_retries_are_bounded_by_all_attempts_ever_made(ground: Ground) -> None:
    ground.enqueue(1, controls="max_attempts = 2")
    for _ in range(4):
        for _ in range(2):
            ground.pass_with(DEFERRED)
            ground.clock.forward(hours=7)
        ground.clock.forward(days=1)
        run(ground)
    assert ground.one("SELECT attempts FROM messages") == ground.reconcile.max_total_attempts == 6
    assert ground.states() == {"failed": 1}


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_completed_campaign_can_be_kept_from_its_retries(ground: Ground, verb: str) -> None:
    ground.enqueue(1, controls="max_attempts = 1")
    ground.pass_with(DEFERRED)
    run(ground)
    assert ground.one("SELECT status FROM campaigns") == "completed"
    getattr(control, verb)(ground.context, "sale")
    ground.clock.forward(days=2)
    run(ground)
    assert not ground.clerk().turn([], 10).messages


class NoMark:
    def begin(self) -> None: ...
    def dot(self) -> None: ...


def test_a_provider_that_can_be_asked_settles_doubt_and_its_silence_proves_nothing(ground: Ground) -> None:
    ground.enqueue(2)
    ground.pass_with(UNKNOWN)
    key, recipient = ground.rows("SELECT provider_key, recipient FROM messages ORDER BY id")[0]
    got = Outgoing(1, 1, key, "primary", "news@shop.example", recipient, b"Subject: x\r\n\r\nx\r\n")
    maildir = MaildirProvider("primary", ground.folder / "primary", False)
    asyncio.run(maildir.submit(got, Deadline(1e9, ground.clock), NoMark()))
    report = run(ground)
    assert (report.proven_sent, report.proven_absent, report.in_doubt) == (1, 0, 1)
    assert report.cannot_tell == {"provider primary does not have it, or has it no more": 1}
    assert ground.rows("SELECT evidence FROM attempts WHERE outcome = 'accepted'") == [("lookup",)]


def test_a_stalled_run_of_this_host_is_named_and_its_messages_stay(ground: Ground) -> None:
    ground.enqueue(2)
    clerk = ground.clerk()
    note = RunNote(ground.one("SELECT store_id FROM store"), clerk.run_id, "send-due", homes.boot_id(), 1, "2026")
    with homes.held_lock(ground.context.home, note):
        clerk.turn([], 2)
        ground.clock.forward(hours=1)
        report = run(ground)
    assert (report.stalled, report.exit_code) == ({clerk.run_id: 2}, ExitCode.NEEDS_PERSON)
    assert ground.states() == {"sending": 2}


def test_a_retry_wakes_its_completed_campaign(ground: Ground) -> None:
    ground.enqueue(1, controls="max_attempts = 1")
    ground.pass_with(DEFERRED)
    run(ground)
    assert ground.one("SELECT status FROM campaigns") == "completed"
    ground.clock.forward(days=2)
    run(ground)
    assert ground.one("SELECT status FROM campaigns") == "running"
    ground.pass_with(ACCEPTED)
    run(ground)
    assert (ground.states(), ground.one("SELECT status FROM campaigns")) == ({"sent": 1}, "completed")


@pytest.mark.parametrize("verb", ["cancel", "archive"])
def test_a_campaign_that_is_over_is_not_retried(ground: Ground, verb: str) -> None:
    ground.enqueue(1, controls="max_attempts = 1")
    ground.pass_with(DEFERRED)
    if verb == "cancel":
        control.cancel(ground.context, "sale")
    else:
        ground.change("UPDATE campaigns SET status = 'archived'")
    ground.clock.forward(days=2)
    assert run(ground).retried == 0
    assert ground.states() == {"failed": 1}


@pytest.mark.parametrize(
    ("policy", "state", "attempt"),
    [("hold", "in_doubt", "unknown"), ("resend", "queued", "abandoned"), ("skip", "failed", "abandoned")],
)
def test_doubt_follows_the_campaigns_policy_after_a_quarter_of_an_hour(
    ground: Ground, policy: str, state: str, attempt: str
) -> None:
    ground.enqueue(1, campaign=f'in_doubt = "{policy}"')
    ground.pass_with(UNKNOWN)
    ground.clock.forward(minutes=14, seconds=50)
    assert run(ground).exit_code is ExitCode.NEEDS_PERSON
    assert ground.states() == {"in_doubt": 1}
    ground.clock.forward(seconds=20)
    report = run(ground)
    assert (report.policy_resent, report.policy_skipped) == (policy == "resend", policy == "skip")
    assert ground.states() == {state: 1}
    assert ground.rows("SELECT outcome, evidence FROM attempts") == [
        (attempt, "reply" if policy == "hold" else "policy")
    ]


def test_a_skipped_doubt_is_never_retried_by_itself(ground: Ground) -> None:
    ground.enqueue(1, campaign='in_doubt = "skip"')
    ground.pass_with(UNKNOWN)
    for _ in range(3):
        ground.clock.forward(days=2)
        run(ground)
    assert ground.states() == {"failed": 1}
    assert ground.one("SELECT transient FROM messages") == 0


def test_an_expired_claim_of_another_host_is_doubt_and_never_queued(ground: Ground) -> None:
    ground.enqueue(2)
    dead_run(ground, "nothing", "begin")
    other = ground.other_host()
    ground.clock.forward(hours=1)
    report = run(other)
    assert (report.claims_expired, report.in_doubt) == (2, 2)
    assert ground.states() == {"in_doubt": 2}
    other.close()


def test_overdue_campaigns_are_reported_after_a_grace_and_paused_ones_not(ground: Ground) -> None:
    ground.enqueue(2)
    ground.enqueue(2, name="paused")
    control.pause(ground.context, "paused")
    ground.clock.forward(seconds=ground.reconcile.overdue_grace_s - 10)
    assert run(ground).exit_code is ExitCode.DONE
    ground.clock.forward(seconds=20)
    report = run(ground)
    assert {name: count for name, (count, _) in report.overdue.items()} == {"sale": 2}
    assert report.exit_code is ExitCode.NEEDS_PERSON


def test_a_damaged_ledger_is_an_alarm(ground: Ground) -> None:
    ground.provable = False
    ground.enqueue(1)
    ground.change("UPDATE messages SET attempts = 7")
    report = run(ground)
    assert [found.what for found in report.violations] == ["a count of attempts that is not the number of attempts"]
    assert report.exit_code is ExitCode.UNEXPECTED


def test_reconciling_again_changes_nothing(ground: Ground) -> None:
    ground.enqueue(4, controls="max_attempts = 1")
    clerk = ground.clerk()
    clerk.turn(ground.done(clerk.turn([], 4), ACCEPTED, DEFERRED, UNKNOWN, REFUSED), 0)
    run(ground)
    before = {name: rows for name, rows in ground.dump().items() if name in ("messages", "attempts", "enrollments")}
    run(ground)
    after = ground.dump()
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("many", [older.MANY, 0])
def test_journals_are_removed_a_month_after_the_store_has_confirmed_them(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(older, "MANY", many)  # none: all are put away
    monkeypatch.setattr(older, "NEWEST", many)
    ground.enqueue(1)
    ground.send_due()
    home = ground.context.home
    (run_id,) = home.confirmed()
    assert home.journals(run_id)
    ended_at = home.done_path(run_id).stat().st_mtime
    ground.clock.now = datetime.fromtimestamp(ended_at + KEEP_JOURNALS_S - 60, UTC)
    assert run(ground).journals_removed == 0
    ground.clock.forward(days=1 if many == 0 else 0, minutes=2)  # those put away go by whole days
    assert run(ground).journals_removed >= 1
    assert home.journals(run_id) == []
    ground.send_due()  # and their absence is no rewind
