"""Whoever moves, cancels, tells of or seals a letter is killed around the commit: it is done whole or not at all."""

from __future__ import annotations

import signal

import pytest

from tests.crash.conftest import NewWorld
from tests.crash.world import World

LETTER = """\
[letter]
name = "{name}"
to = "{name}@example.com"
at = "now"
from = "Shop <news@shop.example>"
subject = "Hello"
text = "the code is xyzzy"
{more}
"""
NOTIFY = 'notify = "{name}-sender@shop.example"'
KILLED = -signal.SIGKILL


@pytest.fixture
def world(new_world: NewWorld, store_url: str) -> World:
    made = new_world(
        store_url, contacts=0, enqueued=False, extra='[letters]\nkey_file = "one"\nprevious_key_file = "two"\n'
    )
    for name, digit in (("one", "1"), ("two", "2")):
        (made.folder / name).write_text(digit * 64)
    return made


def enqueue(world: World, name: str, more: str = "") -> None:
    path = world.folder / f"{name}.toml"
    path.write_text(LETTER.format(name=name, more=more))
    ran = world.run("enqueue", "--letter", str(path))
    assert ran.code == 0, ran


def test_killed_moves_and_cancels_are_whole_or_nothing(world: World) -> None:
    for name in ("early", "late"):
        enqueue(world, name)
    for name, point in (("early", "before_commit"), ("late", "committed")):
        assert world.run("reschedule", name, "--at", "+2h", failpoint=f"reschedule.{point}").code == KILLED
    assert world.run("send-due").code == 0
    assert world.states() == {"early@example.com": "sent", "late@example.com": "queued"}
    assert world.run("cancel", "early", "--yes").code == 8
    assert world.run("cancel", "late", "--yes", failpoint="cancel.before_commit").code == KILLED
    assert world.states()["late@example.com"] == "queued"
    assert world.run("cancel", "late", "--yes", failpoint="cancel.committed").code == KILLED
    assert world.run("cancel", "late", "--yes").code == 0  # it was so already
    assert world.states()["late@example.com"] == "cancelled"
    world.assert_sound()


def test_a_sender_is_told_once_whenever_a_pass_is_killed(world: World) -> None:
    points = ("journal.outcome", "settle.committed")
    for number, point in enumerate(points):
        enqueue(world, f"letter{number}", NOTIFY.format(name=f"letter{number}"))
        assert world.run("send-due", failpoint=point).code == KILLED, point
        world.assert_sound()
        assert world.run("send-due").code == 0
    wanted = {name for number in range(len(points)) for name in (f"letter{number}@example.com",
                                                                  f"letter{number}-sender@shop.example")}  # fmt: skip
    assert world.accepted().keys() == wanted
    assert world.counts() == {"sent": len(wanted)}
    world.assert_sound()


def test_killed_rotation_goes_on_and_letters_are_opened_meanwhile(world: World) -> None:
    (world.folder / "one").write_text("2" * 64)
    for name in ("first", "second"):
        enqueue(world, name, "encrypt = true")
    (world.folder / "one").write_text("1" * 64)
    assert world.run("rotate-key", failpoint="rotate.before_commit").code == KILLED
    assert world.run("send-due", "--campaign", "first").code == 0
    assert world.run("rotate-key", failpoint="rotate.committed").code == KILLED
    (world.folder / "two").unlink()
    assert "0 letters put under it, 2 were already" in world.run("rotate-key").out
    assert world.run("send-due").code == 0
    assert world.counts() == {"sent": 2}
    world.assert_sound()
