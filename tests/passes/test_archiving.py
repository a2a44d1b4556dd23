"""What is over is put away, and nothing looks at it any more."""

from __future__ import annotations

import pytest

from sendctl.errors import UsageError
from sendctl.passes import control, events, reconcile, status
from sendctl.passes.deciding import Desk
from sendctl.settings import ReconcileSettings
from tests.passes.judge import Judge
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, STEP, UNKNOWN, Ground


def test_only_what_is_over_and_settled_is_archived_and_nothing_looks_at_it_any_more(
    ground: Ground, judge: Judge
) -> None:
    ground.enqueue(2)
    with pytest.raises(UsageError, match=r"not settled \(2 queued\)"):
        control.archive(ground.context, "sale")
    judge.answer = lambda message: UNKNOWN if message.recipient.startswith("p00001") else ACCEPTED
    ground.send_due()
    control.cancel(ground.context, "sale")
    with pytest.raises(UsageError, match=r"not settled \(1 in doubt\)"):
        control.archive(ground.context, "sale")
    ground.recover(in_doubt="skip")
    assert control.archive(ground.context, "sale", "done with").changed
    assert not control.archive(ground.context, "sale").changed
    assert status.read(ground.context).campaigns == ()
    assert status.read(ground.context, "sale").campaigns[0].campaign.status == "archived"
    for refused in (control.resume, control.pause, control.cancel):
        with pytest.raises(UsageError, match="is archived"):
            refused(ground.context, "sale")
    with pytest.raises(UsageError, match="is archived"):
        ground.enqueue(3)
    ground.enqueue(1, name="going-on")
    with pytest.raises(UsageError):
        control.archive(ground.context, "going-on")


def test_one_that_is_paused_and_done_with_is_put_away_as_the_hint_says(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    control.pause(ground.context, "sale")
    with pytest.raises(UsageError, match="is paused: it cannot be archived") as caught:
        control.archive(ground.context, "sale")
    assert caught.value.hint.startswith("`sendctl resume sale` first, then `sendctl reconcile` completes it")
    control.resume(ground.context, "sale")
    reconcile.run(ground.context)
    assert control.archive(ground.context, "sale").changed


def test_what_a_late_proof_plans_in_it_is_cancelled(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    judge.answer = lambda _message: UNKNOWN
    ground.send_due()
    ground.recover(in_doubt="skip")
    control.archive(ground.context, "sale")
    desk = Desk(ground.context)
    with desk.transaction() as connection:
        events._prove(desk, connection, [ground.one("SELECT id FROM messages")])
    assert ground.states() == {"sent": 1, "queued": 1}
    assert reconcile.run(ground.context).violations == []
    assert ground.states() == {"sent": 1, "cancelled": 1}


NOTIFY = 'notify = "lea@x.example"'


def archived(ground: Ground) -> list[str]:
    return [row[0] for row in ground.rows("SELECT name FROM campaigns WHERE status = 'archived' ORDER BY id")]


def test_what_tells_of_a_letter_is_put_away_with_it_and_not_before(ground: Ground, judge: Judge) -> None:
    ground.letter(more=NOTIFY)
    ground.pass_with(ACCEPTED)
    with pytest.raises(UsageError, match=r"sender of letter note has not been told of everything \(1 queued\)"):
        control.archive(ground.context, "note")
    ground.send_due()
    with pytest.raises(UsageError, match="tells somebody what becomes of a letter") as caught:
        control.archive(ground.context, "note.notify")
    assert caught.value.hint == "`sendctl archive note` puts away both."
    assert control.archive(ground.context, "note").changed
    assert archived(ground) == ["note", "note.notify"]
    assert status.read(ground.context).campaigns == ()
    assert not control.archive(ground.context, "note").changed


def test_a_cancelled_letter_takes_along_what_has_nothing_to_tell(ground: Ground) -> None:
    ground.letter(more=NOTIFY, at='"2026-03-03 09:00"')
    control.cancel(ground.context, "note")
    control.archive(ground.context, "note")
    assert archived(ground) == ["note", "note.notify"]


def test_what_is_tried_again_is_not_put_away_and_its_sender_is_told_first(ground: Ground, judge: Judge) -> None:
    ground.reconcile = ReconcileSettings(max_total_attempts=4)
    judge.answer = lambda message: ACCEPTED if message.recipient.startswith("lea") else DEFERRED
    ground.letter(more=NOTIFY)
    ground.enqueue(1)
    for _ in range(3):
        ground.send_due()
        ground.clock.forward(hours=7)
    for name in ("note", "sale"):
        assert ground.states(name) == {"failed": 1}
        with pytest.raises(UsageError, match=r"failed for a passing cause and are tried again \(1\)"):
            control.archive(ground.context, name)
    ground.clock.forward(days=2)
    reconcile.run(ground.context)
    ground.send_due()  # the fourth and last attempt, put off once more
    ground.clock.forward(hours=7)
    for _ in range(3):
        ground.send_due()
        ground.clock.forward(days=1)
    with pytest.raises(UsageError, match="has not been told of everything"):
        control.archive(ground.context, "note")
    reconcile.run(ground.context)
    ground.send_due()
    assert "Letter note: failed" in "".join(str(message.content) for message in judge.delivered)
    for name in ("note", "sale"):
        control.archive(ground.context, name)
    assert archived(ground) == ["note", "note.notify", "sale"]


def test_who_gives_up_what_is_tried_again_may_put_it_away(ground: Ground) -> None:
    ground.letter(more=NOTIFY)
    for _ in range(3):
        ground.pass_with(DEFERRED)
        ground.clock.forward(hours=7)
    assert ground.states("note") == {"failed": 1}
    control.cancel(ground.context, "note")
    control.archive(ground.context, "note")
    assert archived(ground) == ["note", "note.notify"]


def test_a_notice_in_doubt_is_named_with_what_settles_it(ground: Ground, judge: Judge) -> None:
    judge.answer = lambda message: UNKNOWN if message.recipient.startswith("lea") else ACCEPTED
    ground.letter(more=NOTIFY)
    for _ in range(2):
        ground.send_due()
    with pytest.raises(UsageError, match=r"not been told of everything \(1 in doubt\)") as caught:
        control.archive(ground.context, "note")
    assert "`sendctl recover --campaign note.notify --in-doubt skip`" in caught.value.hint
    ground.recover("note.notify", in_doubt="skip")
    assert control.archive(ground.context, "note").changed


def test_a_campaign_whose_last_step_is_removed_is_over_and_can_be_put_away(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.pass_with(ACCEPTED)
    ground.enqueue(steps=(STEP,))
    assert ground.states() == {"sent": 1, "cancelled": 1}
    assert control.archive(ground.context, "sale").changed


def test_one_that_goes_on_cannot_be_put_away_and_the_ways_out_are_named(ground: Ground) -> None:
    ground.enqueue()
    with pytest.raises(UsageError, match="it cannot be archived") as caught:
        control.archive(ground.context, "sale")
    assert "`sendctl cancel sale` ends it" in caught.value.hint
