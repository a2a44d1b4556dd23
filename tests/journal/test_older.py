"""Runs that ended some time ago lie apart: what a pass looks through stays small, and nothing is forgotten."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sendctl.errors import Unreachable
from sendctl.journal.home import Home, RunNote, held_lock, note_of, open_home
from sendctl.journal.older import MANY, NEWEST, put_away, reading, remove_before
from tests.syncs import watched_syncs

DAY = "1970-01-01"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "journal")


def ended(home: Home, count: int, store_id: str = "store") -> list[str]:
    """Runs that ended one after the other, each with the journals of two workers; their ids, oldest first."""
    run_ids = [f"{store_id}-run{number}" for number in range(count)]
    for number, run_id in enumerate(run_ids):
        with held_lock(home, RunNote(store_id, run_id, "send-due", "boot", 1, f"2026-03-02T09:00:{number % 60:02}Z")):
            for worker in (0, 3):
                home.journal_path(run_id, worker).write_bytes(b"what was sent")
            home.confirm(run_id)
        os.utime(home.done_path(run_id), (1000 + number, 1000 + number))
    return run_ids


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_many_ended_runs_are_put_away_and_can_still_be_found(home: Home) -> None:
    run_ids = ended(home, MANY + 1)
    assert put_away(home) == MANY + 1 - NEWEST
    stay, away = run_ids[-NEWEST:], run_ids[:-NEWEST]
    assert home.confirmed() == stay[::-1]
    assert len(names(home.path)) == 3 * NEWEST + 2  # host-id and the folder itself
    assert sorted(home.all_confirmed()) == sorted(run_ids)
    assert home.ended_in(home.older / DAY) == {run_id: (1000 + place) * 10**9 for place, run_id in enumerate(away)}
    for run_id, folder in [(away[0], home.older / DAY), (stay[0], home.path)]:
        assert home.journals(run_id) == [folder / f"{run_id}.{worker}.journal" for worker in (0, 3)]
        note = note_of(home, run_id)
        assert note is not None
        assert note.run_id == run_id
        assert home.has_ended(run_id)
    assert not home.has_ended("another")
    assert put_away(home) == 0


def test_few_runs_stay_where_they_are(home: Home) -> None:
    ended(home, MANY)
    assert put_away(home) == 0
    assert not home.older.exists()


def test_the_newest_runs_of_each_store_stay(home: Home) -> None:
    seldom = ended(home, 3, "seldom")  # long before all others
    for run_id in seldom:
        os.utime(home.done_path(run_id), (1, 1))
    often = ended(home, MANY, "often")
    assert put_away(home) == MANY - NEWEST
    assert set(home.confirmed()) == {*seldom, *often[-NEWEST:]}


def test_what_is_alive_or_dead_is_not_put_away(home: Home) -> None:
    ended(home, MANY + 1)
    with held_lock(home, RunNote("store", "alive", "send-due", "boot", 1, "2026")):
        home.journal_path("alive", 0).write_bytes(b"x")
        put_away(home)
        assert home.journals("alive") == [home.journal_path("alive", 0)]
    assert home.pending() == ["alive"]


def test_a_file_has_its_second_name_on_the_disk_before_it_loses_its_first(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_ids = ended(home, MANY + 1)
    synced = watched_syncs(home.path, monkeypatch)
    put_away(home)
    moved = f"{run_ids[0]}.done"
    assert [sync.path for sync in synced] == [home.older / DAY, home.older, home.path]
    assert all({home.path / moved, home.older / DAY / moved} <= sync.standing for sync in synced)
    assert moved not in names(home.path)


def test_a_move_that_was_cut_short_is_ended_by_the_next(home: Home) -> None:
    run_ids = ended(home, MANY + 1)
    day = home.older / DAY
    day.mkdir(parents=True)
    first, second = home.journals(run_ids[0])
    for path in (first, second, home.done_path(run_ids[0])):
        os.link(path, day / path.name)
    first.unlink()
    assert home.journals(run_ids[0]) == [day / first.name, second]
    put_away(home)
    assert home.journals(run_ids[0]) == [day / first.name, day / second.name]
    assert set(home.all_confirmed()) == set(run_ids)


def test_nothing_is_put_away_or_removed_under_a_reader(home: Home) -> None:
    ended(home, MANY + 1)
    tomorrow = datetime(1970, 1, 2, tzinfo=UTC)
    with reading(home):
        assert put_away(home) == remove_before(home, tomorrow) == 0
        assert len(home.confirmed()) == MANY + 1
    assert put_away(home) > 0
    assert remove_before(home, tomorrow) == MANY + 1


def test_runs_are_removed_by_age_and_those_put_away_by_whole_days(home: Home) -> None:
    run_ids = ended(home, MANY + 1)
    put_away(home)
    assert remove_before(home, datetime(1970, 1, 1, tzinfo=UTC)) == 0
    last = run_ids[-1]
    assert remove_before(home, datetime.fromtimestamp(1000 + MANY, UTC)) == NEWEST - 1
    assert home.confirmed() == [last]
    assert names(home.older / DAY)
    (home.older / "not a day").write_text("")
    assert remove_before(home, datetime(1970, 1, 2, tzinfo=UTC)) == MANY + 1 - NEWEST + 1
    assert home.all_confirmed() == []
    assert names(home.path) == {"host-id", "older"}
    assert names(home.older) == {"not a day"}


def test_a_note_that_is_torn_does_not_keep_the_others(home: Home) -> None:
    run_ids = ended(home, MANY + 1)
    home.done_path(run_ids[5]).write_bytes(b"{")
    assert put_away(home) == MANY - NEWEST  # it alone counts as of no store
    assert set(home.all_confirmed()) == set(run_ids)


def test_a_folder_that_cannot_be_written_is_one_error(home: Home) -> None:
    ended(home, MANY + 1)
    home.older.write_text("in the way")
    with pytest.raises(Unreachable, match="journal folder"):
        put_away(home)
    assert len(home.confirmed()) == MANY + 1
