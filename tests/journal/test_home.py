"""The journal folder: whose it is, and who is alive. kill -9 frees a run's lock, a stop or a live child keeps it."""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sendctl.errors import BadConfig, Unreachable
from sendctl.journal import home as homes
from sendctl.journal.home import Home, RunNote, boot_id, dead_run, held_lock, machine_id, note_of, open_home
from sendctl.journal.records import Header
from sendctl.journal.writer import JournalWriter
from tests.syncs import watched_syncs

NOTE = RunNote("store", "run1", "send-due", boot_id(), 1, "2026-03-02T09:00:00+00:00")

# A run in a process of its own: says "held", then does what it is told on standard input.
RUN = """
import os, sys
from pathlib import Path
from sendctl.journal.home import RunNote, held_lock, open_home
home = open_home(Path(sys.argv[1]))
with held_lock(home, RunNote("store", "run1", "send-due", "boot", os.getpid(), "2026")):
    child = os.fork() if sys.argv[2] == "with-child" else 1
    if child:
        print("held", child, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "journal")


@contextmanager
def running(home: Home, how: str = "alone") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A run in its own process, and its child's pid; both are ended."""
    program = [sys.executable, "-c", RUN, str(home.path), how]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, child = process.stdout.readline().split()
        assert word == "held"
        try:
            yield process, int(child)
        finally:
            process.kill()  # leaving the block closes standard input, at whose end a child ends by itself


def dead(home: Home, run_id: str = "run1") -> bool:
    with dead_run(home, run_id) as proven:
        return proven


def test_kill_nine_frees_the_lock(home: Home) -> None:
    with running(home) as (process, _):
        assert not dead(home)
        process.kill()
        process.wait()
        assert dead(home)


def test_a_stopped_process_keeps_it(home: Home) -> None:
    with running(home) as (process, _):
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert not dead(home)
        process.kill()
        process.wait()
        assert dead(home)


def test_a_run_lives_as_long_as_any_of_its_processes(home: Home) -> None:
    with running(home, "with-child") as (process, child):
        process.kill()
        process.wait()
        assert not dead(home)
        assert process.stdin is not None
        process.stdin.close()  # the child ends when the parent's standard input does
        watch = os.pidfd_open(child)
        assert select.select([watch], [], [], 30)[0]
        os.close(watch)
        assert dead(home)


def test_a_runs_note_is_whole_on_the_disk_before_it_has_its_name_and_its_name_before_the_run_begins(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = watched_syncs(home.path, monkeypatch)
    lock = home.lock_path("run1")
    with held_lock(home, NOTE):
        note, *_, folder = synced
        assert note.content == lock.read_bytes() != b""
        assert lock not in note.standing
        assert folder.path == home.path
        assert lock in folder.standing


def test_the_journal_folder_and_all_that_leads_there_keep_their_names_after_a_power_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = watched_syncs(tmp_path, monkeypatch)
    home = open_home(tmp_path / "state" / "journal")
    assert {sync.path for sync in synced if sync.path.is_dir()} == {tmp_path, tmp_path / "state"}
    synced.clear()
    assert open_home(home.path) == home
    assert not synced, "known by now: a pass with nothing to do waits for no disk"


def test_a_run_whose_note_cannot_get_its_name_says_so_and_leaves_nothing(home: Home) -> None:
    home.lock_path("run1").mkdir()
    (home.lock_path("run1") / "in-the-way").touch()
    with pytest.raises(Unreachable, match="cannot be written"), held_lock(home, NOTE):
        raise AssertionError("a run without a lock began")
    assert sorted(path.name for path in home.path.iterdir()) == ["host-id", "run1.lock"]


def test_a_run_whose_note_cannot_even_be_made_says_so(home: Home) -> None:
    (home.path / "host-id").unlink()
    home.path.rmdir()
    with pytest.raises(Unreachable, match="the journal folder"), held_lock(home, NOTE):
        pytest.fail("a run began without its note")


def test_a_store_file_is_somewhere_else_on_another_path_and_at_home_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    real = homes.place_of(f"sqlite:///{tmp_path}/real/store.db")
    assert homes.place_of(f"sqlite:///{tmp_path}/link/store.db") == real
    assert homes.place_of(f"sqlite:///{tmp_path}/store.db") != real
    assert machine_id() in real


def test_a_run_that_cannot_be_confirmed_says_what_is_safe(home: Home) -> None:
    home.done_path("run1").mkdir()
    with held_lock(home, NOTE), pytest.raises(Unreachable, match="cannot be written") as failure:
        home.confirm("run1")
    assert "what run run1 did is in the store" in failure.value.hint
    assert home.pending() == ["run1"], "the next pass confirms it"


def test_only_one_at_a_time_holds_a_dead_run(home: Home) -> None:
    with held_lock(home, NOTE):
        pass
    with dead_run(home, "run1") as first, dead_run(home, "run1") as second:
        assert (first, second) == (True, False)
    assert dead(home)


def test_of_many_at_once_one_gets_the_dead_run(home: Home) -> None:
    with held_lock(home, NOTE):
        pass
    barrier, done, won = threading.Barrier(8, timeout=60), threading.Barrier(8, timeout=60), []

    def look() -> None:
        barrier.wait()
        with dead_run(home, "run1") as proven:
            if proven:
                won.append(1)
            done.wait()

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [1]


def test_a_confirmed_run_is_neither_alive_nor_dead(home: Home) -> None:
    with held_lock(home, NOTE):
        home.confirm("run1")
    assert not dead(home)
    assert home.pending() == []
    assert home.confirmed() == ["run1"]
    assert note_of(home, "run1") == NOTE


def test_a_run_confirmed_while_we_looked_is_not_dead(home: Home) -> None:
    with held_lock(home, NOTE):
        pass
    before = home.lock_path("run1")
    before.rename(home.path / "kept")
    (home.path / "kept").rename(before)
    with dead_run(home, "run1") as proven:
        assert proven
        home.confirm("run1")
    assert not dead(home)


def test_confirmed_runs_stand_newest_first(home: Home) -> None:
    for index, run_id in enumerate(["a", "b", "c"]):
        with held_lock(home, RunNote("store", run_id, "send-due", "boot", 1, "2026")):
            home.confirm(run_id)
        os.utime(home.done_path(run_id), (index, index))
    assert home.confirmed() == ["c", "b", "a"]
    assert home.confirmed(2) == ["c", "b"]


def test_removing_a_run_takes_its_journals_along(home: Home) -> None:
    with held_lock(home, NOTE):
        home.confirm("run1")
    for worker in (0, 1):
        home.journal_path("run1", worker).write_bytes(b"x")
    home.journal_path("run2", 0).write_bytes(b"x")
    home.remove("run1")
    assert sorted(path.name for path in home.path.iterdir()) == ["host-id", "run2.0.journal"]


def test_the_host_keeps_its_identity_and_two_first_users_agree_on_it(tmp_path: Path) -> None:
    barrier, found = threading.Barrier(8, timeout=60), []

    def look() -> None:
        barrier.wait()
        found.append(open_home(tmp_path / "journal").host_id)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert found[0]
    assert [path.name for path in (tmp_path / "journal").iterdir()] == ["host-id"]


def test_folder_and_files_are_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        home = open_home(tmp_path / "journal")
        with held_lock(home, NOTE):
            pass
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [home.path, *home.path.iterdir()]}
    assert modes == {"journal": 0o700, "host-id": 0o600, "run1.lock": 0o600}


def test_a_link_or_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadConfig, match="not a plain folder"):
        open_home(tmp_path / "link")
    with pytest.raises(Unreachable, match="cannot be used"):
        open_home(tmp_path / "file")


def test_a_note_that_cannot_be_read_is_no_note(home: Home) -> None:
    assert note_of(home, "run1") is None
    for text in ("", "{}", "[1", '{"store_id": 1}'):
        home.lock_path("run1").write_text(text)
        assert note_of(home, "run1") is None


def test_a_boot_and_a_machine_have_a_name() -> None:
    assert boot_id() == boot_id() != ""
    assert machine_id() == machine_id() != ""


def test_the_first_witness_that_can_be_written_remembers(tmp_path: Path) -> None:
    blocked, second = tmp_path / "file" / "witness", tmp_path / "second"
    (tmp_path / "file").write_text("")  # no folder can be made below it
    home = open_home(tmp_path / "journal", (blocked, second))
    home.note_passes("store", 7)
    assert home.is_witnessed("store")
    (tmp_path / "journal" / "store.passes").write_text("3")
    assert home.seen_passes("store") == 7
    assert home.misses_passes("store")
    assert not open_home(tmp_path / "journal", (blocked,)).is_witnessed("store")


def test_a_witness_folder_that_is_no_folder_of_ours_is_not_believed(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    (real / "store.other.passes").write_text("9")
    link.symlink_to(real)
    assert open_home(tmp_path / "journal", (real,)).seen_passes("store") == 9
    assert open_home(tmp_path / "journal", (link,)).seen_passes("store") == 0


def test_without_a_boot_id_a_host_counts_as_rebooted_and_a_machine_has_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreadable(*_given: object, **_options: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", unreadable)
    assert homes.boot_id() == "unknown"
    assert homes.machine_id() == os.uname().nodename


def test_a_note_that_a_power_loss_tore_is_known_from_its_journal(home: Home) -> None:
    home.lock_path("run1").write_text('{"store_id": "st')
    (home.path / "run1.0.journal").touch()  # torn as well
    assert note_of(home, "run1") is None
    JournalWriter(home.journal_path("run1", 1), Header("store", "run1", 1, "host", "boot", "2026")).close()
    assert note_of(home, "run1") == RunNote("store", "run1", "send-due", "boot", 0, "2026")


def test_a_lock_file_that_cannot_be_used_is_an_error_that_names_it(home: Home) -> None:
    home.lock_path("run1").mkdir()
    with pytest.raises(Unreachable, match=r"run1\.lock cannot be used"):
        note_of(home, "run1")
    with pytest.raises(Unreachable, match=r"run1\.lock cannot be used"):
        dead(home)


def test_a_torn_note_begins_no_run_and_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, text: write(descriptor, text[:10]))
    with pytest.raises(Unreachable, match="the journal folder"), held_lock(home, NOTE):
        pass
    assert home.pending() == []
    assert [path.name for path in home.path.iterdir()] == ["host-id"]
