"""A store that was put back from before a run forgets what was sent; the journals do not, and nothing is sent twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.backups import take_copy
from tests.crash.conftest import NewWorld
from tests.crash.world import BATCH_SIZE, CAMPAIGN, CONTACTS, World, wait_for
from tests.postgres import create_database, drop_database


def assert_refused(world: World, code: int) -> None:
    """Neither a pass nor a reconcile works on such a store, nothing is sent, and the way out is named."""
    before = world.accepted()
    for verb in ("send-due", "reconcile", "send-due"):
        refused = world.run(verb)
        assert refused.code == code, refused
        assert "hint:" in refused.err
    assert world.accepted() == before


def assert_put_right(world: World, planned: int = CONTACTS) -> None:
    recovered = world.recover("hold", "--reason", "a backup was restored")
    assert recovered.code in (0, 3), recovered
    world.assert_sound()
    assert world.accepted().keys() <= {name for name, state in world.states().items() if state in ("sent", "in_doubt")}
    world.finish()
    world.assert_finished(planned)
    world.assert_settled_by_choice(planned)


@pytest.mark.parametrize("sent_before_the_copy", [0, 2 * BATCH_SIZE])
def test_restored_backup_is_refused_until_the_journals_are_replayed(
    world: World, store_url: str, tmp_path: Path, sent_before_the_copy: int
) -> None:
    if sent_before_the_copy:
        assert world.run("send-due", "--limit", str(sent_before_the_copy)).code == 0
    put_back = take_copy(store_url, tmp_path)
    assert world.run("send-due", "--limit", str(3 * BATCH_SIZE)).code == 0
    assert world.run("send-due", failpoint="provider.replied:kill:7").code == -signal.SIGKILL
    put_back()
    assert_refused(world, 6)
    assert_put_right(world)


def test_run_killed_before_a_restore_is_replayed_too(world: World, store_url: str, tmp_path: Path) -> None:
    put_back = take_copy(store_url, tmp_path)
    command = world.start("send-due", failpoint="settle.committed:stop:3")
    assert command.stopped()
    command.send(signal.SIGKILL)
    command.ended()
    put_back()
    assert_refused(world, 6)
    assert_put_right(world)


def test_a_backup_put_back_under_a_run_that_waits_stops_it(new_world: NewWorld, store_url: str, tmp_path: Path) -> None:
    world = new_world(store_url, contacts=6 * BATCH_SIZE, controls='cooldown = "1s"')
    command = world.start("send-due", failpoint="settle.committed:stop:3")
    wait_for(lambda: world.counts()["sent"] >= BATCH_SIZE)
    put_back = take_copy(store_url, tmp_path, live=True)  # has the run in it
    assert command.stopped()  # it is about to wait until the campaign has cooled down
    put_back()
    assert world.counts()["sent"] < world.accepted().total() == 3 * BATCH_SIZE
    command.send(signal.SIGCONT)
    stopped = command.ended()
    assert stopped.code == 6, stopped
    assert world.accepted().total() == 3 * BATCH_SIZE
    assert_refused(world, 6)
    assert world.run("tune", CAMPAIGN, "--cooldown", "0s").code == 0
    assert_put_right(world, 6 * BATCH_SIZE)


def test_a_backup_put_back_under_several_workers_stops_the_pass_with_the_same_code(
    new_world: NewWorld, store_url: str, tmp_path: Path
) -> None:
    world = new_world(store_url, contacts=8 * BATCH_SIZE, controls='cooldown = "1s"')
    command = world.start("send-due", environ={"SENDCTL_SEND_WORKERS": "2"})
    wait_for(lambda: world.counts()["sent"] >= BATCH_SIZE)
    put_back = take_copy(store_url, tmp_path, live=True)
    wait_for(lambda: world.counts()["sent"] >= 3 * BATCH_SIZE)
    put_back()
    sent = world.accepted().total()
    stopped = command.ended()
    assert (stopped.code, "the store was rewound" in stopped.err, "hint:" in stopped.err) == (6, True, True), stopped
    assert world.accepted().total() <= sent + BATCH_SIZE  # the window that was open, of messages that nobody had
    assert not world.duplicates()
    assert_refused(world, 6)
    assert world.run("tune", CAMPAIGN, "--cooldown", "0s").code == 0
    assert_put_right(world, 8 * BATCH_SIZE)


@pytest.fixture
def original(postgres_url: str) -> Iterator[str]:
    """A database that others may be copied from; dropped at the end."""
    url = create_database(postgres_url)
    yield url
    drop_database(postgres_url, url)


def test_copy_of_the_database_does_not_send_until_it_is_adopted_and_recovered(
    new_world: NewWorld, postgres_url: str, original: str
) -> None:
    world = new_world(original)
    assert world.run("send-due", "--limit", str(2 * BATCH_SIZE)).code == 0
    copy = create_database(postgres_url, original.rpartition("/")[2])
    world.environ["SENDCTL_STORE_URL"] = copy
    assert_refused(world, 5)
    assert world.run("migrate", "--adopt").code == 0
    assert_refused(world, 6)  # nobody knows yet what the other place has sent
    assert_put_right(world)
    drop_database(postgres_url, copy)


def test_copy_from_before_a_run_is_a_restored_backup_and_refused_as_such(
    new_world: NewWorld, postgres_url: str, original: str
) -> None:
    world = new_world(original)
    assert world.run("send-due", "--limit", str(2 * BATCH_SIZE)).code == 0
    copy = create_database(postgres_url, original.rpartition("/")[2])
    assert world.run("send-due", "--limit", str(2 * BATCH_SIZE)).code == 0
    world.environ["SENDCTL_STORE_URL"] = copy
    assert_refused(world, 6)
    assert_put_right(world)
    drop_database(postgres_url, copy)
