"""`enqueue --orders` is killed around its commit and while it moves files: nobody is asked twice, no event is lost."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.crash.conftest import NewWorld
from tests.crash.world import World

CAMPAIGN_FILE = """\
[campaign]
name = "crash"
purpose = "transactional"
from = "Shop <news@shop.example>"
[trigger]
event = "order.delivered"
each = "items"
key = "{{ order.id }}/{{ item }}"
email = "{{ order.email }}"
cancel_on = ["order.refunded"]
[[steps]]
name = "ask"
subject = "How is {{ item }}?"
text = "How is {{ item }} of order {{ order.id }}?"
"""
ORDERS, REFUNDED = 20, 5


@pytest.fixture
def shop(new_world: NewWorld, store_url: str) -> World:
    """An empty store, and a folder with twenty orders, some refunds in files before them, and a file that is none."""
    world = new_world(store_url, enqueued=False)
    (world.folder / "orders.toml").write_text(CAMPAIGN_FILE)
    spool = world.folder / "spool"
    spool.mkdir()
    for number in range(ORDERS):
        about = {"id": number, "email": f"person{number}@example.com", "items": ["lamp"]}
        refunded = {"type": "order.refunded", "occurred_at": "2026-01-02T10:00:00Z"}
        event = {"id": f"d{number}", "type": "order.delivered", "occurred_at": "2026-01-01T10:00:00Z", "order": about}
        (spool / f"{number:02}.jsonl").write_text(json.dumps(event) + "\n")
        if number < REFUNDED:
            (spool / f"refund-{number}.jsonl").write_text(json.dumps(event | refunded) + "\n")
    (spool / "torn.jsonl").write_text('{"id": "d1", "type"')
    return world


def load(world: World, failpoint: str = "") -> int:
    return world.run("enqueue", str(world.folder / "orders.toml"), "--orders", str(world.folder / "spool"),
                     failpoint=failpoint).code  # fmt: skip


def assert_told(world: World) -> None:
    """All files are moved, once each, and exactly those whose orders stand are asked, once each."""
    spool = world.folder / "spool"
    assert [path.name for path in spool.iterdir() if path.is_file()] == []
    assert sorted(path.name for path in (spool / "bad").iterdir()) == ["torn.jsonl", "torn.jsonl.reason"]
    assert len(list((spool / "done").rglob("*.jsonl"))) == ORDERS + REFUNDED
    world.finish()
    assert world.accepted() == {f"person{number}@example.com": 1 for number in range(REFUNDED, ORDERS)}
    world.assert_sound()


@pytest.mark.parametrize("point", ["enqueue.before_commit", "enqueue.committed"])
def test_killed_load_of_orders_is_whole_or_nothing_and_the_next_ends_it(shop: World, point: str) -> None:
    for _ in range(2):
        assert load(shop, f"{point}:kill") == -signal.SIGKILL
        planned = len(shop.states())
        assert planned == (0 if point == "enqueue.before_commit" else ORDERS - REFUNDED)
        assert len(list((shop.folder / "spool").glob("*.jsonl"))) == ORDERS + REFUNDED + 1
    assert load(shop) == 0
    assert_told(shop)


def test_a_load_that_was_killed_while_it_moved_files_is_ended_by_the_next(shop: World) -> None:
    assert load(shop, "enqueue.committed:kill") == -signal.SIGKILL
    spool = shop.folder / "spool"
    day = spool / "done" / "2026-01-01"
    day.mkdir(parents=True)
    for number in range(6):  # moved wholly
        (spool / f"{number:02}.jsonl").rename(day / f"{number:02}.jsonl")
    (spool / "bad").mkdir()
    os.link(spool / "torn.jsonl", spool / "bad" / "torn.jsonl")  # has both its names
    (spool / "bad" / "torn.jsonl.reason").write_text("why\n")
    assert load(shop) == 0
    assert_told(shop)


def test_commands_that_load_one_folder_at_the_same_time_end_as_one(shop: World) -> None:
    path, spool = str(shop.folder / "orders.toml"), str(shop.folder / "spool")
    commands = [shop.start("enqueue", path, "--orders", spool, held=True) for _ in range(4)]
    assert all(command.stopped() for command in commands)
    for command in commands:
        command.send(signal.SIGCONT)
    assert [command.ended().code for command in commands] == [0] * 4
    assert load(shop) == 0
    assert_told(shop)
