"""Whoever takes events in is killed around its commits, with passes beside it: nobody is missed, nobody hit twice."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.crash.conftest import NewWorld
from tests.crash.world import CAMPAIGN, CONTACTS, World

POINTS = ("ingest.before_commit", "ingest.committed", "ingest.moving")
GONE = range(20, 60)  # those who unsubscribe


def spooled(world: World) -> Path:
    """A file in which some unsubscribe, one line is bad, and one is there twice."""
    folder = world.folder / "spool"
    folder.mkdir()
    at = "2026-11-23T09:00:00Z"
    people = [f"person{number}@example.com" for number in (*GONE, GONE[0])]
    lines = [
        json.dumps({"type": "unsubscribed", "occurred_at": at, "campaign": CAMPAIGN, "email": one}) for one in people
    ]
    half = folder / ".events.jsonl"
    half.write_text("\n".join([*lines, "no event"]) + "\n")
    half.rename(folder / "events.jsonl")
    return folder


@pytest.fixture
def world(new_world: NewWorld, store_url: str) -> World:
    return new_world(store_url, extra='[events]\nspool = "spool"\n')


def commands(world: World) -> dict[str, tuple[str, ...]]:
    return {"reconcile": ("reconcile",), "ingest": ("ingest", str(world.folder / "spool"))}


@pytest.mark.parametrize("verb", ["reconcile", "ingest"])
def test_killed_ingest_ends_as_if_nothing_had_happened(world: World, verb: str) -> None:
    folder = spooled(world)
    command = commands(world)[verb]
    for point in POINTS:
        for action, code in (("kill", -signal.SIGKILL), ("raise", 1)):
            broken = world.run(*command, failpoint=f"{point}:{action}")
            assert broken.code == code, (point, broken)
            assert [path.name for path in folder.iterdir() if path.is_file()] == ["events.jsonl"]
            world.assert_sound()
            left = CONTACTS if point == "ingest.before_commit" else CONTACTS - len(GONE)
            assert world.counts()["queued"] == left
    ran = world.run(*command)
    assert ran.code == 3, ran  # the bad line
    assert (folder / "bad/events.jsonl").read_text() == "no event\n"
    assert len([path for path in folder.rglob("events.jsonl*") if path.is_file()]) == 3  # done, bad, and why
    assert world.run(*command).code == 0
    assert world.run("send-due").code == 0
    world.assert_sound()
    assert world.counts() == {"sent": CONTACTS - len(GONE), "cancelled": len(GONE)}
    assert not world.accepted().keys() & {f"person{number}@example.com" for number in GONE}


def test_passes_beside_a_killed_ingest_send_to_nobody_who_had_been_stopped(world: World) -> None:
    folder = spooled(world)
    passing = world.start("send-due", failpoint="journal.dotted:stop:9")
    assert passing.stopped()  # some were sent, some are in flight, one is in the middle of its last byte
    assert world.run("reconcile", failpoint="ingest.committed:kill").code == -signal.SIGKILL
    told = world.run("ingest", str(folder), "--json")
    assert told.code == 3, told
    assert json.loads(told.out)["known"] == len(GONE) + 1
    before = world.states()
    passing.send(signal.SIGCONT)
    assert passing.ended().code in (0, 3)
    world.finish()
    world.assert_sound()
    states = world.states()
    stopped = {name for name, state in before.items() if state == "cancelled"}
    assert stopped
    assert {states[name] for name in stopped} == {"cancelled"}
    assert not stopped & world.accepted().keys()
    counts = world.counts()
    assert counts["sent"] + counts["cancelled"] + counts["in_doubt"] == CONTACTS, counts
