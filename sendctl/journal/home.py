"""The journal folder of a host: its identity, the run locks that tell the living from the dead, the old files.

`RUN.lock` is held with flock by the run and its worker processes: kill -9 frees it, SIGSTOP does not. `RUN.done`
is the same file after the store has confirmed the run's end. `RUN.N.journal` belongs to worker N. Runs that ended
some time ago lie in `older`, out of the way (older.py).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sendctl.errors import BadConfig, Unreachable
from sendctl.journal.disk import not_writable, sync_folder
from sendctl.journal.memory import Memory, is_ours
from sendctl.settings.model import MOST_WORKERS

KEEP_JOURNALS_S = 30 * 86400.0  # of runs that the store has confirmed: no backup put back is older


def boot_id() -> str:
    """The kernel's id of this boot; "unknown" where there is none, which counts as rebooted."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def machine_id() -> str:
    """What this machine is: its machine id, else its host name (a container without an id changes it each time)."""
    try:
        return Path("/etc/machine-id").read_text().strip() or os.uname().nodename
    except OSError:
        return os.uname().nodename


def place_of(url: str) -> str:
    """What a SQLite store is bound to: this machine and the file's real path, so that a copy beside it stays quiet."""
    return f"{machine_id()}:{os.path.realpath(url.removeprefix('sqlite:///'))}"


@dataclass(frozen=True, slots=True)
class Home(Memory):
    """An open journal folder."""

    def lock_path(self, run_id: str) -> Path:
        return self.path / f"{run_id}.lock"

    def done_path(self, run_id: str) -> Path:
        return self.path / f"{run_id}.done"

    def journal_path(self, run_id: str, worker: int) -> Path:
        return self.path / f"{run_id}.{worker}.journal"

    @property
    def older(self) -> Path:
        """Where runs lie that ended some time ago, in a folder for each day; made with the first of them."""
        return self.path / "older"

    def older_days(self) -> list[Path]:
        """The folders of those days, the first day first."""
        return sorted(day for day in self.older.iterdir() if day.is_dir()) if self.older.is_dir() else []

    def older_day(self, run_id: str) -> Path | None:
        """The folder that a run lies in since it was put away."""
        done = self.done_path(run_id).name
        return next((day for day in self.older_days() if (day / done).exists()), None)

    def journals(self, run_id: str) -> list[Path]:
        """The journals of a run, by worker."""
        found = {path.name: path for path in self.path.glob(f"{run_id}.*.journal")}
        if not self.lock_path(run_id).exists() and (day := self.older_day(run_id)) is not None:
            for name in (self.journal_path(run_id, worker).name for worker in range(MOST_WORKERS)):
                if name not in found and (day / name).exists():
                    found[name] = day / name
        return [found[name] for name in sorted(found)]

    def _named(self, ending: str, folder: Path | None = None) -> Iterator[os.DirEntry[str]]:
        with os.scandir(folder or self.path) as entries:
            yield from (entry for entry in entries if entry.name.endswith(ending))

    def pending(self) -> list[str]:
        """Ids of runs whose end the store has not confirmed: alive, or dead."""
        return sorted(entry.name.removesuffix(".lock") for entry in self._named(".lock"))

    def confirmed(self, newest: int = 0) -> list[str]:
        """Ids of confirmed runs that are not put away, newest first; all, or the `newest` few."""
        moments = self.ended_in(self.path)
        done = sorted(moments, key=lambda run_id: moments[run_id], reverse=True)
        return done[:newest] if newest else done

    def count_confirmed(self) -> int:
        """How many of them there are."""
        return sum(1 for _ in self._named(".done"))

    def has_ended(self, run_id: str) -> bool:
        """Whether a run is confirmed, put away or not."""
        return self.done_path(run_id).exists() or self.older_day(run_id) is not None

    def all_confirmed(self) -> list[str]:
        """Ids of all confirmed runs, those put away too, in no order."""
        return [*{run_id for folder in (self.path, *self.older_days()) for run_id in self.ended_in(folder)}]

    def ended_in(self, folder: Path) -> dict[str, int]:
        """When each run of a folder ended, in nanoseconds since 1970, by id."""
        moments = {}
        for entry in self._named(".done", folder):
            with suppress(FileNotFoundError):  # removed meanwhile: it was old
                moments[entry.name.removesuffix(".done")] = entry.stat().st_mtime_ns
        return moments

    def confirm(self, run_id: str) -> None:
        """The store has the run's end: its journals matter only for a rewind from now on. Raises Unreachable.

        A lock file that stays is harmless: the next pass finds the run ended, and confirms it again.
        """
        try:
            os.utime(self.lock_path(run_id))
            self.lock_path(run_id).replace(self.done_path(run_id))
        except OSError as error:
            raise Unreachable(
                f"the journal folder {self.path} cannot be written: {error.strerror}",
                hint=f"what run {run_id} did is in the store; mend the disk, then run again.",
            ) from error

    def remove(self, run_id: str) -> None:
        """Forget a confirmed run that is not put away. The journals go first: a lock without them proves nothing."""
        for path in self.journals(run_id):
            path.unlink(missing_ok=True)
        self.done_path(run_id).unlink(missing_ok=True)


def open_home(path: Path, witnesses: Sequence[Path] = ()) -> Home:
    """Open the journal folder, 0700, made on first use. Raises BadConfig or Unreachable when it cannot be used."""
    try:
        _make_folder(path)
        if path.is_symlink() or not path.is_dir():
            raise BadConfig(f"the journal folder {path} is not a plain folder", hint="mend [journal] path.")
        identity = path / "host-id"
        if not identity.exists():
            from sendctl.identity import new_id  # noqa: PLC0415  most passes make no id, and all would pay for it

            _write_once(identity, new_id())
        return Home(path, identity.read_text().strip(), tuple(filter(is_ours, witnesses)))
    except OSError as error:
        raise Unreachable(
            f"the journal folder {path} cannot be used: {error.strerror}", hint="mend its owner, mode or disk."
        ) from error


def _make_folder(path: Path) -> None:
    """Make it with all that leads there, and their names durable: journals in a folder without a name are lost."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


def _write_once(path: Path, text: str) -> None:
    """Create a small file, whole or not at all; the first of two writers wins."""
    from sendctl.identity import new_id  # noqa: PLC0415  most passes make no id, and all would pay for it

    temporary = path.with_name(f".{path.name}.{new_id()}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


@dataclass(frozen=True, slots=True)
class RunNote:
    """What a lock file says about its run."""

    store_id: str
    run_id: str
    command: str
    boot_id: str
    pid: int
    started_at: str  # ISO 8601, UTC


def note_of(home: Home, run_id: str) -> RunNote | None:
    """The note of a pending or confirmed run; None when it is gone or not ours to read."""
    for path in _notes(home, run_id):
        try:
            return RunNote(**json.loads(path.read_text()))
        except FileNotFoundError:
            continue
        except (ValueError, TypeError):
            return _note_of_journal(home, run_id)  # torn by a power loss
        except OSError as error:
            raise _unusable(path, error) from error
    return None


def _notes(home: Home, run_id: str) -> Iterator[Path]:
    """Where a run's note may stand."""
    yield home.lock_path(run_id)
    yield home.done_path(run_id)
    day = home.older_day(run_id)
    if day is not None:
        yield day / home.done_path(run_id).name


def _note_of_journal(home: Home, run_id: str) -> RunNote | None:
    for path in home.journals(run_id):
        from sendctl.journal import records  # noqa: PLC0415  the pass with nothing due reads no journal

        header = records.read(path).header
        if header is not None:
            return RunNote(header.store_id, run_id, "send-due", header.boot_id, 0, header.started_at)
    return None


def _unusable(path: Path, error: OSError) -> Unreachable:
    return Unreachable(
        f"{path} cannot be used: {error.strerror}",
        hint=f"passes run as different users? give the folder to one: chown -R USER {path.parent}",
    )


@contextmanager
def held_lock(home: Home, note: RunNote) -> Iterator[int]:
    """Hold a new run's lock. Children that inherit the descriptor keep it held after a kill of this process."""
    run_id = note.run_id
    temporary = home.path / f".{run_id}.new"
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        text = json.dumps(asdict(note)).encode()
        if os.write(descriptor, text) != len(text):  # a torn note would hide the journals of this run
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)  # also after a power loss
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise not_writable(f"the journal folder {home.path}", error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _publish(home, temporary, run_id)
        yield descriptor
    finally:
        os.close(descriptor)


def _publish(home: Home, temporary: Path, run_id: str) -> None:
    """Give a held lock its name: nobody ever sees it unlocked while its run lives. Raises Unreachable."""
    try:
        temporary.replace(home.lock_path(run_id))
        sync_folder(home.path)
    except OSError as error:
        for path in (temporary, home.lock_path(run_id)):
            with suppress(OSError):  # of a run that the store has never heard of: the next pass removes it
                path.unlink()
        raise not_writable(f"the journal folder {home.path}", error) from error


@contextmanager
def dead_run(home: Home, run_id: str) -> Iterator[bool]:
    """Whether the run is proven dead; while True its lock is ours, so that only one process imports it."""
    try:
        descriptor = os.open(home.lock_path(run_id), os.O_RDWR)
    except FileNotFoundError:
        yield False  # confirmed by someone else meanwhile
        return
    except OSError as error:
        raise _unusable(home.lock_path(run_id), error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield home.lock_path(run_id).exists()
    finally:
        os.close(descriptor)
