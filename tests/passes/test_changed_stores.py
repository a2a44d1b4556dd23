"""A store that is exchanged, removed or put back while a pass is at work: a clear end, and nobody gets it twice."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sendctl.errors import ExitCode, SendctlError, StoreRewound, Unreachable
from sendctl.passes import reconcile, status
from sendctl.providers.base import Outcome, Outgoing
from tests.passes.judge import Judge
from tests.store.ground import ACCEPTED, Ground

PEOPLE = [f"p{number:05}" for number in range(1, 6)]


def at_the_second(judge: Judge, happens: Callable[[], None]) -> None:
    """Let something happen while the second message is in flight: its claim is committed, its outcome is not."""

    def answer(_message: Outgoing) -> Outcome:
        if len(judge.delivered) == 1:
            happens()
        return ACCEPTED

    judge.answer = answer


def backup_of(ground: Ground) -> Path:
    """A whole copy of the file, as it is before anything is sent."""
    copy = ground.folder / "backup.db"
    with closing(sqlite3.connect(ground.folder / "store.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def drop_log(ground: Ground) -> None:
    for ending in ("-wal", "-shm"):
        (ground.folder / f"store.db{ending}").unlink(missing_ok=True)


def failure_of(ground: Ground) -> SendctlError:
    """How a pass ended that had sent two messages."""
    report = ground.send_due()
    assert report.work.outcomes == {"accepted": 2}
    assert report.failure is not None
    ground.close()
    return report.failure


def test_file_put_in_the_place_of_the_store_ends_the_pass_and_nobody_gets_it_twice(
    sqlite_ground: Ground, judge: Judge
) -> None:
    ground = sqlite_ground
    ground.enqueue(5, controls="batch_size = 1")
    backup = backup_of(ground)
    at_the_second(judge, lambda: (os.replace(backup, ground.folder / "store.db"), drop_log(ground))[1])
    failure = failure_of(ground)
    assert isinstance(failure, StoreRewound)
    assert "another file took the place" in str(failure)
    with pytest.raises(StoreRewound):
        ground.send_due()
    ground.recover()
    ground.send_due()
    assert judge.people() == PEOPLE
    assert ground.states() == {"sent": 5}


def test_store_that_is_removed_ends_the_pass_and_is_settled_when_it_is_back(
    sqlite_ground: Ground, judge: Judge
) -> None:
    ground = sqlite_ground
    ground.enqueue(5, controls="batch_size = 1")
    store, aside = ground.folder / "store.db", ground.folder / "aside.db"
    at_the_second(judge, lambda: store.rename(aside))
    failure = failure_of(ground)
    assert isinstance(failure, Unreachable)
    assert "is gone" in str(failure)
    assert not store.exists()
    aside.rename(store)
    ground.send_due()
    assert judge.people() == PEOPLE
    assert ground.states() == {"sent": 5}


@pytest.mark.parametrize("checkpointed", [True, False])
def test_file_overwritten_in_place_reaches_nobody_twice(
    sqlite_ground: Ground, judge: Judge, checkpointed: bool
) -> None:
    """With an empty log the backup counts, and is noticed; else the log outweighs it, and it is as if it never was."""
    ground = sqlite_ground
    ground.enqueue(5, controls="batch_size = 1")
    backup = backup_of(ground)

    def overwrite() -> None:
        if checkpointed:
            with closing(sqlite3.connect(ground.folder / "store.db")) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(backup, ground.folder / "store.db")

    at_the_second(judge, overwrite)
    if checkpointed:
        assert isinstance(failure_of(ground), StoreRewound)
        with pytest.raises(StoreRewound):
            ground.send_due()
        ground.recover()
    ground.send_due()
    assert judge.people() == PEOPLE
    assert ground.states() == {"sent": 5}


def assert_put_off(ground: Ground) -> None:
    """Every command says that the store is not whole, with its exit code."""
    for command in (
        ground.send_due, ground.recover, lambda: reconcile.run(ground.context),
        lambda: status.read(ground.context, "sale"),
    ):  # fmt: skip
        with pytest.raises(Unreachable, match="tables are missing, or are being put back right now"):
            command()
        ground.close()


def test_tables_that_go_away_under_a_pass_end_it_and_nobody_gets_it_twice(ground: Ground, judge: Judge) -> None:
    """`pg_dump --clean`, put back without a transaction: tables go and come one by one."""
    ground.enqueue(5, controls="batch_size = 1")
    at_the_second(judge, lambda: ground.change("ALTER TABLE messages RENAME TO away"))
    failure = failure_of(ground)
    assert failure.exit_code is ExitCode.UNREACHABLE
    assert "tables are missing, or are being put back right now" in str(failure)
    assert_put_off(ground)
    ground.change("ALTER TABLE away RENAME TO messages")
    ground.send_due()
    assert judge.people() == PEOPLE
    assert ground.states() == {"sent": 5}


def test_store_whose_own_row_is_not_back_yet_puts_every_command_off(ground: Ground, judge: Judge) -> None:
    ground.enqueue(5)
    ground.change("CREATE TABLE away AS SELECT * FROM store")
    restoring = ground.other_host()
    restoring.change("DELETE FROM store")
    ground.close()
    assert_put_off(ground)
    assert judge.people() == []
    restoring.change("INSERT INTO store SELECT * FROM away")
    restoring.close()
    ground.send_due()
    assert judge.people() == PEOPLE


def test_store_whose_own_row_goes_away_under_a_pass_ends_it_and_nobody_gets_it_twice(
    ground: Ground, judge: Judge
) -> None:
    ground.enqueue(5, controls="batch_size = 1")
    restoring = ground.other_host()

    def vanish() -> None:
        restoring.change("CREATE TABLE away AS SELECT * FROM store")
        restoring.change("DELETE FROM store")

    at_the_second(judge, vanish)
    failure = failure_of(ground)
    assert failure.exit_code is ExitCode.UNREACHABLE
    assert "are being put back right now: the table store is empty" in str(failure)
    restoring.change("INSERT INTO store SELECT * FROM away")
    restoring.close()
    ground.send_due()
    assert judge.people() == PEOPLE
    assert ground.states() == {"sent": 5}


def test_tables_whose_keys_are_not_back_yet_put_a_pass_off(ground: Ground, judge: Judge) -> None:
    if ground.url.startswith("sqlite"):
        return  # a dump of SQLite has the keys in its CREATE TABLE
    ground.enqueue(5)
    ground.change("ALTER TABLE hosts DROP CONSTRAINT hosts_pkey CASCADE")
    with pytest.raises(Unreachable, match="are being put back right now: there is no unique"):
        ground.send_due()
    assert judge.people() == []
