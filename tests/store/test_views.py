"""The two views that an operator reads at night: what is not where it should be, and one message's whole story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, UNKNOWN, Ground


def recoverable(ground: Ground) -> dict[str, tuple[str, str, str]]:
    """(status, reason, next step) by recipient."""
    rows = ground.rows("SELECT recipient, status, reason, next_step FROM recoverable")
    return {row[0].partition("@")[0]: tuple(row[1:]) for row in rows}


def at(ground: Ground, *, hours: float) -> Ground:
    """The ground so many hours from now by the database's own clock, which the views ask."""
    ground.clock.now = datetime.now(UTC) + timedelta(hours=hours)
    return ground


def test_nothing_is_recoverable_while_all_goes_well(ground: Ground) -> None:
    at(ground, hours=1).enqueue(3)  # due in an hour
    assert recoverable(ground) == {}
    ground.clerk().turn([], 1)
    assert recoverable(ground) == {}
    at(ground, hours=-1).enqueue(1, name="done")
    ground.clerk("done").turn(ground.done(ground.clerk("done").turn([], 9), ACCEPTED), 0)
    assert recoverable(ground) == {}


def test_each_kind_of_trouble_is_listed_with_its_reason_and_next_step(ground: Ground) -> None:
    at(ground, hours=-2).enqueue(6, controls="max_attempts = 1")
    clerk = ground.clerk()
    window = clerk.turn([], 5)
    clerk.turn(ground.done(window, ACCEPTED, REFUSED, DEFERRED, UNKNOWN, ACCEPTED)[:4], 0)  # the fifth stays in flight
    found = recoverable(ground)
    assert found == {
        "p00002": ("failed", "failed for good", "mend the cause, then recover --failed"),
        "p00003": ("failed", "failed for a passing cause",
                   "retried by itself in time, while attempts are left; or recover --failed"),
        "p00004": ("in_doubt", "the provider may or may not have accepted it",
                   "sendctl reconcile looks for proof; else recover --in-doubt"),
        "p00005": ("sending", "its claim has expired",
                   "sendctl status names its run; when that has ended: sendctl reconcile"),
        "p00006": ("queued", "due and not sent", "sendctl send-due"),
    }  # fmt: skip


def test_a_message_of_a_run_that_ended_is_listed_before_its_claim_expires(ground: Ground) -> None:
    at(ground, hours=0).enqueue(1)
    ground.clerk(run_id="r1").turn([], 1)
    assert recoverable(ground) == {}
    ground.change("UPDATE runs SET hostname = 'host-a', result = 'died', finished_at = heartbeat_at")
    assert recoverable(ground)["p00001"][:2] == ("sending", "its run has ended without an outcome")
    assert ground.one("SELECT run_host FROM recoverable") == "host-a"


def test_paused_campaigns_are_not_overdue_and_archived_ones_not_listed(ground: Ground) -> None:
    at(ground, hours=-2).enqueue(2)
    ground.pass_with(UNKNOWN, limit=1)
    ground.change("UPDATE campaigns SET status = 'paused'")
    assert [found[0] for found in recoverable(ground).values()] == ["in_doubt"]
    ground.change("UPDATE campaigns SET status = 'archived'")
    assert recoverable(ground) == {}


def timeline(ground: Ground) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in ground.rows("SELECT what, attempt, provider, detail FROM timeline ORDER BY at")]


def test_the_timeline_tells_a_messages_whole_story_in_order(ground: Ground) -> None:
    ground.enqueue(1)
    for outcome in (DEFERRED, ACCEPTED):
        clerk = ground.clerk()
        window = clerk.turn([], 1)
        ground.clock.forward(seconds=1)
        clerk.turn(ground.done(window, outcome), 0)
        ground.clock.forward(hours=1)
    message_id = ground.one("SELECT id FROM messages")
    ground.change(
        "INSERT INTO events (id, dedup_key, campaign_id, enrollment_id, message_id, type, proves_sent, occurred_at,"
        " received_at, detail) SELECT 1, 'e', campaign_id, enrollment_id, id, 'delivered', 1, :at, :at, '{}'"
        " FROM messages WHERE id = :id", id=message_id, at="2026-03-03 00:00:00.000000",
    )  # fmt: skip
    ground.change(
        "INSERT INTO events (id, dedup_key, campaign_id, enrollment_id, type, proves_sent, occurred_at, received_at,"
        " detail) SELECT 2, 'f', campaign_id, id, 'clicked', 0, :at, :at, '{}' FROM enrollments",
        at="2026-03-04 00:00:00.000000",
    )  # fmt: skip
    told = timeline(ground)
    assert [row[0] for row in told] == [
        "planned", "attempt begun", "attempt deferred", "attempt begun", "attempt accepted", "event delivered",
        "event clicked",
    ]  # fmt: skip
    by_what = {row[0]: row for row in told}
    assert by_what["planned"][3].startswith("due 2026-03-02 09:00:00")
    assert by_what["attempt deferred"][1:] == (1, "primary", "later [reply]")
    assert by_what["attempt accepted"][1:] == (2, "primary", "250 ok [reply]")
    assert by_what["event delivered"][1:] == (None, None, "{}")
