"""A store that keeps passes waiting: each gives up in time and says so, so that passes do not pile up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pytest

from sendctl.errors import ExitCode, StoppedEarly
from sendctl.passes import control, reconcile, send_due
from sendctl.passes import idle as passes_idle
from sendctl.store import engine, idle
from tests.passes.judge import Judge
from tests.store.ground import Ground, OwnedClock

POSTGRES = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a lock as long as usual."""
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(idle, "BUSY_TIMEOUT_S", 0.05)


@contextmanager
def locked(ground: Ground, table: str) -> Iterator[None]:
    """Another session has a table to itself."""
    with psycopg.connect(ground.url.replace("+psycopg", "")) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield
        connection.rollback()


@POSTGRES
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("table", ["messages", "store", "runs"])
def test_pass_that_meets_a_lock_gives_up_and_asks_to_run_again(ground: Ground, judge: Judge, table: str) -> None:
    ground.enqueue(3)
    ground.close()
    with locked(ground, table):
        for run in (send_due.run, reconcile.run):
            with pytest.raises(StoppedEarly, match="another command kept the store busy"):
                run(ground.context)
    assert judge.delivered == []
    assert send_due.run(ground.context).exit_code is ExitCode.DONE
    assert len(judge.delivered) == 3


@POSTGRES
@pytest.mark.usefixtures("impatient")
def test_pause_that_meets_a_lock_says_who_may_hold_it_and_to_repeat(ground: Ground) -> None:
    ground.enqueue(3)
    with locked(ground, "campaigns"), pytest.raises(StoppedEarly) as caught:
        control.pause(ground.context, "sale", "")
    assert str(caught.value).endswith(": canceling statement due to lock timeout")  # and nothing of the statement
    assert "run the command again until it says that it is done, or end the enqueue" in caught.value.hint


@POSTGRES
@pytest.mark.usefixtures("impatient")
def test_idle_pass_that_meets_a_lock_ends_there(ground: Ground, judge: Judge) -> None:
    ground.clock.now = datetime.now(UTC)  # the idle pass asks the server when this host has looked last
    ground.enqueue(3)
    send_due.run(ground.context)
    settings = ground.context.settings
    assert passes_idle.is_idle(settings)
    with locked(ground, "messages"), pytest.raises(StoppedEarly, match="another command kept the store busy"):
        passes_idle.is_idle(settings)
    assert passes_idle.is_idle(settings)


@dataclass
class SlowStart(OwnedClock):
    """A minute goes by until the store has said for the first time what time it is."""

    asked: bool = False

    def utc_now(self) -> datetime:
        if not self.asked:
            self.asked = True
            self.forward(seconds=60)
        return super().utc_now()


def test_pass_that_had_to_wait_for_the_store_claims_nothing_after_its_time(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3)
    ground.close()
    ground.clock = SlowStart(ground.clock.now, ground.clock.boot)
    report = send_due.run(ground.context, max_seconds=55)
    assert (report.work.ended, report.exit_code, judge.delivered) == ("time", ExitCode.STOPPED_EARLY, [])
    assert send_due.run(ground.context, max_seconds=55).exit_code is ExitCode.DONE
    assert len(judge.delivered) == 3
