"""Two channels: a place is over when both of its messages are, it moves once, and by the rules of docs/channels.md."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import product

import pytest

from sendctl.passes import reconcile, suppress
from sendctl.passes.claiming import Done, Window
from sendctl.passes.suppress import Asked
from sendctl.providers.base import Outcome
from tests.passes.two_channels import NUMBER, OUTCOMES, STEPS, answer, enqueue, standing, with_texts
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, UNKNOWN, Ground


@pytest.fixture
def both(ground: Ground) -> Ground:
    return with_texts(ground)


PAIRS = {f"{one.replace('_', '')}-{two.replace('_', '')}": (one, two) for one, two in product(OUTCOMES, repeat=2)}


def test_a_place_is_over_with_the_later_of_its_messages_whatever_becomes_of_the_other(both: Ground) -> None:
    enqueue(both, list(PAIRS))
    clerk = both.clerk()
    window = clerk.turn([], 1000)
    assert {(item.due.channel, item.provider) for item in window.messages} == {("email", "primary"), ("sms", "texts")}
    done = answer(both, window, PAIRS)
    # All e-mails first, and an hour later all texts: the place counts from the later of the two.
    clerk.turn([item for item in done if item.claimed.due.channel == "email"], 0)
    assert {status for status, *_ in standing(both).values()} == {"active"}
    assert {step for _, step, _ in standing(both).values()} == {0}
    both.clock.forward(hours=1)
    clerk.turn([item._replace(at_boot_s=both.clock.boot) for item in done if item.claimed.due.channel == "sms"], 0)
    for name, (first, second) in PAIRS.items():
        status, step, states = standing(both)[name]
        if {first, second} & {"in_doubt", "queued"}:
            assert (status, step, states) == ("active", 0, f"{first} {second}"), name
        elif "sent" in (first, second):
            assert (status, step, states) == ("active", 1, "queued queued"), name
        else:
            assert (status, step, states) == ("failed", 0, "failed failed"), name
    due = both.rows("SELECT DISTINCT due_at FROM messages WHERE step_index = 1")
    assert len(due) == 1
    ((advanced_at,),) = both.rows("SELECT DISTINCT advanced_at FROM enrollments WHERE current_step_index = 1")
    assert str(advanced_at)[:16] == str(both.clock.now)[:16]
    keys = [row[0] for row in both.rows("SELECT provider_key FROM messages")]
    assert len(keys) == len(set(keys))
    assert both.violations() == []

    # Doubt is given up, what waits is accepted, what failed is tried again: each place moves by the same rules.
    assert both.recover(in_doubt="skip", failed=True).skipped == 8
    for _ in range(4):
        both.clock.forward(days=3)
        both.pass_with(ACCEPTED)
    assert [(name, *one) for name, one in standing(both).items() if one[:2] != ("completed", 2)] == [
        ("indoubt-indoubt", "failed", 0, "failed failed")
    ]
    assert both.violations() == []


def outcome_of(window: Window, channel: str, outcome: Outcome, ground: Ground) -> list[Done]:
    return [Done(item, outcome, ground.clock.boot) for item in window.messages if item.due.channel == channel]


def test_what_is_set_aside_or_too_late_counts_only_where_nothing_better_comes_of_the_other(both: Ground) -> None:
    names = ["text-suppressed", "both-suppressed", "refused-suppressed", "sent-expired", "refused-expired"]
    enqueue(both, names, campaign='expires_after = "2h"')
    number = {name: f"{NUMBER}{place:03}" for place, name in enumerate(names)}
    mail = {name: f"{name}@x.example" for name in names}
    suppress.suppress(both.context, Asked([number["text-suppressed"], number["both-suppressed"]]))
    assert standing(both)["text-suppressed"] == ("active", 0, "queued suppressed")
    suppress.suppress(both.context, Asked([mail["both-suppressed"]]))
    assert standing(both)["both-suppressed"] == ("stopped", 0, "suppressed suppressed")
    assert both.one("SELECT ended_for FROM enrollments WHERE status = 'stopped'") == "suppressed"
    clerk = both.clerk()
    window = clerk.turn([], 1000)
    late = ("failed", "queued")
    fates = {"text-suppressed": ("sent", "-"), "sent-expired": ("sent", "queued")}
    fates |= {"refused-expired": late, "refused-suppressed": late}
    clerk.turn(answer(both, window, fates), 0)
    with both.store.write() as connection:  # between two claims, as an operator does
        connection.exec_driver_sql(
            "INSERT INTO suppressions (address_key, reason, created_at)"
            f" VALUES ('{number['refused-suppressed']}', '', '2026-03-02 09:00:00.000000')"
        )
    assert standing(both)["text-suppressed"] == ("active", 1, "queued queued")
    both.clock.forward(hours=3)
    clerk.turn([], 1000)
    assert standing(both) == {
        "text-suppressed": ("active", 1, "queued queued"),
        "both-suppressed": ("stopped", 0, "suppressed suppressed"),
        "refused-suppressed": ("failed", 0, "failed suppressed"),
        "sent-expired": ("active", 1, "queued queued"),
        "refused-expired": ("active", 2, "queued queued"),  # nobody is reminded of what was never sent
    }
    assert both.violations() == []
    assert both.recover(failed=True).retried == 2
    assert standing(both)["refused-suppressed"] == ("active", 0, "queued suppressed")
    assert standing(both)["refused-expired"] == ("active", 2, "queued queued")
    assert both.violations() == []


def test_a_step_removed_while_one_of_its_two_messages_is_in_flight_is_left_once(both: Ground) -> None:
    enqueue(both, ["ana", "bob"])
    both.pass_with(ACCEPTED)
    both.clock.forward(days=2)
    clerk = both.clerk()
    window = clerk.turn([], 1000)
    ana = [item for item in window.messages if item.due.snapshot.find("ana") > 0]
    bob = [item for item in window.messages if item not in ana]
    boot = both.clock.boot
    # Ana's e-mail comes back into the queue, her text is in flight; of Bob both are.
    clerk.turn([Done(item, DEFERRED, boot) for item in ana if item.due.channel == "email"], 0)
    report = both.enqueue(campaign='channel = "both"', steps=(STEPS[0], STEPS[2]), controls="max_attempts = 9")
    assert "step nudge is removed: skipped by 1 person who waited for it" in report.notes
    assert standing(both)["ana"] == ("active", 1, "cancelled sending")
    clerk.turn([Done(item, ACCEPTED, boot) for item in ana if item.due.channel == "sms"], 0)
    assert standing(both)["ana"] == ("active", 2, "queued queued")
    # Bob's e-mail is refused, and his text comes back to a step that is gone.
    clerk.turn([Done(item, REFUSED if item.due.channel == "email" else DEFERRED, boot) for item in bob], 0)
    assert standing(both)["bob"] == ("active", 1, "failed queued")
    both.clock.forward(hours=1)
    clerk.turn([], 1000)
    assert standing(both)["bob"] == ("active", 2, "queued queued")
    assert both.one("SELECT count(*) FROM messages WHERE step_index = 2") == 4
    assert both.violations() == []


def test_two_hosts_that_record_the_two_outcomes_at_once_move_the_place_once(both: Ground) -> None:
    enqueue(both, ["ana"])
    window = both.clerk().turn([], 1000)
    other = with_texts(both.other_host())
    first, second = both.clerk(), other.clerk()
    recorded, ended = threading.Event(), threading.Event()

    def record_the_text() -> None:
        recorded.wait()
        second.turn(outcome_of(window, "sms", ACCEPTED, both), 0)
        ended.set()

    thread = threading.Thread(target=record_the_text)
    thread.start()

    def meanwhile() -> None:
        """The e-mail is recorded, and its commit still to come: the other one waits for it, or misses it."""
        recorded.set()
        ended.wait(0.5)

    with both.once_after("AS state", meanwhile):  # it has looked at the other message
        first.turn(outcome_of(window, "email", ACCEPTED, both), 0)
    thread.join()
    other.close()
    assert standing(both) == {"ana": ("active", 1, "queued queued")}
    assert both.one("SELECT count(*) FROM messages") == 4
    assert both.violations() == []


def test_replay_after_a_rewind_moves_a_place_when_both_of_its_messages_are_known(both: Ground) -> None:
    enqueue(both, ["ana", "bob"])
    before = both.backup()
    both.send_due()
    assert {one[:2] for one in standing(both).values()} == {("active", 1)}
    both.put_back(before)
    assert standing(both)["ana"] == ("active", 0, "queued queued")
    both.recover()
    assert standing(both) == dict.fromkeys(("ana", "bob"), ("active", 1, "queued queued"))
    both.clock.now = datetime.now(UTC)  # journals say when a reply came by the host's own clock
    for _ in range(4):
        both.clock.forward(days=2)
        both.send_due()
    assert {one[:2] for one in standing(both).values()} == {("completed", 2)}
    texts = (both.folder / "sms.jsonl").read_text().splitlines()
    assert len(texts) == len(set(texts)) == 6
    assert len(both.delivered()) == 6
    assert both.violations() == []


def test_retries_of_a_failed_channel_end_where_the_next_step_begins(both: Ground) -> None:
    """A day later the sequence has gone on by text: the e-mail of a step is not sent after that of the next."""
    enqueue(both, ["ana", "bob"])
    clerk = both.clerk()
    window = clerk.turn([], 1000)
    clerk.turn(answer(both, window, dict.fromkeys(("ana", "bob"), ("failed", "sent"))), 0)
    both.change("UPDATE messages SET transient = 1 WHERE status = 'failed'")
    both.change(
        "UPDATE messages SET next_attempt_at = '2027-01-01 00:00:00.000000'"
        " WHERE step_index = 1 AND recipient IN (:a, :b)",
        a="ana@x.example", b=f"{NUMBER}000",
    )  # fmt: skip
    both.clock.forward(days=1, hours=1)
    both.pass_with(ACCEPTED)  # Bob's second step
    assert reconcile.run(both.context).retried == 1
    assert both.rows("SELECT recipient FROM messages WHERE status = 'queued' AND step_index = 0") == [
        ("ana@x.example",)
    ]
    assert both.violations() == []


def test_a_retry_of_a_place_that_was_left_takes_up_nobody_who_failed_later(both: Ground) -> None:
    enqueue(both, ["ana"])
    clerk = both.clerk()
    clerk.turn(answer(both, clerk.turn([], 10), {"ana": ("failed", "sent")}), 0)
    both.clock.forward(days=2)
    both.pass_with(UNKNOWN)
    both.recover(in_doubt="skip")
    assert standing(both) == {"ana": ("failed", 1, "failed failed")}
    assert both.recover(failed=True).retried == 1  # the e-mail of the first step: nobody can have got that
    assert standing(both) == {"ana": ("failed", 1, "failed failed")}
    assert both.violations() == []
    both.pass_with(ACCEPTED)
    assert standing(both) == {"ana": ("failed", 1, "failed failed")}
