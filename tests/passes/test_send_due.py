"""What a pass is asked for: one campaign, or only what it would do."""

from __future__ import annotations

import pytest

from sendctl.errors import UsageError
from sendctl.passes import control
from tests.passes.judge import Judge
from tests.store.ground import Ground


def test_a_dry_run_says_what_is_due_and_sends_nothing(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3)
    ground.enqueue(2, name="other")
    ground.enqueue(4, name="paused")
    control.pause(ground.context, "paused")
    before = ground.dump()
    assert ground.send_due(dry_run=True).due == {"sale": 3, "other": 2}
    assert ground.send_due(dry_run=True, campaign="other").due == {"other": 2}
    assert (ground.dump(), judge.delivered) == (before, [])


def test_a_pass_for_one_campaign_leaves_the_others(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3)
    ground.enqueue(2, name="other")
    ground.send_due(campaign="other")
    assert (ground.states(), ground.states("other")) == ({"queued": 3}, {"sent": 2})
    assert ground.send_due(campaign="other").work.outcomes == {}


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_pass_for_a_campaign_that_nobody_knows_is_wrong_use(ground: Ground, judge: Judge, dry_run: bool) -> None:
    ground.enqueue(1)
    with pytest.raises(UsageError, match="there is no campaign sael"):
        ground.send_due(campaign="sael", dry_run=dry_run)
    assert judge.delivered == []
