"""A hard bounce or a complaint about a message of ours that nobody knows, or that another section has sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sendctl.settings import ProviderTable
from tests.http_double import HttpDouble
from tests.passes.test_key_replay import LOST
from tests.pulling.forms import bounce
from tests.pulling.world import World

FIRST = "p00001@x.example"
NOT_THERE = {"at": "asked", "do": "answer", "to": "/messages/outbound", "status": 200,
             "body": {"TotalCount": 0, "Messages": []}}  # fmt: skip
SECTIONS = pytest.mark.parametrize("how", ["renamed", "two sections"])


def given_up(world: World, policy: str) -> tuple[HttpDouble, dict[str, Any]]:
    """Postmark has a message of which the campaign's policy has decided; the store does not know under which id."""
    double = world.serve("postmark", LOST | {"to": "p00001@"}, NOT_THERE)
    world.ground.enqueue(1, campaign=f'in_doubt = "{policy}"')
    world.ground.send_due()
    world.ground.clock.forward(minutes=16)
    report = world.reconcile()
    assert report.policy_skipped + report.policy_resent == 1
    world.ground.clock.forward(minutes=5)
    return double, {"provider_message_id": double.accepted()[0]["id"], "recipient": FIRST}


def other_section(world: World, how: str) -> None:
    """Events are asked for by another section of the same account; the one that has sent is gone, or does not ask."""
    table = world.ground.providers["primary"]
    world.ground.close()
    world.ground.providers["primary"] = ProviderTable("primary", "postmark", {**table.options, "pull_events": False})
    world.ground.providers["marks"] = ProviderTable("marks", "postmark", table.options)
    if how == "renamed":
        del world.ground.providers["primary"]


@pytest.mark.parametrize("kind", ["SpamComplaint", "HardBounce"])
@pytest.mark.parametrize("policy", ["skip", "resend"])
def test_who_was_given_up_in_doubt_is_suppressed(world: World, policy: str, kind: str) -> None:
    double, whom = given_up(world, policy)
    double.tell(bounce(whom, world.ago(60), 1, kind))
    report = world.reconcile()
    assert (report.pulled.foreign, report.pulled.applied.suppressed) == (0, 1)
    assert world.suppressed() == {FIRST: "complained" if kind == "SpamComplaint" else "bounced"}
    world.ground.send_due()
    assert world.ground.states() == {"failed" if policy == "skip" else "suppressed": 1}
    assert len(double.accepted()) == 1
    world.ground.clock.forward(hours=2)
    again = world.reconcile()
    assert (again.pulled.foreign, again.pulled.applied.suppressed) == (0, 0)


@pytest.mark.parametrize("event", [{"kind": "SoftBounce"}, {"kind": "Unsubscribe"}, {"recipient": "a@else.example"}])
def test_anything_else_about_an_unknown_message_is_somebody_elses(world: World, event: Mapping[str, str]) -> None:
    double, whom = given_up(world, "skip")
    whom["recipient"] = event.get("recipient", FIRST)
    double.tell(bounce(whom, world.ago(60), 1, event.get("kind", "HardBounce")))
    world.ground.clock.forward(hours=2)
    assert world.pull().foreign == 1
    assert world.suppressed() == {}


def test_an_address_that_another_service_has_sent_to_is_left_alone(world: World) -> None:
    world.serve("mailgun")
    (sent,) = world.sent(1)
    mailgun = world.ground.providers["primary"]
    double = world.serve("postmark")
    table = world.ground.providers["primary"]
    world.ground.close()
    world.ground.providers |= {"primary": mailgun, "marks": ProviderTable("marks", "postmark", table.options)}
    double.tell(bounce({"provider_message_id": "of-others", "recipient": sent["recipient"]}, world.ago(60), 1))
    world.ground.clock.forward(hours=2)
    assert world.pull().foreign == 1
    assert world.suppressed() == {}


@SECTIONS
def test_a_message_that_another_section_of_the_account_has_sent_is_known(world: World, how: str) -> None:
    double = world.serve("postmark")
    (sent,) = world.sent(1)
    other_section(world, how)
    double.tell(bounce(sent, world.ago(60), 1))
    world.ground.clock.forward(hours=2)
    report = world.reconcile()
    assert (report.pulled.foreign, report.pulled.applied.bounced) == (0, 1)
    assert world.suppressed() == {sent["recipient"]: "bounced"}


@SECTIONS
def test_an_event_waits_for_the_outcome_of_a_message_in_another_section(world: World, how: str) -> None:
    double = world.serve("postmark", LOST | {"to": "p00001@"}, NOT_THERE)
    world.ground.enqueue(1)
    world.ground.send_due()
    other_section(world, how)
    double.tell(bounce({"provider_message_id": "LATER", "recipient": FIRST}, world.ago(60), 1, "SoftBounce"))
    world.ground.clock.forward(hours=2)
    assert world.pull().foreign == 0
    world.settle("LATER")
    assert world.pull().applied.by_type == {"deferred": 1}
