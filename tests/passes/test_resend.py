"""Explicit resend: a message of its own beside the first, which moves nobody and is claimed like any other."""

from __future__ import annotations

import json

import pytest

from sendctl.errors import UsageError
from sendctl.passes import control, reconcile, resend, suppress
from sendctl.passes.resend import Resend, Wanted
from tests.passes import orders
from tests.passes.judge import Judge
from tests.passes.test_ingest import REMINDER, fact, ingest
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, REFUSED, STEP, UNKNOWN, Ground

ANA = "p00001@x.example"


def again(ground: Ground, message: int = 1) -> Resend:
    """Resend a message, as `--yes` does."""
    made = resend.plan(ground.context, Wanted(message=str(message)))
    done = resend.apply(ground.context, made, "she asked for it")
    ground.clock.forward(seconds=1)
    return done


def refused(ground: Ground, words: str, message: int = 1) -> None:
    """The ledger stays as it is, and the words say why."""
    before = ground.dump()
    with pytest.raises(UsageError, match=words):
        again(ground, message)
    assert ground.dump() == before


def places(ground: Ground) -> list[tuple[str, int]]:
    return [tuple(row) for row in ground.rows("SELECT status, current_step_index FROM enrollments ORDER BY id")]


def copies(ground: Ground) -> list[tuple[int, int, str]]:
    rows = ground.rows("SELECT step_index, copy, status FROM messages ORDER BY step_index, copy")
    return [tuple(row) for row in rows]


def test_a_resend_is_a_message_of_its_own_and_moves_nobody(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.send_due()
    done = again(ground)
    assert (done.copy, done.sent, done.new_id is not None) == (1, 1, True)
    refused(ground, f"message {done.new_id}, which was to be sent once more, is queued already")
    assert copies(ground) == [(0, 0, "sent"), (0, 1, "queued"), (1, 0, "queued")]
    ground.send_due()
    first, second = judge.delivered
    assert first.key != second.key
    assert (first.recipient, first.content.splitlines()[-1]) == (second.recipient, second.content.splitlines()[-1])
    assert places(ground) == [("active", 1)]
    assert ground.one("SELECT count(*) FROM messages WHERE step_index = 1") == 1
    assert again(ground).copy == 2
    assert (
        ground.rows("SELECT action, reason FROM audit WHERE action = 'resend'") == [("resend", "she asked for it")] * 2
    )
    ground.clock.forward(days=4)
    ground.send_due()
    assert places(ground) == [("completed", 1)]
    assert ground.one("SELECT status FROM campaigns") == "completed"
    again(ground)
    assert ground.one("SELECT status FROM campaigns") == "running"
    assert ground.violations() == []
    ground.send_due()
    assert len(judge.delivered) == len({message.key for message in judge.delivered}) == 5
    assert ground.one("SELECT status FROM campaigns") == "completed"
    assert ground.states() == {"sent": 5}


def test_a_copy_that_fails_ends_nobodys_sequence_and_is_the_one_to_try_again(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1, steps=(STEP, DRIP), controls="max_attempts = 1")
    ground.send_due()
    again(ground)
    ground.pass_with(REFUSED)
    assert places(ground) == [("active", 1)]
    assert ground.recover(failed=True).retried == 1
    ground.pass_with(DEFERRED)  # out of attempts: failed for a passing cause
    ground.clock.forward(days=2)
    assert reconcile.run(ground.context).retried == 1
    assert places(ground) == [("active", 1)]
    ground.send_due()
    assert copies(ground)[:2] == [(0, 0, "sent"), (0, 1, "sent")]
    assert len(judge.delivered) == 2


def test_what_failed_is_sent_once_more_or_tried_again_but_not_both(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.pass_with(REFUSED)
    again(ground)
    assert ground.recover(failed=True).retried == 0
    ground.pass_with(REFUSED)
    assert ground.recover(failed=True).retried == 1  # the copy alone
    assert copies(ground) == [(0, 0, "failed"), (0, 1, "queued")]
    ground.send_due()
    assert ground.recover(failed=True).retried == 0
    assert places(ground) == [("failed", 0)]
    assert len(judge.delivered) == 1


def test_a_copy_in_doubt_is_settled_like_any_message(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.pass_with(ACCEPTED)
    number = again(ground).new_id
    ground.pass_with(UNKNOWN)
    refused(ground, f"message {number}, .* is in doubt")
    assert ground.recover(in_doubt="resend").resent == 1
    ground.pass_with(UNKNOWN)
    assert ground.recover(in_doubt="skip").skipped == 1
    assert places(ground) == [("active", 1)]
    assert copies(ground) == [(0, 0, "sent"), (0, 1, "failed"), (1, 0, "queued")]


def test_what_was_given_up_in_doubt_is_known_as_perhaps_sent(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.pass_with(UNKNOWN)
    ground.recover(in_doubt="skip")
    made = resend.plan(ground.context, Wanted(message="1"))
    assert (made.sent, made.perhaps) == (0, (1,))
    assert made.taken_up_by == "sendctl recover --campaign sale --failed --in-doubt resend"
    assert ground.recover(failed=True).retried == 0
    done = again(ground)
    assert json.loads(ground.one("SELECT detail FROM audit WHERE action = 'resend'"))["perhaps_sent"] == [1]
    ingest(ground, fact("delivered", message_id=1))
    ground.send_due()
    assert copies(ground)[:2] == [(0, 0, "sent"), (0, 1, "sent")]  # as was said before it was agreed to
    proven = resend.plan(ground.context, Wanted(message=str(done.new_id)))
    assert (proven.sent, proven.perhaps) == (2, ())


def test_the_command_that_takes_up_what_was_given_up_does_so(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.pass_with(UNKNOWN)
    ground.recover(in_doubt="skip")
    assert ground.recover(failed=True, in_doubt="resend").retried == 1
    assert places(ground) == [("active", 0)]


def test_what_was_sent_again_without_proof_and_then_refused_may_have_been_sent(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, DRIP), controls="max_attempts = 1")
    ground.pass_with(UNKNOWN)
    ground.recover(in_doubt="resend")
    ground.pass_with(DEFERRED)
    with pytest.raises(UsageError, match="for a passing cause") as caught:
        again(ground)
    assert "recover --campaign sale --failed --in-doubt resend` tries it at once" in caught.value.hint
    ground.recover(failed=True, in_doubt="resend")
    ground.pass_with(REFUSED)
    assert resend.plan(ground.context, Wanted(message="1")).perhaps == (1,)
    again(ground)
    ground.pass_with(REFUSED)
    made = resend.plan(ground.context, Wanted(message="1"))
    assert (made.perhaps, made.row.copy, made.taken_up_by) == ((1,), 1, "")  # the copy leads nowhere


def test_after_a_rewind_the_journals_know_what_was_sent_once_more(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.send_due()
    backup = ground.backup()
    again(ground)
    ground.send_due()
    assert len(judge.delivered) == 2
    ground.put_back(backup)
    ground.close()
    ground.recover()
    done = again(ground)
    assert "the journals know that it was accepted" in done.known
    ground.send_due()
    assert copies(ground) == [(0, 0, "sent"), (0, 1, "sent"), (1, 0, "queued")]
    assert len(judge.delivered) == 2
    assert places(ground) == [("active", 1)]
    again(ground)
    ground.send_due()
    assert len(judge.delivered) == len({message.key for message in judge.delivered}) == 3


def test_what_was_sent_is_sent_as_it_was_and_what_failed_as_it_is_now(ground: Ground, judge: Judge) -> None:
    ground.enqueue(2, steps=(STEP, DRIP), campaign='window = "08:00-20:00"')
    window = ground.clerk().turn([], 2)
    clerk = ground.clerk()
    clerk.turn(ground.done(window, ACCEPTED, REFUSED), 0)
    ground.enqueue(2, steps=(STEP.replace("Hello {{", "Corrected: {{"),), campaign='window = "08:00-20:00"')
    ground.clock.forward(hours=12)
    sent, failed = again(ground, 1), again(ground, 2)
    assert (sent.frozen, sent.revision, failed.frozen, failed.revision) == (True, 1, False, 2)
    ground.send_due()
    assert judge.delivered == []  # it is nine in the evening
    ground.clock.forward(hours=11)
    ground.send_due()
    told = {message.recipient: b"Corrected" in message.content for message in judge.delivered}
    assert told == {"p00001@x.example": False, "p00002@x.example": True}


def test_a_copy_of_a_step_that_is_removed_meanwhile_goes_nevertheless(ground: Ground, judge: Judge) -> None:
    last = DRIP.replace("reminder", "last")
    ground.enqueue(2, steps=(STEP, DRIP, last))
    ground.send_due()
    ground.clock.forward(days=3)
    ground.send_due(limit=1)
    number = ground.one("SELECT id FROM messages WHERE step_index = 1 AND status = 'sent'")
    again(ground, number)
    report = ground.enqueue(steps=(STEP, last))
    assert any("skipped by 1 person" in note for note in report.notes)
    ground.clock.forward(days=9)
    ground.send_due()
    assert ground.states() == {"sent": 6, "cancelled": 1}
    assert places(ground) == [("completed", 2)] * 2


@pytest.mark.parametrize("kind", ["unsubscribed", "complained", "bounced"])
def test_a_hard_stop_forbids_it_before_and_after(ground: Ground, judge: Judge, kind: str) -> None:
    ground.enqueue(2, steps=(STEP,))
    ground.send_due()
    again(ground, 1)
    ingest(ground, fact(kind, message_id=1))
    ground.send_due()
    assert len(judge.delivered) == 2
    assert copies(ground)[2][1:] in ((1, "suppressed"), (1, "cancelled"))
    refused(ground, "suppressed|came back")
    suppress.unsuppress(ground.context, suppress.Asked([judge.delivered[0].recipient], None, ""))
    refused(ground, "gets nothing more|came back")
    again(ground, 2)


def test_it_says_why_not(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, DRIP), campaign='expires_after = "1h"', controls="max_attempts = 1")
    refused(ground, "message 1 is queued already")
    refused(ground, "there is no message 99", 99)
    window = ground.clerk().turn([], 1)
    refused(ground, "on its way")
    ground.clerk().turn(ground.done(window, DEFERRED), 0)
    refused(ground, "failed for a passing cause: it is tried again by itself after 24 h")
    ground.recover(failed=True)
    ground.pass_with(UNKNOWN)
    refused(ground, "message 1 is in doubt: p00001@x.example may have got it")
    ground.recover(in_doubt="resend")
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=5)
    ground.send_due()
    refused(ground, "message 2 was never sent: it is expired", 2)
    for wanted, words in (
        (Wanted(campaign="other", to=ANA), "there is no campaign other"),
        (Wanted(campaign="sale", to="nobody@x.example"), "has no message to nobody@x.example"),
        (Wanted(campaign="sale", to=ANA, step="no"), "has planned no step no"),
        (Wanted(message=ANA), "is an address: say of which campaign"),
    ):
        with pytest.raises(UsageError, match=words):
            resend.plan(ground.context, wanted)
    suppress.suppress(ground.context, suppress.Asked([ANA], None, "asked us to"))
    refused(ground, 'is suppressed since .*, for "asked us to"')
    suppress.unsuppress(ground.context, suppress.Asked([ANA], None, ""))
    assert resend.plan(ground.context, Wanted(campaign="sale", to=ANA)).row.step == "offer"
    control.cancel(ground.context, "sale")
    refused(ground, "campaign sale is cancelled")


def test_two_that_were_looked_at_at_the_same_time_send_one_copy(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    one, two = (resend.plan(ground.context, Wanted(message="1")) for _ in range(2))
    resend.apply(ground.context, one, "first")
    with pytest.raises(UsageError, match="queued already"):
        resend.apply(ground.context, two, "second")
    ground.pass_with(ACCEPTED)
    with pytest.raises(UsageError, match="somebody else has had message 1 sent once more in the meantime"):
        resend.apply(ground.context, two, "second")
    assert copies(ground) == [(0, 0, "sent"), (0, 1, "sent")]


@pytest.mark.parametrize("kind", ["order.refunded", "order.delivered"])
def test_an_order_that_ended_after_the_last_message_is_not_written_about_again(ground: Ground, kind: str) -> None:
    orders.load(ground, orders.event(1), orders.event(2), steps=(orders.STEP,))
    ground.clock.forward(days=8)
    ground.send_due()
    assert places(ground) == [("completed", 0)] * 2
    ending = orders.event(1, [orders.item(1, "returned")], type_=kind, at="2026-03-09T10:00:00Z")
    planned = again(ground)
    assert orders.load(ground, ending, steps=(orders.STEP,)).stopped == {}
    assert copies(ground)[-1] == (0, 1, "cancelled")  # the copy that was planned before
    assert planned.new_id == 3
    refused(ground, f"gets nothing more of campaign sale about 1/1: {kind} of 2026-03-09 10:00:00Z")
    again(ground, 2)
    orders.load(ground, orders.event(2, type_="order.refunded", at="2026-02-09T10:00:00Z"), steps=(orders.STEP,))
    ground.send_due()
    again(ground, 2)  # a refund from before the delivery ends nothing


@pytest.mark.parametrize(("rest", "refuses"), [("", False), ('[stop]\non = ["submitted"]', True)])
def test_what_would_end_a_sequence_under_way_forbids_it_after_the_last_step(
    ground: Ground, rest: str, refuses: bool
) -> None:
    ground.enqueue(1, steps=(STEP,), rest=rest)
    ground.send_due()
    ingest(ground, fact("submitted", message_id=1))
    assert places(ground) == [("completed", 0)]
    if refuses:
        refused(ground, "gets nothing more of campaign sale: submitted")
    else:
        again(ground)


def test_nobody_is_reminded_once_more_who_has_submitted(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, REMINDER.replace("repeat = 2", "repeat = 1")))
    ground.send_due()
    ground.clock.forward(days=4)
    ground.send_due()
    assert (places(ground), ground.states()) == ([("completed", 1)], {"sent": 2})
    ingest(ground, fact("submitted", message_id=1))
    refused(ground, "submitted", 2)
    refused(ground, "submitted", 1)
