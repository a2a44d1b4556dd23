"""An event that names only a service's id is waited for as long as any outcome is missing that it may be about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from sendctl.passes.deciding import Desk
from sendctl.providers.base import Outcome, Phase
from sendctl.states import AttemptOutcome
from sendctl.store import doubts
from sendctl.store.tables import replayed_keys
from tests.http_double import HttpDouble
from tests.passes.test_key_replay import BROKEN, LOST
from tests.pulling.forms import bounce
from tests.pulling.world import World

SECOND = "p00002@x.example"


def forgotten(at: datetime) -> dict[str, Any]:
    """What a journal remembers of a message whose file was not enqueued again since the store was put back."""
    return {
        "provider_key": "ab" * 16, "outcome": "accepted", "provider": "primary", "provider_message_id": "X",
        "run_id": "r", "claim_id": "c", "contents": "x", "composed_at": at, "at": at,
    }  # fmt: skip


def taken(world: World, older: str) -> tuple[HttpDouble, dict[str, Any]]:
    """A message in doubt that Postmark has, an older doubt that nothing settles, and a bounce of the former."""
    faults = ([BROKEN | {"to": "p00001@"}] if older == "held" else []) + [LOST | {"to": "p00002@"}]
    double = world.serve("postmark", *faults)
    if older == "held":
        world.ground.enqueue(1)
        world.ground.send_due()
    else:
        with world.ground.store.write() as connection:
            connection.execute(sa.insert(replayed_keys), [forgotten(world.ago(60))])
    world.ground.clock.forward(hours=1)
    world.ground.enqueue(1, first=2)
    world.ground.send_due()
    assert world.ground.states()["in_doubt"] == (2 if older == "held" else 1)
    whom = {"provider_message_id": double.accepted()[0]["id"], "recipient": SECOND}
    world.ground.clock.forward(minutes=5)
    double.tell(bounce(whom, world.ago(60), 1))
    return double, whom


def learn(world: World, recipient: str, known: str) -> None:
    """The message in doubt to this address was accepted, under this id."""
    desk = Desk(world.ground.context)
    outcome = Outcome(AttemptOutcome.ACCEPTED, Phase.REPLIED, provider_message_id=known)
    with desk.transaction() as connection:
        (doubt,) = (doubt for doubt in doubts.in_doubt(connection) if doubt.recipient == recipient)
        assert desk.resolve(connection, doubt.message_id, outcome, evidence="lookup", claim_id=doubt.claim_id)


@pytest.mark.parametrize("older", ["held", "remembered"])
def test_an_older_doubt_that_is_held_ends_it_for_no_newer_one(world: World, older: str) -> None:
    taken(world, older)
    world.ground.clock.forward(hours=3)
    assert (world.pull().foreign, world.suppressed()) == (0, {SECOND: "bounced"})  # the address is known at once
    assert world.reconcile().proven_sent == 1
    assert world.reconcile().pulled.applied.bounced == 1
    assert world.suppressed() == {SECOND: "bounced"}
    assert world.ground.states()["bounced"] == 1
    world.ground.clock.forward(hours=3)
    assert world.reconcile().pulled.applied.known == 0, "once is enough"


def test_what_came_later_is_waited_for_too(world: World) -> None:
    """A third message became doubtful after the first event had begun to wait; its own event matches nothing either."""
    double, whom = taken(world, "held")
    world.ground.clock.forward(hours=3)
    world.pull()
    double.tell(bounce(whom | {"provider_message_id": "of-the-first", "recipient": "p00001@x.example"}, world.ago(), 2))
    world.ground.clock.forward(hours=3)
    assert world.pull().foreign == 0
    assert world.reconcile().proven_sent == 1
    assert world.reconcile().pulled.applied.bounced == 1
    learn(world, "p00001@x.example", "of-the-first")
    assert world.reconcile().pulled.applied.bounced == 1
    assert set(world.suppressed()) == {SECOND, "p00001@x.example"}
    assert world.ground.states() == {"bounced": 2}


def test_an_outcome_that_comes_during_a_page_is_seen_by_the_next_pass(world: World) -> None:
    """The number of those that are missing is written down anew with each page that has something foreign."""
    _, whom = taken(world, "held")
    world.ground.clock.forward(hours=3)
    world.pull()
    world.double.tell(bounce({"provider_message_id": "of-others", "recipient": "x@else.example"}, world.ago(), 2))
    world.ground.clock.forward(hours=3)
    with world.once_between(lambda: learn(world, SECOND, str(whom["provider_message_id"]))):
        world.pull()
    assert world.pull().applied.bounced == 1


@pytest.mark.parametrize("hours", [40, 60])
def test_it_is_waited_for_two_days(world: World, hours: int) -> None:
    double, whom = taken(world, "held")
    world.ground.clock.forward(hours=3)
    world.pull()
    world.ground.clock.forward(hours=hours)
    learn(world, SECOND, str(whom["provider_message_id"]))
    assert world.pull().applied.fresh == (1 if hours == 40 else 0)
    assert len(double.accepted()) == 1
