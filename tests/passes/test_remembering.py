"""What journals prove, and what recover makes of it where the store cannot take it at once."""

from __future__ import annotations

import pytest

from sendctl.errors import StoreRewound
from sendctl.passes import planning, reconcile
from sendctl.providers.base import OPTED_OUT
from tests.passes.judge import Judge, backed_up_in_flight
from tests.store.ground import ACCEPTED, REFUSED, Ground

LEFT = REFUSED._replace(enhanced="", code=400, error_class=OPTED_OUT)


@pytest.mark.parametrize("choice", ["hold", "skip", "resend"])
def test_proof_goes_before_the_operators_choice_where_a_host_is_given_up(
    ground: Ground, judge: Judge, choice: str
) -> None:
    """The backup has it in flight on a host that is lost; the other host's journal knows that it sent it later."""
    ground.enqueue(1)
    other = ground.other_host()
    taken = backed_up_in_flight(ground, judge)
    ground.send_due()
    ground.clock.forward(days=2)
    other.send_due()
    ground.put_back(taken[0])
    with pytest.raises(StoreRewound):
        other.send_due()
    done = other.recover(lost_hosts=[ground.context.home.host_id], in_doubt=choice)
    assert (done.resent, done.skipped, done.proven_sent) == (0, 0, 1)
    assert ground.states() == {"sent": 1}
    other.clock.forward(days=3)
    other.send_due()
    assert judge.people() == ["p00001"]
    assert reconcile.run(other.context).violations == []
    other.close()


def test_who_has_opted_out_at_a_service_is_suppressed_after_a_rewind_too(ground: Ground, judge: Judge) -> None:
    ground.enqueue(2)
    before = ground.backup()
    judge.answer = lambda message: LEFT if message.recipient.startswith("p00001") else ACCEPTED
    ground.send_due()
    ground.put_back(before)
    ground.recover()
    assert ground.rows("SELECT address_key, reason FROM suppressions") == [("p00001@x.example", "unsubscribed")]
    judge.answer = lambda _message: ACCEPTED
    ground.send_due()
    assert judge.people() == ["p00002"]


def test_people_who_have_opted_out_do_not_stop_a_campaign(ground: Ground, judge: Judge) -> None:
    ground.enqueue(12)
    judge.answer = lambda _message: LEFT
    ground.send_due()
    assert ground.one("SELECT status FROM campaigns") == "completed"
    assert planning.plan(ground.context, "sale").at_stake == 0
