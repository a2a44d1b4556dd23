"""Copies of a store: a file put back, a file on another machine, a Postgres database made from another."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sendctl.errors import SendingDisabled, StoreElsewhere, StoreRewound
from sendctl.passes import setup
from sendctl.passes.startup import take_over
from sendctl.providers.base import Outcome, Outgoing
from sendctl.settings.store_url import normalise
from tests.passes.judge import Judge
from tests.postgres import create_database, drop_database
from tests.store.ground import ACCEPTED, Ground

PEOPLE = ["p00001", "p00002", "p00003"]


def test_a_sqlite_file_put_back_is_refused_and_recovered(sqlite_ground: Ground, judge: Judge) -> None:
    ground = sqlite_ground
    ground.enqueue(3)
    ground.close()  # the last connection moves the write-ahead log into the file
    shutil.copy(ground.folder / "store.db", ground.folder / "backup.db")
    ground.send_due()
    ground.close()
    shutil.copy(ground.folder / "backup.db", ground.folder / "store.db")
    for _ in range(2):
        with pytest.raises(StoreRewound):
            ground.send_due()
    ground.recover()
    ground.send_due()
    assert judge.people() == PEOPLE
    assert ground.states() == {"sent": 3}


def test_a_sqlite_file_copied_while_a_run_was_sending_is_refused_and_recovered(
    sqlite_ground: Ground, judge: Judge
) -> None:
    ground, backup = sqlite_ground, sqlite_ground.folder / "backup.db"
    ground.enqueue(3, controls="batch_size = 1")

    def answer(_message: Outgoing) -> Outcome:
        if len(judge.delivered) == 1:
            with (
                closing(sqlite3.connect(ground.folder / "store.db")) as source,
                closing(sqlite3.connect(backup)) as copy,
            ):
                source.backup(copy)
        return ACCEPTED

    judge.answer = answer
    ground.send_due()
    ground.close()
    shutil.copy(backup, ground.folder / "store.db")
    assert ground.states() == {"sent": 1, "sending": 1, "queued": 1}
    for _ in range(2):
        with pytest.raises(StoreRewound):
            ground.send_due()
    ground.recover()
    ground.send_due()
    assert judge.people() == PEOPLE


def test_a_sqlite_store_of_another_machine_does_not_send_until_it_is_adopted(
    sqlite_ground: Ground, judge: Judge
) -> None:
    ground = sqlite_ground
    ground.enqueue(3)
    ground.change("UPDATE store SET bound_to = 'another-machine:/var/store.db'")
    with pytest.raises(StoreElsewhere, match="belongs to another machine"):
        ground.send_due()
    assert judge.people() == []
    assert setup.migrate(ground.context, adopt=True).adopted_from == "another-machine:/var/store.db"
    ground.send_due()
    assert judge.people() == PEOPLE


def test_a_copy_of_a_sqlite_file_beside_it_does_not_send(sqlite_ground: Ground, judge: Judge) -> None:
    ground = sqlite_ground
    ground.enqueue(3)
    ground.close()
    shutil.copy(ground.folder / "store.db", ground.folder / "copy.db")
    copy = replace(ground, url=f"sqlite:///{ground.folder / 'copy.db'}", _context=None)
    with pytest.raises(StoreElsewhere, match="is a copy, or was moved"):
        copy.send_due()
    copy.close()
    ground.send_due()
    assert judge.people() == PEOPLE


@contextmanager
def copy_of(ground: Ground, server_url: str) -> Iterator[str]:
    """The URL of a database made from the ground's own."""
    ground.close()
    made = create_database(server_url, ground.url.rpartition("/")[2])
    yield normalise(made, Path("/"))
    drop_database(server_url, made)


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_copied_postgres_database_does_not_send_until_it_is_adopted(
    ground: Ground, judge: Judge, postgres_url: str
) -> None:
    ground.enqueue(3)
    take_over(ground.context)  # the store learns which database it is
    with copy_of(ground, postgres_url) as url:
        copy = replace(ground, url=url, _context=None)
        for _ in range(2):
            with pytest.raises(StoreElsewhere, match="is a copy"):
                copy.send_due()
        assert judge.people() == []
        setup.migrate(copy.context, adopt=True)
        with pytest.raises(StoreRewound, match="adopted from another place"):
            copy.send_due()
        copy.recover()
        copy.send_due()
        assert judge.people() == PEOPLE
        copy.close()


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_postgres_backup_in_a_new_database_is_refused_until_its_journals_are_replayed(
    ground: Ground, judge: Judge, postgres_url: str
) -> None:
    ground.enqueue(3)
    take_over(ground.context)
    with copy_of(ground, postgres_url) as url:
        ground.send_due(limit=2)
        ground.close()
        restored = replace(ground, url=url, _context=None)
        for _ in range(2):
            with pytest.raises(StoreRewound):
                restored.send_due()
        restored.recover()
        assert restored.states() == {"sent": 2, "queued": 1}
        restored.send_due()
        assert judge.people() == PEOPLE
        restored.close()


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_dead_run_is_not_imported_into_a_copy_that_may_not_send(
    ground: Ground, judge: Judge, postgres_url: str
) -> None:
    """Else its journal would count as imported, and the original would never learn what became of its messages."""
    ground.enqueue(3)
    take_over(ground.context)

    def die(_message: Outgoing) -> Outcome:
        raise KeyboardInterrupt

    judge.answer = die
    with pytest.raises(KeyboardInterrupt):
        ground.send_due()
    with copy_of(ground, postgres_url) as url:
        copy = replace(ground, url=url, _context=None)
        with pytest.raises(StoreElsewhere):
            copy.send_due()
        assert copy.states() == {"sending": 3}
        copy.close()
    judge.answer = lambda _message: ACCEPTED
    ground.send_due()
    assert ground.states() == {"sent": 2, "in_doubt": 1}


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_another_timeline_of_the_same_postgres_means_a_replay_first(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3)
    ground.send_due()
    system, timeline, rest = ground.one("SELECT database_id FROM store").split("/", 2)
    before = f"{system}/{int(timeline) + 1}/{rest}"
    ground.change("UPDATE store SET database_id = :before", before=before)
    for _ in range(2):
        with pytest.raises(StoreRewound, match="timeline"):
            ground.send_due()
    ground.recover()
    ground.send_due()
    assert judge.people() == PEOPLE


def test_a_host_that_was_not_told_to_send_does_not(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3)
    ground.set(enabled=False)
    with pytest.raises(SendingDisabled):
        ground.send_due()
    assert ground.states() == {"queued": 3}
