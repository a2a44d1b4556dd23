"""No room and no right to write: one clear error with its exit code, nothing claimed, or everything accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.conftest import NewWorld
from tests.crash.launcher import Finished
from tests.crash.world import CONTACTS, World

# A first window is small; the next has a message for each connection, and its reserve does not fit into the limit.
MANY, ONE_WINDOW_BYTES = 300, 400_000


@contextmanager
def read_only(*paths: Path) -> Iterator[None]:
    """Without the right to write, for commands that run without root's right to ignore that."""
    modes = {path: path.stat().st_mode for path in paths}
    try:
        for path in paths:
            path.chmod(modes[path] & 0o555)
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def assert_refused(ended: Finished, world: World) -> None:
    assert ended.code == 69, ended
    assert "sendctl: error: " in ended.err
    assert "hint: " in ended.err
    assert "Traceback" not in ended.err
    assert world.counts()["queued"] == CONTACTS
    assert world.accepted().total() == 0


def sqlite_world(new_world: NewWorld, tmp_path: Path) -> World:
    """The store in a folder of its own."""
    (tmp_path / "data").mkdir()
    return new_world(f"sqlite:///{tmp_path}/data/store.db")


def test_read_only_store_is_named_and_nothing_is_claimed(new_world: NewWorld, tmp_path: Path) -> None:
    world = sqlite_world(new_world, tmp_path)
    for paths in ((tmp_path / "data",), (tmp_path / "data/store.db",)):
        with read_only(*paths):
            for verb in (("send-due",), ("reconcile",), ("recover", "--campaign", "crash", "--yes")):
                ended = world.run(*verb)
                assert ended.code == 69, (paths, verb, ended)
                assert_refused(ended, world)
    world.finish()
    world.assert_finished()


@pytest.mark.parametrize(
    ("mode", "verb"), [(0o444, ("status",)), (0o444, ("status", "--check")), (0o400, ("send-due", "-q"))]
)
def test_store_that_was_read_only_is_whole_again_when_it_is_mended(
    new_world: NewWorld, tmp_path: Path, mode: int, verb: tuple[str, ...]
) -> None:
    world = sqlite_world(new_world, tmp_path)
    store = tmp_path / "data/store.db"
    before = sorted(path.name for path in store.parent.iterdir())
    store.chmod(mode)
    ended = world.run(*verb)
    assert ended.code == (3 if "--check" in verb else 69), ended
    assert f"{store} cannot be written by this user" in ended.out + ended.err
    assert "--check" in verb or f"chmod 600 {store}" in ended.err
    assert sorted(path.name for path in store.parent.iterdir()) == before
    store.chmod(0o600)
    world.finish()
    world.assert_finished()


def test_store_that_may_only_be_read_can_be_looked_at_in_a_copy(new_world: NewWorld, tmp_path: Path) -> None:
    world = sqlite_world(new_world, tmp_path)
    assert world.run("send-due", failpoint="claim.committed:kill").code == -9  # part of the store is in its log
    store, copies = tmp_path / "data/store.db", tmp_path / "copies"
    with read_only(store, store.parent):
        ended = world.run("status")
        assert ended.code == 69, ended
        assert f"copy {store} and store.db-wal" in ended.err
        copies.mkdir()
        for path in (store, store.with_name("store.db-wal")):
            (copies / path.name).write_bytes(path.read_bytes())
        looked = world.run("status", "--json", environ={"SENDCTL_STORE_URL": f"sqlite:///{copies}/store.db"})
        listed = world.run("messages", "--json", environ={"SENDCTL_STORE_URL": f"sqlite:///{copies}/store.db"})
    assert json.loads(looked.out)["campaigns"][0]["counts"]["sending"] > 0
    assert len(json.loads(listed.out)) == CONTACTS


@pytest.mark.parametrize("part", ["-wal", "-shm"])
def test_part_of_the_store_that_cannot_be_written_is_the_one_that_is_named(
    new_world: NewWorld, tmp_path: Path, part: str
) -> None:
    world = sqlite_world(new_world, tmp_path)
    assert world.run("send-due", failpoint="claim.committed:kill").code == -9  # leaves all parts of it
    place = tmp_path / f"data/store.db{part}"
    with read_only(place):
        for verb in (("send-due", "-q"), ("status",), ("reconcile",)):
            ended = world.run(*verb)
            assert ended.code == 69, ended
            assert f"{place} cannot be written by this user" in ended.err
            assert f"chmod 600 {place}" in ended.err
        assert world.run("status", "--check").code == 3
    world.finish()
    world.assert_finished()


def test_work_done_before_the_disk_was_full_is_said_with_the_error(new_world: NewWorld, pg_database: str) -> None:
    world = new_world(pg_database, connections=MANY)
    ended = world.run("send-due", "-q", file_bytes=ONE_WINDOW_BYTES)
    assert ended.code == 69, ended
    sent = world.accepted().total()
    assert 0 < sent < CONTACTS
    assert f"sent {sent}  in " in ended.out
    assert "has no room" in ended.err
    assert "nothing was claimed" not in ended.err
    world.assert_sound()
    world.finish()
    world.assert_finished()


def test_json_of_a_pass_that_met_a_full_disk_has_its_work_and_its_error(new_world: NewWorld, pg_database: str) -> None:
    world = new_world(pg_database, connections=MANY)
    ended = world.run("send-due", "--json", file_bytes=ONE_WINDOW_BYTES)
    report = json.loads(ended.out)
    assert (ended.code, report["exit_code"], report["ended"]) == (69, 69, "failed")
    assert "has no room" in report["error"]
    assert report["outcomes"]["accepted"] == world.accepted().total() > 0


def test_journal_folder_that_cannot_be_written_stops_the_pass_before_it_claims(world: World) -> None:
    journal = world.folder / "journal"
    journal.mkdir(0o700)
    with read_only(journal):
        assert_refused(world.run("send-due"), world)
    assert world.run("send-due", "--limit", "1").code == 0
    with read_only(journal):
        ended = world.run("send-due")
        assert ended.code == 69, ended
    assert world.counts()["queued"] == CONTACTS - 1
    world.finish()
    world.assert_finished()


@pytest.mark.parametrize("room_bytes", [100, 300, 100_000])
def test_full_disk_under_the_journal_stops_the_pass_before_it_claims(
    new_world: NewWorld, pg_database: str, room_bytes: int
) -> None:
    world = new_world(pg_database)
    assert_refused(world.run("send-due", file_bytes=room_bytes), world)
    world.finish()
    world.assert_finished()
    left = sorted(path.name for path in (world.folder / "journal").iterdir())
    assert not [name for name in left if name.endswith((".lock", ".new"))], left  # nobody waits for a torn file


def test_full_disk_under_the_store_leaves_everybody_accounted_for(new_world: NewWorld, tmp_path: Path) -> None:
    world = sqlite_world(new_world, tmp_path)
    store = tmp_path / "data/store.db"
    size_bytes = store.stat().st_size
    codes = set()
    # The limit is met in turn by the run's record, by a claim, and by outcomes that are in the journal already.
    for room_bytes in (0, 40_000, 320_000, 400_000, 600_000):
        ended = world.run("send-due", file_bytes=max(room_bytes, size_bytes if not room_bytes else 0))
        codes.add(ended.code)
        assert ended.code in (0, 3, 69, 75), ended
        world.assert_sound()
    assert 69 in codes
    world.finish()
    world.assert_finished()
    assert world.counts()["sent"] == CONTACTS, "an outcome was known and lost"
