"""What operators change while a campaign lives: each is done once, refused when it is over, and bounded like a file."""

from __future__ import annotations

import pytest

from sendctl.durations import Rate
from sendctl.errors import ExitCode, UsageError
from sendctl.passes import control
from sendctl.states import CampaignStatus
from tests.store.ground import SENDER_REFUSED, Ground


def audited(ground: Ground) -> list[str]:
    return [row[0] for row in ground.rows("SELECT action FROM audit ORDER BY id")]


def test_what_is_so_already_is_said_and_not_written_down_again(ground: Ground) -> None:
    ground.enqueue(2)
    before = audited(ground)
    reports = [control.pause(ground.context, "sale"), control.pause(ground.context, "sale")]
    assert [(report.changed, report.status, report.exit_code) for report in reports] == [
        (True, CampaignStatus.PAUSED, ExitCode.DONE), (False, CampaignStatus.PAUSED, ExitCode.DONE),
    ]  # fmt: skip
    assert audited(ground) == [*before, "pause"]


def test_a_campaign_that_is_over_is_neither_resumed_nor_tuned(ground: Ground) -> None:
    ground.enqueue(2)
    assert control.cancel(ground.context, "sale").cancelled == 2
    rows = ground.dump()
    with pytest.raises(UsageError, match="campaign sale is cancelled: it cannot be resumed"):
        control.resume(ground.context, "sale")
    with pytest.raises(UsageError, match="campaign sale is cancelled: there is nothing to tune"):
        control.tune(ground.context, "sale", {"batch_size": 3})
    assert ground.dump() == rows


def test_a_campaign_that_nobody_knows_is_wrong_use(ground: Ground) -> None:
    with pytest.raises(UsageError, match="there is no campaign sale"):
        control.pause(ground.context, "sale")


def test_each_control_is_tuned_alone_and_the_same_again_is_no_change(ground: Ground) -> None:
    ground.enqueue(1)
    before = audited(ground)
    wanted: dict[str, tuple[str | int, str, object]] = {
        "batch_size": (3, "batch_size", 3), "max_attempts": (5, "max_attempts", 5),
        "rate": ("7/min", "rate", Rate(7, 60)), "cooldown": ("10s", "cooldown_s", 10.0),
        "retry_base": ("2m", "retry_base_s", 120.0),
    }  # fmt: skip
    for key, (given, name, value) in wanted.items():
        report = control.tune(ground.context, "sale", {key: given})
        assert (report.changed, getattr(report.controls, name)) == (True, value)
        assert not control.tune(ground.context, "sale", {key: given}).changed
    assert audited(ground) == [*before, *["tune"] * 5]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"batch_size": 0}, "--batch-size: 0 is outside 1 to 10000"),
        ({"max_attempts": 21}, "--max-attempts: 21 is outside 1 to 20"),
        ({"rate": "fast"}, "--rate: "),
        ({"speed": 3}, "--speed: no such control"),
    ],
)
def test_what_a_file_could_not_say_is_refused_with_its_option(
    ground: Ground, changes: dict[str, str | int], problem: str
) -> None:
    ground.enqueue(1)
    rows = ground.dump()
    with pytest.raises(UsageError) as caught:
        control.tune(ground.context, "sale", {"batch_size": 3} | changes)
    assert str(caught.value).startswith(problem)
    assert ground.dump() == rows


def test_a_provider_is_tried_only_where_somebody_knows_it(ground: Ground) -> None:
    assert control.try_provider(ground.context, "primary").exit_code is ExitCode.DONE
    with pytest.raises(UsageError, match="there is no provider nowhere"):
        control.try_provider(ground.context, "nowhere")


def test_a_halt_of_a_campaign_that_somebody_has_stopped_says_nothing_more(ground: Ground) -> None:
    """The window was claimed before; its outcomes are recorded, and nobody is told of a pause that is none."""
    ground.enqueue(3)
    clerk = ground.clerk()
    window = clerk.turn([], 2)
    control.cancel(ground.context, "sale")
    clerk.turn(ground.done(window, SENDER_REFUSED), 0)
    assert (clerk.paused, clerk.stops) == (0, [])
    assert ground.one("SELECT status FROM campaigns") == "cancelled"
    assert "halt" not in audited(ground)
