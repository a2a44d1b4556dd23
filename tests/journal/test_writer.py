"""The writer and its marks: a record stands before the bytes it announces leave, or they do not leave."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sendctl.clock import Deadline, Lease
from sendctl.errors import Unreachable
from sendctl.journal.records import Header, read
from sendctl.journal.writer import CHUNK_BYTES, AttemptMark, JournalWriter
from sendctl.passes.worker import Orders, Report, work
from sendctl.providers.base import ClaimExpired, Outcome, Phase
from sendctl.states import AttemptOutcome
from tests.store.ground import ACCEPTED, Ground, OwnedClock
from tests.syncs import watched_syncs

HEADER = Header("store", "run", 0, "host", "boot", "2026")

CRASHER = """
import os, signal, sys
from pathlib import Path
from sendctl.journal.records import Header
from sendctl.journal.writer import JournalWriter
journal = JournalWriter(Path(sys.argv[1]), Header("store", "run", 0, "host", "boot", "2026"))
journal.reserve(100)
for number in range(1, 51):
    journal.begin(number, 1, "claim", "key", "primary", "print", 1.0)
    journal.dot(number, 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.0.journal"


@pytest.fixture
def clock() -> OwnedClock:
    return OwnedClock()


def mark(path: Path, clock: OwnedClock, **changes: Any) -> tuple[AttemptMark, JournalWriter]:
    journal = JournalWriter(path, HEADER)
    values: dict[str, Any] = {
        "message_id": 1, "number": 1, "claim_id": "claim", "key": "key", "provider": "primary",
        "contents": "print", "composed_at": 1.0, "deadline": Deadline(clock.boot + 60, clock),
        "lease": Lease.of(300, clock), "deadline_s": 60.0,
    }  # fmt: skip
    return AttemptMark(journal, **(values | changes)), journal


def records_in(path: Path) -> list[list[Any]]:
    """The records as they stand in the file: a checksum, a space, JSON."""
    return [json.loads(line[9:]) for line in path.read_bytes().rstrip(b"\0").splitlines()]


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """A disk that is full: no file of this process grows beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_each_record_is_in_the_file_when_its_call_returns(path: Path, clock: OwnedClock) -> None:
    attempt, journal = mark(path, clock)
    assert len(records_in(path)) == 1
    attempt.begin()
    assert records_in(path)[-1][:6] == ["b", 1, 1, "claim", "key", "primary"]
    attempt.dot()
    assert records_in(path)[-1] == ["d", 1, 1]
    journal.outcome(1, 1, ACCEPTED)
    assert records_in(path)[-1][:4] == ["o", 1, 1, "accepted"]


def test_records_survive_kill_nine(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CRASHER, str(path)], timeout=60, check=False)
    assert done.returncode == -9
    journal = read(path)
    header, traces = journal.header, journal.traces
    assert header == HEADER
    assert len(traces) == 50
    assert all(trace.dotted for trace in traces.values())
    assert path.stat().st_size > CHUNK_BYTES


def test_what_was_written_is_on_the_disk_when_a_sync_returns(
    path: Path, clock: OwnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = watched_syncs(path.parent, monkeypatch)
    attempt, journal = mark(path, clock)
    header, name = synced  # without its header, or its name, a journal proves nothing after a power loss
    assert (header.path, header.content) == (path, path.read_bytes())
    assert name.path == path.parent
    assert path in name.standing
    attempt.begin()
    attempt.dot()
    journal.outcome(1, 1, ACCEPTED)
    journal.sync()
    assert synced[-1].path == path
    assert synced[-1].content.count(b"\n") == 4
    assert synced[-1].content == path.read_bytes()


def test_the_phase_says_how_far_bytes_may_have_got(path: Path, clock: OwnedClock) -> None:
    attempt, _ = mark(path, clock)
    assert attempt.phase is Phase.UNTOUCHED
    attempt.begin()
    assert attempt.phase is Phase.BEGUN
    attempt.dot()
    assert attempt.phase is Phase.DOTTED


def test_nothing_begins_when_the_deadline_no_longer_fits_into_the_claim(path: Path, clock: OwnedClock) -> None:
    attempt, _ = mark(path, clock, deadline=Deadline(clock.boot + 1000, clock))
    clock.forward(seconds=240.5)
    with pytest.raises(ClaimExpired):
        attempt.begin()
    assert attempt.phase is Phase.UNTOUCHED
    assert len(records_in(path)) == 1


@pytest.mark.parametrize(("deadline_s", "claim_s"), [(10, 300), (1000, 10)], ids=["deadline", "claim"])
def test_a_process_that_was_stopped_and_continued_sends_no_last_byte(
    path: Path, clock: OwnedClock, deadline_s: float, claim_s: float
) -> None:
    attempt, _ = mark(
        path, clock, deadline=Deadline(clock.boot + deadline_s, clock), lease=Lease.of(claim_s, clock), deadline_s=5.0
    )  # fmt: skip
    attempt.begin()
    clock.forward(seconds=10)
    with pytest.raises(ClaimExpired):
        attempt.dot()
    assert attempt.phase is Phase.BEGUN
    assert records_in(path)[-1][0] == "b"


def test_a_machine_that_was_paused_sends_no_last_byte(path: Path, clock: OwnedClock) -> None:
    """Its hypervisor stopped the boot clock too; the wall clock has been set right since."""
    attempt, _ = mark(path, clock)
    attempt.begin()
    clock.now += timedelta(seconds=300)
    with pytest.raises(ClaimExpired):
        attempt.dot()
    assert attempt.phase is Phase.BEGUN


def test_a_machine_that_was_paused_begins_nothing(path: Path, clock: OwnedClock) -> None:
    attempt, _ = mark(path, clock)
    clock.now += timedelta(seconds=241)
    with pytest.raises(ClaimExpired):
        attempt.begin()
    assert attempt.phase is Phase.UNTOUCHED


def test_a_wall_clock_set_back_does_not_lengthen_a_claim(path: Path, clock: OwnedClock) -> None:
    attempt, _ = mark(path, clock, deadline=Deadline(clock.boot + 1000, clock))
    attempt.begin()
    clock.now -= timedelta(hours=5)
    clock.boot += 300
    with pytest.raises(ClaimExpired):
        attempt.dot()


@pytest.mark.parametrize(("deadline_s", "claim_s"), [(10, 300), (1000, 10)], ids=["deadline", "claim"])
def test_a_stop_between_the_record_and_the_byte_still_holds_the_byte_back(
    path: Path, clock: OwnedClock, deadline_s: float, claim_s: float
) -> None:
    attempt, journal = mark(
        path, clock, deadline=Deadline(clock.boot + deadline_s, clock), lease=Lease.of(claim_s, clock), deadline_s=5.0
    )  # fmt: skip
    attempt.begin()
    write = journal.dot

    def stopped(message_id: int, number: int) -> None:
        write(message_id, number)
        clock.forward(seconds=10)  # to the very end

    journal.dot = stopped  # type: ignore[method-assign]  # the machine sleeps right after the write
    with pytest.raises(ClaimExpired):
        attempt.dot()
    assert attempt.phase is Phase.BEGUN


def test_nothing_begins_past_its_deadline_however_long_the_claim_is(path: Path, clock: OwnedClock) -> None:
    attempt, _ = mark(path, clock, lease=Lease.of(3600, clock))
    clock.forward(seconds=60)
    with pytest.raises(ClaimExpired):
        attempt.begin()
    assert attempt.phase is Phase.UNTOUCHED


def test_a_claim_and_a_deadline_are_used_to_their_last_moment(path: Path, clock: OwnedClock) -> None:
    attempt, _ = mark(path, clock, deadline=Deadline(clock.boot + 299.5, clock))
    clock.forward(seconds=240)  # the 60 seconds of one message still fit
    attempt.begin()
    clock.forward(seconds=59)
    attempt.dot()
    assert attempt.phase is Phase.DOTTED


def test_a_record_that_cannot_be_written_holds_the_bytes_back(path: Path, clock: OwnedClock) -> None:
    attempt, journal = mark(path, clock)
    attempt.begin()
    with no_file_larger_than(path.stat().st_size + 3), pytest.raises(ClaimExpired):
        attempt.dot()
    assert attempt.phase is Phase.BEGUN
    assert "cannot be written" in journal.broken


def test_an_outcome_that_cannot_be_written_is_no_error_but_ends_the_run(path: Path, clock: OwnedClock) -> None:
    attempt, journal = mark(path, clock)
    attempt.begin()
    attempt.dot()
    with no_file_larger_than(path.stat().st_size):
        journal.outcome(1, 1, ACCEPTED)
    assert journal.broken


def test_reserved_space_holds_a_windows_records_on_a_full_disk(path: Path) -> None:
    journal = JournalWriter(path, HEADER)
    journal.reserve(20)
    outcome = Outcome(AttemptOutcome.DEFERRED, Phase.REPLIED, text="\ufffd" * 400)
    with no_file_larger_than(path.stat().st_size):
        for number in range(20):
            journal.begin(number, 1, "c" * 16, "k" * 32, "primary", "f" * 16, 1.0)
            journal.dot(number, 1)
            journal.outcome(number, 1, outcome)
    assert not journal.broken
    journal.close()
    assert len(read(path).traces) == 20
    assert path.read_bytes().endswith(b"\n")


def test_no_room_means_unreachable_before_anything_is_claimed(path: Path) -> None:
    journal = JournalWriter(path, HEADER)
    with no_file_larger_than(4096), pytest.raises(Unreachable, match="has no room"):
        journal.reserve(10)


def test_a_pass_without_room_for_its_journal_claims_nothing(sqlite_ground: Ground) -> None:
    sqlite_ground.enqueue(3)
    sqlite_ground.clerk(run_id="run")
    before = sqlite_ground.dump()
    orders = Orders("run", 0, sqlite_ground.one("SELECT store_id FROM store"))
    with no_file_larger_than(64 * 1024), pytest.raises(Unreachable, match="has no room"):
        work(sqlite_ground.context, orders, Report())
    assert sqlite_ground.dump() == before


def test_a_journal_is_never_opened_over_another(path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(Unreachable):
        JournalWriter(path, HEADER)
    assert path.read_bytes() == b"precious"


def test_a_journal_is_its_owners_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        JournalWriter(path, HEADER).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_room_that_is_there_is_not_taken_again(path: Path) -> None:
    journal = JournalWriter(path, HEADER)
    journal.reserve(10)
    size = path.stat().st_size
    journal.reserve(5)
    journal.reserve(20)
    assert path.stat().st_size == size
    journal.close()
