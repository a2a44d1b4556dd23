"""What is sent again under its key is written down before it leaves, and counts from then for all that comes after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sendctl.passes import control, key_replay, listing, reconcile
from sendctl.providers.facts import FACTS, key_window_s
from sendctl.settings import LimitsSettings
from sendctl.store import rivals
from tests.passes.test_key_replay import BROKEN, LOST, NewDouble, answering, keys, resend
from tests.store.ground import DRIP, STEP, Ground

__all__ = ["resend"]  # a fixture
HELD = 'in_doubt = "hold"'


def again_at(ground: Ground) -> list[Any]:
    with ground.store.read() as connection:
        return [attempt.again_at for attempt in listing.listing.attempts_of(connection, 1)]


def taken_late(ground: Ground, resend: NewDouble, *more: dict[str, Any], hours: float = 10, **campaign: Any) -> Any:
    """Not taken at first; hours later taken when it is sent again, and the reply is lost."""
    double = resend(BROKEN, LOST, *more)
    ground.clock.now = datetime.now(UTC) - timedelta(hours=hours)  # the service has a clock of its own
    ground.enqueue(1, **({"campaign": HELD} | campaign))
    ground.send_due()
    assert (ground.states(campaign.get("name", "sale")), again_at(ground)) == ({"in_doubt": 1}, [None])
    ground.clock.forward(hours=hours)
    assert (reconcile.run(ground.context).in_doubt, len(keys(double))) == (1, 1)
    assert again_at(ground) == [ground.clock.now]
    return double


def test_it_is_written_down_before_it_leaves(
    ground: Ground, resend: NewDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    resend(BROKEN)
    ground.enqueue(1)
    ground.send_due()
    ground.clock.forward(hours=1)
    with monkeypatch.context() as killed:
        killed.setattr(key_replay.asyncio, "run", lambda unsent: unsent.close() or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            reconcile.run(ground.context)
    assert (again_at(ground), ground.states()) == ([ground.clock.now], {"in_doubt": 1})


def test_it_is_found_at_the_service_by_when_it_was_taken(ground: Ground, resend: NewDouble) -> None:
    taken_late(ground, resend)
    taken_at = ground.clock.now
    ground.clock.forward(hours=14)
    report = reconcile.run(ground.context)
    assert (report.proven_sent, ground.states()) == (1, {"sent": 1})
    (story,) = listing.show(ground.context, "1").stories
    assert story.listed.row.sent_at == taken_at
    assert [one.at for one in story.moments if "handed over again" in one.what] == [taken_at]


def test_what_was_taken_late_is_not_taken_for_another_message(ground: Ground, resend: NewDouble) -> None:
    """The second has the same words, and nobody has it."""
    double = taken_late(ground, resend, BROKEN | {"skip": 1}, name="one")
    control.pause(ground.context, "one")
    ground.clock.forward(minutes=20)
    ground.enqueue(1, campaign=HELD, name="two")
    ground.send_due()
    assert (ground.states("two"), len(keys(double))) == ({"in_doubt": 1}, 1)
    control.pause(ground.context, "two")
    ground.clock.forward(hours=24)
    assert reconcile.run(ground.context).proven_sent == 0
    assert (ground.states("one"), ground.states("two")) == ({"in_doubt": 1}, {"in_doubt": 1})


def test_what_is_taken_late_keeps_its_distance_from_then(ground: Ground, resend: NewDouble) -> None:
    ground.limits = LimitsSettings(distance_s=86400)
    double = resend(BROKEN)
    ground.enqueue(1, marketing=True)
    ground.send_due()
    ground.clock.forward(hours=20)
    assert reconcile.run(ground.context).proven_sent == 1
    ground.clock.forward(hours=23, minutes=50)
    ground.enqueue(1, marketing=True, name="other")
    ground.send_due()
    assert (ground.states("other"), len(keys(double))) == ({"queued": 1}, 1)
    ground.clock.forward(minutes=20)
    ground.send_due()
    assert ground.states("other") == {"sent": 1}


def test_what_may_have_been_taken_late_keeps_its_distance_while_nobody_knows(ground: Ground, resend: NewDouble) -> None:
    ground.limits = LimitsSettings(distance_s=86400)
    double = taken_late(ground, resend, hours=20, marketing=True)
    ground.clock.forward(hours=23)
    ground.enqueue(1, marketing=True, name="other")
    ground.send_due()
    assert (ground.states("other"), len(keys(double))) == ({"queued": 1}, 1)


def test_the_next_step_is_counted_from_when_it_was_taken(ground: Ground, resend: NewDouble) -> None:
    resend(BROKEN)
    ground.enqueue(1, steps=[STEP, DRIP.replace("3d", "12h")])
    ground.send_due()
    ground.clock.forward(hours=20)
    assert reconcile.run(ground.context).proven_sent == 1
    ground.clock.forward(hours=11)
    ground.send_due()
    assert ground.states() == {"sent": 1, "queued": 1}
    ground.clock.forward(hours=2)
    ground.send_due()
    assert ground.states() == {"sent": 2}


def test_what_was_certainly_not_taken_again_leaves_what_stood_there(ground: Ground, resend: NewDouble) -> None:
    resend(BROKEN | {"first": 2}, answering(429, "rate_limit_exceeded", first=1))
    ground.enqueue(1)
    ground.send_due()
    ground.clock.forward(hours=1)
    reconcile.run(ground.context)
    perhaps = ground.clock.now
    assert again_at(ground) == [perhaps]
    ground.clock.forward(hours=2)
    reconcile.run(ground.context)
    assert (again_at(ground), ground.states()) == ([perhaps], {"in_doubt": 1})


def test_rivals_reach_as_far_back_as_any_key_is_known() -> None:
    assert max(map(key_window_s, FACTS)) <= rivals.LONGEST_AGAIN.total_seconds()
