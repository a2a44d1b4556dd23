"""What is over is put away, and nothing looks at it any more."""

from __future__ import annotations

import pytest

from sendctl.errors import UsageError
from sendctl.passes import control, events, reconcile, status
from sendctl.passes.deciding import Desk
from tests.passes.judge import Judge
from tests.store.ground import ACCEPTED, DRIP, STEP, UNKNOWN, Ground


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


def test_what_tells_of_a_letter_is_not_archived(ground: Ground, judge: Judge) -> None:
    ground.letter(more='notify = "lea@x.example"')
    ground.send_due()
    ground.send_due()
    with pytest.raises(UsageError, match="tells somebody what becomes of a letter"):
        control.archive(ground.context, "note.notify")
    assert control.archive(ground.context, "note").changed
