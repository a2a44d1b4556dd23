"""`reconcile` is killed, or stopped, while it settles doubt at services: nobody is told what nobody knows, nobody is
sent to twice, and the next one goes on.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.crash.conftest import NewWorld
from tests.crash.launcher import Finished
from tests.crash.test_services import PEOPLE, killed_at, world_for
from tests.crash.world import World
from tests.http_double import HttpDouble, start_http_double

RECORDING = ("proof.before_commit", "proof.committed")
SENT_AGAIN = ("provider.before_dot", "provider.replied", *RECORDING)
LOOKUPS = ("postmark", "mailgun", "sendgrid", "twilio")


def in_doubt_at(new_world: NewWorld, store_url: str, service: str, double: HttpDouble) -> World:
    """Passes were killed when a message was about to leave, and when a reply had come; everybody else has theirs."""
    world = world_for(new_world, store_url, service, double.url)
    world.judge = double  # type: ignore[assignment]
    for point in ("journal.dotted", "provider.replied"):
        killed_at(world, point)
    while world.counts()["queued"]:
        assert world.run("send-due").code in (0, 3)
    assert world.counts()["in_doubt"] > known_there(world) > 0, "some were accepted, and some were not"
    return world


def killed_twice(world: World, point: str) -> None:
    for _ in range(2):
        if not known_there(world):
            break  # the first had recorded all that can be proven
        killed = world.run("reconcile", failpoint=f"{point}:kill")
        assert killed.code == -signal.SIGKILL, killed
        world.assert_sound()


@pytest.mark.parametrize("point", SENT_AGAIN)
def test_with_keys_a_killed_reconcile_reaches_everybody_exactly_once(
    new_world: NewWorld, store_url: str, tmp_path: Path, point: str
) -> None:
    with start_http_double(tmp_path, "resend") as double:
        world = in_doubt_at(new_world, store_url, "resend", double)
        killed_twice(world, point)
        assert world.run("reconcile").code == 0
        world.assert_finished(PEOPLE)
        assert world.counts()["sent"] == PEOPLE == world.accepted().total()


@pytest.mark.parametrize(
    ("service", "point"),
    [*((service, "lookup.answered") for service in LOOKUPS), *(("postmark", point) for point in RECORDING)],
)
def test_killed_lookups_are_asked_again_and_what_they_proved_is_recorded_once(
    new_world: NewWorld, store_url: str, tmp_path: Path, service: str, point: str
) -> None:
    with start_http_double(tmp_path, service) as double:
        world = in_doubt_at(new_world, store_url, service, double)
        killed_twice(world, point)
        assert world.run("reconcile").code in (0, 3)
        world.assert_finished(PEOPLE)
        assert world.counts()["in_doubt"] == PEOPLE - world.accepted().total()
        assert proven(world.run("reconcile", "--json")) == 0, "each proof is recorded once"


@pytest.mark.parametrize("point", ["lookup.answered", "proof.committed"])
def test_a_reconcile_that_was_stopped_changes_nothing_that_another_has_settled(
    new_world: NewWorld, store_url: str, tmp_path: Path, point: str
) -> None:
    with start_http_double(tmp_path, "postmark") as double:
        world = in_doubt_at(new_world, store_url, "postmark", double)
        found = known_there(world)
        stopped = world.start("reconcile", "--json", failpoint=f"{point}:stop")
        assert stopped.stopped()
        assert proven(world.run("reconcile", "--json")) == (found if point == "lookup.answered" else 0)
        settled = world.states()
        stopped.send(signal.SIGCONT)
        assert proven(stopped.ended()) == (0 if point == "lookup.answered" else found)
        assert world.states() == settled
        world.assert_finished(PEOPLE)


def known_there(world: World) -> int:
    """How many of those in doubt were accepted."""
    return sum(1 for name, state in world.states().items() if state == "in_doubt" and world.accepted()[name])


def proven(reconciled: Finished) -> int:
    """How many messages a reconcile has proven to be sent."""
    assert reconciled.code in (0, 3), reconciled
    return int(json.loads(reconciled.out)["proven_sent"])
