"""A sample of `make prove-faults`: each part, small, with the same judgement."""

from __future__ import annotations

import pytest

from tests.crash.accounts import must
from tests.faults.clocks import jumps, nights
from tests.faults.crowds import crowd, outages
from tests.faults.disk import Disk
from tests.faults.errors import injected_errors
from tests.faults.ground import Line, enqueue, new_ground
from tests.faults.power import PLACES, power_loss, recorded
from tests.faults.rewinds import rewinds
from tests.faults.zombies import zombies
from tests.kill.tracing import missing

needs_strace = pytest.mark.skipif(bool(missing()), reason=f"no system call can be looked at: {missing()}")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty Postgres database, or "" for SQLite."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("pg_database"))


def assert_good(line: Line) -> None:
    assert line.good, line


def test_passes_under_a_clock_that_jumps_repeat_nobody_and_lose_nobody(database: str) -> None:
    assert_good(jumps(database, people=60, kills=2))


def test_nobody_gets_anything_outside_of_the_window_on_a_night_on_which_clocks_are_changed() -> None:
    assert_good(nights(8, ("2026-03-28",), (("01:30", "03:30"),)))


@needs_strace
def test_disks_after_a_power_loss_repeat_nobody_and_lose_nobody() -> None:
    assert_good(power_loss(20, 10))


@needs_strace
def test_all_names_that_a_pass_needs_are_safe_before_anything_leaves() -> None:
    with new_ground("", contacts=10, enqueued=False, store="disk/data/store.db", environ=PLACES) as world:
        root = world.folder / "disk"
        (root / "host").mkdir()
        must(world, *enqueue(world), codes=(0,))
        disk = Disk.of(root)
        for op in recorded(world, root, "send-due"):
            if op.kind == "left":
                break
            disk.apply(op)
        kinds = {"".join(name.partition("journal/")[2].partition(".")[1:]) for name in disk.safe_names}
    assert op.kind == "left"
    assert "host/journal" in disk.safe_names
    assert {".lock", ".0.journal"} <= kinds


@needs_strace
def test_errors_of_the_disk_have_a_name_and_harm_nobody(database: str) -> None:
    assert_good(injected_errors("send-due", database, ("fallocate", "fsync", "rename"), most=2, more=25))


@pytest.mark.parametrize(("elsewhere", "point"), [(False, "import.committed"), (True, "journal.begun")])
def test_stopped_commands_that_go_on_late_repeat_nobody(database: str, elsewhere: bool, point: str) -> None:
    assert_good(zombies(database, elsewhere=elsewhere, points=(point,)))


def test_a_crowd_under_kills_repeats_nobody_and_loses_nobody(database: str) -> None:
    assert_good(crowd(database, people=150, kills=4))


def test_backups_put_back_again_and_again_repeat_nobody_and_lose_nobody(database: str) -> None:
    assert_good(rewinds(database, rounds=2, people=200))


def test_passes_killed_while_postgres_crashes_repeat_nobody_and_lose_nobody() -> None:
    assert_good(outages(200, kills=3, longest_s=1.0))
