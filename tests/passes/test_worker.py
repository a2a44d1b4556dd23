"""The loop of one worker, and several beside each other: what they leave behind when they cannot go on."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sendctl import stopping
from sendctl.errors import ExitCode, StoppedEarly, Unreachable
from sendctl.journal.records import read
from sendctl.providers.base import Outcome, Outgoing
from sendctl.states import AttemptOutcome
from tests.passes.judge import Judge
from tests.store.ground import ACCEPTED, DOWN, SENDER_REFUSED, Ground
from tests.syncs import watched_syncs


def test_outcomes_that_the_store_did_not_take_are_on_the_disk_when_the_pass_ends(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.enqueue(3)

    def answer(_message: Outgoing) -> Outcome:
        ground.change("UPDATE campaigns SET controls = 'not json'")  # makes the transaction of the outcomes fail
        return ACCEPTED

    judge.answer = answer
    synced = watched_syncs(ground.folder / ground.journal, monkeypatch)
    with pytest.raises(ValueError):
        ground.send_due()
    assert ground.states() == {"sending": 3}
    (run_id,) = ground.context.home.pending()
    (journal,) = ground.context.home.journals(run_id)
    on_disk = ground.folder / "what a power loss leaves"
    on_disk.write_bytes([sync.content for sync in synced if sync.path == journal][-1])
    outcomes = [trace.outcome for trace in read(on_disk).traces.values()]
    assert [outcome.kind for outcome in outcomes if outcome] == [AttemptOutcome.ACCEPTED] * 3


def failing(*_given: object) -> int:
    raise OSError(errno.EIO, "Input/output error")


def test_a_journal_that_breaks_ends_the_pass_after_what_is_in_flight(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cannot keep goes into the store; nothing more may begin."""

    def answer(_message: Outgoing) -> Outcome:
        monkeypatch.setattr(os, "pwrite", failing)  # the disk under the journal; SQLite writes for itself
        return ACCEPTED

    judge.answer = answer
    ground.enqueue(3)
    report = ground.send_due()
    assert isinstance(report.failure, StoppedEarly)
    assert "cannot be written: Input/output error" in str(report.failure)
    assert (report.exit_code, ground.states()) == (ExitCode.STOPPED_EARLY, {"sent": 1, "queued": 2})
    monkeypatch.undo()


def test_a_pass_that_has_done_nothing_ends_with_its_error(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.enqueue(3)
    monkeypatch.setattr(os, "posix_fallocate", failing)
    with pytest.raises(Unreachable, match="has no room"):
        ground.send_due()
    assert ground.states() == {"queued": 3}


def test_a_pass_whose_provider_is_away_says_so_also_when_its_limit_is_reached(ground: Ground, judge: Judge) -> None:
    judge.answer = lambda _message: DOWN
    ground.enqueue(2)
    report = ground.send_due(limit=1)
    assert (report.work.ended, report.work.blocked) == ("blocked", "primary: refused")
    assert report.exit_code is ExitCode.UNREACHABLE


def test_a_pass_that_paused_a_campaign_needs_a_person(ground: Ground, judge: Judge) -> None:
    judge.answer = lambda _message: SENDER_REFUSED
    ground.enqueue(2)
    report = ground.send_due()
    assert (report.work.paused, report.exit_code) == (1, ExitCode.NEEDS_PERSON)


def test_a_pass_needs_no_more_than_pythons_own_loop(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop is an extra."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    ground.enqueue(3)
    assert ground.send_due().work.outcomes == {"accepted": 3}


# -- several ------------------------------------------------------------------------------------------------------


def test_a_defect_in_every_worker_is_said_and_what_they_hold_is_settled_by_the_next_pass(ground: Ground) -> None:
    ground.set(workers=2)
    ground.enqueue(4)
    kept = ground.one("SELECT controls FROM campaigns")
    ground.change("UPDATE campaigns SET controls = 'not JSON'")
    report = ground.send_due()
    assert (report.died, report.exit_code) == (2, ExitCode.STOPPED_EARLY)
    assert [stop.partition(": ")[2].partition(":")[0] for stop in report.work.stops] == ["JSONDecodeError"] * 2
    ground.change("UPDATE campaigns SET controls = :kept", kept=kept)
    assert ground.send_due().imported.runs == [report.run_id]
    assert len(ground.delivered()) == len(set(ground.delivered())) == 4


@contextmanager
def hearing_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in the program: requests to stop are heard. Ends with the handlers that were there before."""
    monkeypatch.setattr(stopping, "_asked", "")
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    stopping.listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_request_to_stop_that_comes_while_a_worker_is_born_reaches_it(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not yet among those to whom signals are passed on, and no more what it was when it was begun."""
    ground.set(workers=2)
    ground.enqueue(40, controls="batch_size = 1")
    fork, pids = os.fork, list[int]()

    def interrupted() -> int:
        pid = fork()
        if pid and not pids:
            signal.raise_signal(signal.SIGTERM)
        if not pid and not pids:  # however slow its parent is, it hears of it before it begins
            give_up_at = time.monotonic() + 20
            while not stopping.asked() and time.monotonic() < give_up_at:
                time.sleep(0.005)
        pids.append(pid)
        return pid

    with hearing_signals(monkeypatch), monkeypatch.context() as patch:
        patch.setattr(os, "fork", interrupted)
        report = ground.send_due()
    assert (len(pids), report.died) == (2, 0)
    assert (report.work.ended, report.exit_code) == ("drained", ExitCode.STOPPED_EARLY)
    assert ground.states().get("sending", 0) == 0
    monkeypatch.setattr(stopping, "_asked", "")
    assert ground.send_due().work.ended == "nothing due"
    assert len(ground.delivered()) == len(set(ground.delivered())) == 40
