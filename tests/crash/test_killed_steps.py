"""Whoever moves people from step to step is killed around each commit: each step once, in order, none skipped."""

from __future__ import annotations

import re
import signal
from collections import defaultdict
from pathlib import Path

import pytest
import sqlalchemy as sa

from sendctl.passes import enqueue
from sendctl.store import proofs
from sendctl.store.tables import enrollments, messages
from tests.crash.conftest import NewWorld
from tests.crash.mail_log import write_mail_log
from tests.crash.world import CAMPAIGN, World, write_settings

STEPS = ["letter", "tips", "nudge", "nudge", "last"]
PEOPLE = 3
MORE = """
[[steps]]
name = "tips"
after = "0s"
subject = "tips"
text = "Three tips."

[[steps]]
name = "nudge"
kind = "reminder"
after = "0s"
repeat = 2
subject = "nudge"
text = "Still there?"

[[steps]]
name = "last"
after = "0s"
subject = "last"
text = "Good bye."
"""
_SUBJECT = re.compile(r"^Subject: (.*)$", re.MULTILINE)
KILLED = -signal.SIGKILL


@pytest.fixture
def world(new_world: NewWorld, store_url: str, tmp_path: Path) -> World:
    """Three people at the first of five messages, each due as soon as the one before was accepted."""
    made = new_world(store_url, contacts=PEOPLE, batch_size=PEOPLE, connections=1, enqueued=False, keep=True)
    file = tmp_path / "campaign.toml"
    file.write_text(file.read_text().replace('"A letter for {{ contact.first_name }}"', '"letter"') + MORE)
    with made.context() as context:
        enqueue.run(context, file, contacts=tmp_path / "contacts.csv")
    return made


def told(world: World) -> dict[str, list[str]]:
    """What the judge accepted for each person, by the subjects, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in world.judge.accepted():
        text = (world.judge.keep / f"{row['queue_id']}.eml").read_text()
        subject = _SUBJECT.search(text)
        assert subject is not None
        found[row["rcpt"]].append(subject[1].strip())
    return found


def assert_in_order(world: World) -> None:
    """Each person has the first so many steps, each once, and the ledger contradicts nothing."""
    for person, subjects in told(world).items():
        assert subjects == STEPS[: len(subjects)], (person, subjects)
    ids = [row["message_id"] for row in world.judge.accepted()]
    assert len(ids) == len(set(ids))
    with world.context() as context, context.store.read() as connection:
        assert proofs.check(connection) == []


def assert_everybody_had_all(world: World) -> None:
    assert_in_order(world)
    assert sorted(told(world).values()) == [STEPS] * PEOPLE
    with world.context() as context, context.store.read() as connection:
        places = connection.execute(sa.select(enrollments.c.status, enrollments.c.current_step_index)).all()
        states = connection.execute(sa.select(messages.c.status)).scalars().all()
    assert [tuple(place) for place in places] == [("completed", 3)] * PEOPLE
    assert list(states) == ["sent"] * PEOPLE * len(STEPS)


@pytest.mark.parametrize("point", ["settle.before_commit", "settle.committed"])
def test_a_pass_that_dies_between_two_steps_neither_repeats_nor_skips_one(world: World, point: str) -> None:
    deaths = 0
    for _ in range(len(STEPS) + 2):
        ran = world.run("send-due", failpoint=f"{point}:kill")
        assert_in_order(world)
        if ran.code != KILLED:
            break
        deaths += 1
    assert deaths >= len(STEPS)
    world.finish()
    assert_everybody_had_all(world)


@pytest.mark.parametrize("verb", ["reconcile", "recover"])
def test_who_takes_up_a_dead_pass_and_dies_moves_nobody_twice(world: World, verb: str) -> None:
    """The accepted is in the journal, or in the server's log alone: both move people on, whole or not at all."""
    logs = '[reconcile]\nmta = "postfix"\nmta_logs = ["mail.log"]\n'
    write_settings(world.folder, world.judge.port, connections=1, extra=logs)
    recover = ("recover", "--campaign", CAMPAIGN, "--in-doubt", "hold", "--yes")
    command = recover if verb == "recover" else ("reconcile",)
    deaths = [("journal.outcome", "import.before_commit"), ("journal.outcome", "import.committed")]
    if verb == "recover":  # the reply of its last message is nowhere but in the server's log
        deaths += [("provider.replied", "recover.before_commit"), ("provider.replied", "recover.committed")]
    for sender_dies_at, point in deaths:
        assert world.run("send-due", failpoint=f"{sender_dies_at}:kill:2").code == KILLED
        write_mail_log(world.folder / "mail.log", world.judge.accepted())
        assert world.run(*command, failpoint=f"{point}:kill").code == KILLED, (sender_dies_at, point)
        assert_in_order(world)
        world.run(*command)
        assert_in_order(world)
    world.finish()
    assert_everybody_had_all(world)
