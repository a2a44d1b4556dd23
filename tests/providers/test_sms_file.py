"""The provider `file`: a whole durable line is an acceptance, nothing else is, and absence is a proof."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sendctl.clock import Deadline, SystemClock
from sendctl.providers.base import Lookup, Outcome, Outgoing, Phase, ProvesAbsence, Scope
from sendctl.providers.sms_file import SmsFileProvider
from sendctl.states import AttemptOutcome
from tests.providers.seeking import sought

NOW = datetime.now(UTC)
KEYS = [f"{number:032x}" for number in range(1, 100)]


class Mark:
    """Keeps what it is told; `at_dot` is done when the last byte is about to leave."""

    def __init__(self, at_dot: object = None) -> None:
        self.said: list[str] = []
        self._at_dot = at_dot

    def begin(self) -> None:
        self.said.append("begin")

    def dot(self) -> None:
        self.said.append("dot")
        if callable(self._at_dot):
            self._at_dot()


def message(key: str = KEYS[0], text: str = "Grüße\n2. Zeile", attempt: int = 1) -> Outgoing:
    return Outgoing(1, attempt, key, "texts", "Shop", "+4930123456", text.encode())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sms.jsonl"


def submit(path: Path, sent: Outgoing | None = None, mark: Mark | None = None, within_s: float = 30.0) -> Outcome:
    clock = SystemClock()
    deadline = Deadline(clock.boot_s() + within_s, clock)
    return asyncio.run(SmsFileProvider("texts", path).submit(sent or message(), deadline, mark or Mark()))


def unproven(path: Path, since: datetime = NOW) -> str:
    return SmsFileProvider("texts", path).absence_unproven(since)


def test_a_message_is_one_line_of_json_that_is_found_by_its_key(path: Path) -> None:
    provider = SmsFileProvider("texts", path)
    assert isinstance(provider, Lookup)
    assert isinstance(provider, ProvesAbsence)
    mark = Mark()
    outcome = submit(path, mark=mark)
    assert (outcome.kind, outcome.phase, outcome.provider_message_id) == (
        AttemptOutcome.ACCEPTED,
        Phase.REPLIED,
        KEYS[0],
    )
    assert mark.said == ["begin", "dot"]
    submit(path, message(KEYS[1], '{"key":"' + KEYS[2] + '",'))
    lines = path.read_text().splitlines()
    first = json.loads(lines[0])
    assert first.pop("at").endswith("Z")
    assert first == {"key": KEYS[0], "from": "Shop", "to": "+4930123456", "text": "Grüße\n2. Zeile"}
    assert len(lines) == 2
    # Not the one that a text quotes.
    assert [provider.find(sought(key)) for key in KEYS[:3]] == [KEYS[0], KEYS[1], None]
    assert unproven(path) == ""
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_a_torn_line_is_no_message_and_is_cut_off_by_the_next(path: Path) -> None:
    submit(path)
    whole = path.read_bytes()
    line = whole.replace(KEYS[0].encode(), KEYS[1].encode())
    for torn in (line[:1], line[:40], line[:-1]):  # the last lacks nothing but its line feed
        path.write_bytes(whole + torn)
        assert SmsFileProvider("texts", path).find(sought(KEYS[1])) is None
        assert unproven(path) == ""
        assert submit(path, message(KEYS[2])).kind is AttemptOutcome.ACCEPTED
        assert [json.loads(each)["key"] for each in path.read_text().splitlines()] == [KEYS[0], KEYS[2]]
        os.truncate(path, len(whole))
        (path.parent / "sms.jsonl.lock").unlink()
        path.unlink()
        submit(path)
        whole = path.read_bytes()


def test_a_second_attempt_of_a_key_that_is_there_writes_nothing(path: Path) -> None:
    submit(path)
    before = path.read_bytes()
    mark = Mark()
    assert submit(path, message(attempt=2), mark).kind is AttemptOutcome.ACCEPTED
    assert (path.read_bytes(), mark.said) == (before, ["begin", "dot"])


def _rename(path: Path) -> None:
    path.rename(path.with_name("old"))


def _copy_and_shorten(path: Path) -> None:
    os.truncate(path, 0)


def _older_copy(path: Path) -> None:
    path.write_text(path.read_text().splitlines(keepends=True)[0])


def _rewritten(path: Path) -> None:
    path.write_text(path.read_text().replace(KEYS[1], KEYS[3]))


@pytest.mark.parametrize("harm", [Path.unlink, _rename, _copy_and_shorten, _older_copy, _rewritten])
def test_a_file_that_is_not_what_it_was_proves_no_absence(path: Path, harm: object) -> None:
    submit(path)
    submit(path, message(KEYS[1]))
    assert unproven(path) == ""
    harm(path)  # type: ignore[operator]
    assert "was removed, replaced or shortened" in unproven(path)
    assert submit(path, message(KEYS[4])).kind is AttemptOutcome.ACCEPTED
    assert "watched only since" in unproven(path)  # of the time before nobody knows any more
    assert unproven(path, datetime.now(UTC) + timedelta(hours=2)) == ""


def test_a_file_that_was_there_before_it_was_watched_proves_nothing_of_that_time(path: Path) -> None:
    path.write_text('{"key":"x"}\n')
    submit(path)
    assert "watched only since" in unproven(path)
    (path.parent / "sms.jsonl.lock").write_text("{")
    submit(path, message(KEYS[1]))
    assert "watched only since" in unproven(path)
    assert len(path.read_text().splitlines()) == 3


def test_what_only_an_operator_can_mend_halts_before_anything_is_begun(path: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "binary").write_bytes(bytes(range(1, 9)) * 10000)
    places = ("folder", "pipe", "link", "binary", "absent/sms.jsonl", "target/sms.jsonl")
    for place in places:
        mark = Mark()
        outcome = submit(tmp_path / place, mark=mark)
        assert (outcome.kind, outcome.phase, outcome.scope) == (
            AttemptOutcome.HALTED, Phase.UNTOUCHED, Scope.PROVIDER
        ), place  # fmt: skip
        assert mark.said == []
        assert outcome.text
    assert (tmp_path / "target").read_bytes() == b""
    assert (tmp_path / "binary").stat().st_size == 80000


def test_a_full_disk_is_definite_non_acceptance_and_leaves_no_piece(path: Path) -> None:
    submit(path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30, hard))  # room for a part of the line

    try:
        outcome = submit(path, message(KEYS[1]), Mark(full))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert (outcome.kind, outcome.phase) == (AttemptOutcome.DEFERRED, Phase.REPLIED)
    assert os.strerror(errno.EFBIG) in outcome.text
    assert path.read_bytes() == before
    assert SmsFileProvider("texts", path).find(sought(KEYS[1])) is None
    assert unproven(path) == ""
    assert submit(path, message(KEYS[1])).kind is AttemptOutcome.ACCEPTED


def test_a_line_whose_durability_is_unknown_is_in_doubt(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(path)

    def broken(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    outcome = submit(path, message(KEYS[1]))
    assert (outcome.kind, outcome.phase) == (AttemptOutcome.UNKNOWN, Phase.DOTTED)
    with pytest.raises(OSError, match="Input/output"):
        SmsFileProvider("texts", path).find(sought(KEYS[1]))  # it cannot be made durable: no proof


def test_who_holds_the_lock_is_waited_for_until_the_deadline(path: Path) -> None:
    submit(path)
    with (path.parent / "sms.jsonl.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcome = submit(path, message(KEYS[1]), within_s=0.02)
        assert (outcome.kind, outcome.phase) == (AttemptOutcome.DEFERRED, Phase.UNTOUCHED)
        assert "another process holds it" in outcome.text
    assert submit(path, message(KEYS[1])).kind is AttemptOutcome.ACCEPTED


WRITER = """
import sys, tests.providers.test_sms_file as t
from pathlib import Path
for key in t.KEYS[int(sys.argv[2]) :: 3]:
    assert t.submit(Path(sys.argv[1]), t.message(key, "x" * 3000)).kind == "accepted"
"""


def test_processes_at_once_write_whole_lines_each_once(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(part)]) for part in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert sorted(json.loads(line)["key"] for line in path.read_text().splitlines()) == KEYS
    assert unproven(path) == ""
