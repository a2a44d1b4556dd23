"""Events of SES from its queue: taken out when they are written down, and never before."""

from __future__ import annotations

import json

import pytest

from sendctl import faults
from sendctl.errors import ExitCode
from sendctl.passes import draining, pulled
from sendctl.passes.pulled import Pulled
from sendctl.passes.pulling import pull
from tests.passes.test_steps import arm
from tests.pulling.forms import by_sns, hard_of_ses, of_ses
from tests.pulling.world import World


def in_queue(world: World, *events: object, seconds_ago: float = 0) -> None:
    world.double.tell(*events, sent=world.ago(seconds_ago).timestamp())


def test_events_are_written_down_and_taken_out_by_themselves_or_inside_of_sns(world: World) -> None:
    double = world.serve("ses")
    first, second, third = world.sent(3)
    in_queue(
        world, of_ses("Delivery", first, world.ago()), by_sns(hard_of_ses(second, world.ago())),
        by_sns(of_ses("Complaint", third, world.ago(), complaintFeedbackType="abuse")),
    )  # fmt: skip
    report = world.reconcile()
    assert report.exit_code is ExitCode.DONE
    assert report.pulled.applied.by_type == {"delivered": 1, "bounced": 1, "complained": 1}
    assert world.suppressed() == {second["recipient"]: "bounced", third["recipient"]: "complained"}
    assert double.left() == []
    assert world.pull().pages == 0


def test_an_event_proves_that_a_message_in_doubt_was_accepted(world: World) -> None:
    """SES cannot be asked for a message: `Send` with the tag is what settles doubt."""
    world.serve("ses", {"at": "reply", "do": "close", "to": "Destination", "first": 1})
    (message,) = world.sent(1)
    assert message["status"] == "in_doubt"
    in_queue(world, of_ses("Send", message, world.ago()))
    assert world.pull().applied.proven == 1
    assert world.ground.states() == {"sent": 1}


@pytest.mark.parametrize("point", ["pull.before_commit", "pull.committed"])
def test_a_death_before_events_are_taken_out_loses_none(
    world: World, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = world.serve("ses")
    messages = world.sent(4)
    in_queue(world, *(hard_of_ses(one, world.ago()) for one in messages))
    arm(monkeypatch, point)
    with pytest.raises(faults.InjectedFault):
        world.pull()
    arm(monkeypatch, "")
    assert len(double.left()) == 4
    assert world.pull().pages == 0, "others do not see them yet"
    double.let_come_again()
    report = world.pull()
    written = 4 if point == "pull.committed" else 0
    assert (report.applied.fresh, report.applied.known) == (4 - written, written)
    assert len(world.events()) == 4
    assert double.left() == []


def test_a_reply_that_is_lost_repeats_events_and_loses_none(world: World) -> None:
    """Received, and nobody was told; taken out, and nobody was told."""
    double = world.serve(
        "ses", {"at": "reply", "do": "close", "to": "MaxNumberOfMessages", "first": 1},
        {"at": "reply", "do": "close", "to": "Entries", "first": 1},
    )  # fmt: skip
    messages = world.sent(2)
    in_queue(world, *(hard_of_ses(one, world.ago()) for one in messages))
    for _ in range(3):
        report = world.pull()
        assert report.exit_code in (ExitCode.NEEDS_PERSON, ExitCode.DONE)
        double.let_come_again()
    assert len(world.events()) == 2
    assert double.left() == []


def test_two_that_drain_at_once_share_what_is_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "AT_ONCE", 4)
    double = world.serve("ses")
    messages = world.sent(15)
    in_queue(world, *(hard_of_ses(one, world.ago()) for one in messages))
    double.pages_of(4)
    other, beside = world.ground.other_host(), list[Pulled]()
    with world.once_between(lambda: beside.append(pull(other.context))):
        mine = world.pull()
    other.close()
    assert (mine.applied.fresh, beside[0].applied.fresh) == (4, 11)
    assert len(world.events()) == 15
    assert double.left() == []


def test_more_than_a_pass_takes_is_left_for_the_next(lite: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulled, "PAGES", 2)
    monkeypatch.setattr(draining, "AT_ONCE", 10)
    double = lite.serve("ses")
    messages = lite.sent(25)
    in_queue(lite, *(hard_of_ses(one, lite.ago()) for one in messages))
    first = lite.pull()
    assert (first.applied.fresh, first.more) == (20, ["primary"])
    second = lite.pull()
    assert (second.applied.fresh, second.more) == (5, [])
    assert double.left() == []


def test_what_matches_nothing_stays_for_a_while_and_is_then_taken_out(lite: World) -> None:
    double = lite.serve("ses")
    lite.sent(1)
    stranger = {"provider_key": "0" * 32, "provider_message_id": "of-others", "recipient": "a@else.example"}
    in_queue(lite, of_ses("Delivery", stranger, lite.ago(), tagged=False))
    assert lite.pull().foreign == 0
    assert len(double.left()) == 1
    lite.ground.clock.forward(minutes=31)
    double.let_come_again()
    report = lite.pull()
    assert (report.foreign, report.exit_code) == (1, ExitCode.DONE)
    assert double.left() == []


def test_what_matches_nothing_stays_while_an_outcome_is_missing(lite: World) -> None:
    """A notification of an identity has no tag: of a message in doubt, it names an id that is not known yet."""
    double = lite.serve("ses", {"at": "reply", "do": "close", "to": "Destination", "first": 1})
    (message,) = lite.sent(1)
    lite.ground.clock.forward(seconds=5)
    in_queue(lite, of_ses("Delivery", message, lite.ago(), tagged=False))
    for _ in range(3):
        lite.ground.clock.forward(hours=1)
        double.let_come_again()
        assert lite.pull().foreign == 0
    lite.settle("0102018f-of-ses")
    double.let_come_again()
    assert lite.pull().applied.fresh == 1
    assert double.left() == []


def test_what_is_no_event_stays_in_the_queue_and_is_said(lite: World) -> None:
    double = lite.serve("ses")
    (message,) = lite.sent(1)
    told = json.dumps({"Type": "Notification", "TopicArn": "arn", "Message": "Successfully validated SNS topic."})
    in_queue(lite, "no JSON", '{"eventType": "Delivery"}', told, of_ses("Delivery", message, lite.ago()))
    report = lite.reconcile()
    assert (report.pulled.applied.fresh, report.pulled.unread) == (1, 2)
    assert report.exit_code is ExitCode.NEEDS_PERSON
    assert double.left() == ["no JSON", '{"eventType": "Delivery"}']


def test_a_queue_that_is_not_there_is_said(lite: World) -> None:
    double = lite.serve("ses")
    lite.sent(1)
    options = {**lite.ground.providers["primary"].options, "sqs_queue_url": f"{double.url}/123456789012/other"}
    lite.configure(options)
    report = lite.reconcile()
    assert "QueueDoesNotExist" in report.pulled.trouble["primary"]
    assert report.exit_code is ExitCode.NEEDS_PERSON


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("com.amazon.coral.service#AccessDeniedException", "sqs:ReceiveMessage"),
        ("com.amazonaws.sqs#RequestThrottled", ""),
    ],
)
def test_a_key_that_may_not_is_told_what_it_needs_and_who_asks_too_often_waits(
    lite: World, kind: str, said: str
) -> None:
    refused = {"at": "body", "do": "answer", "status": 400, "body": {"__type": kind, "message": "no"}}
    lite.serve("ses", {**refused, "to": "MaxNumberOfMessages"})
    report = lite.pull()
    told = report.trouble if said else report.asked_to_wait
    assert said in told["primary"]
    assert report.exit_code is (ExitCode.NEEDS_PERSON if said else ExitCode.DONE)
