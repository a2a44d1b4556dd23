"""A campaign on two channels is killed between the two outcomes of a place and its advance: each step once on each.

The SMTP double's log says who was mailed; who was texted says the file, whose whole lines are what its reader gets.
"""

from __future__ import annotations

import json
import signal
from collections import Counter

import pytest
import sqlalchemy as sa

from sendctl.passes import enqueue
from sendctl.store import proofs
from tests.crash.conftest import NewWorld
from tests.crash.world import CAMPAIGN, World

PEOPLE, STEPS, CONNECTIONS = 4, ("letter", "second"), 2
POINTS = ("provider.replied", "journal.outcome", "settle.before_commit", "settle.committed")
CAMPAIGN_FILE = """\
[campaign]
name = "crash"
channel = "both"
purpose = "transactional"
from = "Shop <news@shop.example>"
[controls]
batch_size = 4
max_attempts = 9
[[steps]]
name = "letter"
subject = "A letter"
text = "Dear {{ contact.first_name }}, this is the only copy."
sms = "The first for {{ contact.first_name }}"
[[steps]]
name = "second"
after = "0s"
subject = "A second letter"
text = "Dear {{ contact.first_name }}, this is the only copy."
sms = "The second for {{ contact.first_name }}"
"""


@pytest.fixture
def world(new_world: NewWorld, store_url: str) -> World:
    extra = '[providers.texts]\ntype = "file"\npath = "sms.jsonl"\n'
    made = new_world(store_url, extra=extra, connections=CONNECTIONS, enqueued=False)
    config = made.folder / "sendctl.toml"
    config.write_text(config.read_text().replace('providers = ["relay0"]', 'providers = ["relay0", "texts"]'))
    assert "texts" in config.read_text().partition("[providers")[0]
    (made.folder / "campaign.toml").write_text(CAMPAIGN_FILE)
    rows = [f"person{number}@example.com,+49301234{number:02},Person {number}" for number in range(PEOPLE)]
    (made.folder / "contacts.csv").write_text("\n".join(["email,phone,first_name", *rows]) + "\n")
    with made.context() as context:
        enqueue.run(context, made.folder / "campaign.toml", contacts=made.folder / "contacts.csv")
    return made


def rows(world: World, sql: str) -> list[tuple[object, ...]]:
    with world.context() as context, context.store.read() as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql))]


def accepted(world: World) -> Counter[str]:
    """How often each message, by its key, was taken by either judge."""
    mailed = [row["message_id"].strip("<>").partition("@")[0] for row in world.judge.accepted()]
    file = world.folder / "sms.jsonl"
    whole = (
        [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")] if file.exists() else []
    )
    return Counter([*mailed, *(json.loads(line)["key"] for line in whole)])


def assert_sound(world: World, given_up: frozenset[object] = frozenset()) -> None:
    taken = accepted(world)
    states = {str(key): state for key, state in rows(world, "SELECT provider_key, status FROM messages")}
    assert set(taken.values()) <= {1}
    assert {states[key] for key in taken if key not in given_up} <= {"sent", "in_doubt", "sending"}
    assert {key for key, state in states.items() if state == "sent"} <= taken.keys()
    with world.context() as context, context.store.read() as connection:
        assert proofs.check(connection) == []
    # A place that somebody has left was over: nothing of it is open.
    assert rows(
        world,
        "SELECT m.id FROM messages m JOIN enrollments e ON e.id = m.enrollment_id"
        " WHERE m.step_index < e.current_step_index AND m.status IN ('queued', 'sending', 'in_doubt')",
    ) == []  # fmt: skip


def send_all(world: World) -> None:
    while rows(world, "SELECT 1 FROM messages WHERE status = 'queued'"):
        ran = world.run("send-due")
        assert ran.code in (0, 3), ran
    reconciled = world.run("reconcile")  # asks the file about its texts; what it never had is queued again
    assert reconciled.code in (0, 3), reconciled
    if rows(world, "SELECT 1 FROM messages WHERE status = 'queued'"):
        send_all(world)


@pytest.mark.parametrize("point", POINTS)
def test_killed_passes_on_two_channels_send_each_step_once_on_each(world: World, point: str) -> None:
    for passage in (1, 2):
        killed = world.run("send-due", failpoint=f"{point}:kill:{passage}")
        assert killed.code == -signal.SIGKILL, killed
        assert_sound(world)
    send_all(world)
    assert_sound(world)
    doubtful = rows(world, "SELECT channel, provider_key FROM messages WHERE status = 'in_doubt'")
    assert len(doubtful) <= 2 * CONNECTIONS
    assert {channel for channel, _ in doubtful} <= {"email"}  # the file proves what became of every text
    assert world.run("recover", "--campaign", CAMPAIGN, "--in-doubt", "skip", "--yes", "--reason", "test").code == 0
    send_all(world)
    assert_sound(world, frozenset(key for _, key in doubtful))
    assert rows(world, "SELECT DISTINCT status, current_step_index FROM enrollments") == [("completed", 1)]
    slots = rows(world, "SELECT step_index, channel, count(*) FROM messages GROUP BY step_index, channel ORDER BY 1, 2")
    assert slots == [(step, channel, PEOPLE) for step in range(len(STEPS)) for channel in ("email", "sms")]
    states = Counter(state for (state,) in rows(world, "SELECT status FROM messages"))
    sent = len(STEPS) * 2 * PEOPLE - len(doubtful)
    assert states == Counter({"sent": sent} | ({"failed": len(doubtful)} if doubtful else {}))
