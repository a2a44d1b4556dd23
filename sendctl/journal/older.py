"""Runs that ended some time ago leave the folder that every pass looks through, so that a look costs the same for ever.

A host that sends every minute has the journals of tens of thousands of runs after a month. They lie in a folder for
each day, until `reconcile` removes the days that are older than any backup.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from sendctl.journal.disk import not_writable, sync_folder
from sendctl.journal.home import Home, note_of

MANY = 64  # ended runs among which a pass may look; what is over that is moved, some at once
NEWEST = 8  # of each store, which stay: passes ask the store whether it still knows them


def put_away(home: Home) -> int:
    """Move runs that ended, but for the newest of each store, once there are many; returns how many.

    Each file gets its second name before it loses its first, so that a kill or a power loss in between costs nothing.
    Does nothing while journals are being read. Raises Unreachable.
    """
    if home.count_confirmed() <= MANY:
        return 0
    with _folder(home, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
        away = _all_but_newest(home) if held else []
        try:
            _move(home, away)
        except OSError as error:
            raise not_writable(f"the journal folder {home.path}", error) from error
    return len(away)


def _all_but_newest(home: Home) -> list[str]:
    seen: Counter[str] = Counter()
    away = []
    for run_id in home.confirmed():
        note = note_of(home, run_id)
        store_id = note.store_id if note is not None else ""
        seen[store_id] += 1
        if seen[store_id] > NEWEST:
            away.append(run_id)
    return away


def _move(home: Home, run_ids: list[str]) -> None:
    if not run_ids:
        return
    days = {run_id: home.older / _day(home, run_id) for run_id in run_ids}
    with os.scandir(home.path) as entries:
        found = [(one.name, days.get(one.name.partition(".")[0])) for one in entries]
    moves = [(name, day) for name, day in found if day is not None and name.endswith((".done", ".journal"))]
    for day in set(days.values()):
        day.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, day in moves:
        with suppress(FileExistsError):  # a move that was cut short
            os.link(home.path / name, day / name)
    for folder in (*sorted(set(days.values())), home.older, home.path):  # files, and the names of new folders
        sync_folder(folder)
    for name, _ in moves:
        (home.path / name).unlink()


def _day(home: Home, run_id: str) -> str:
    """The day on which a run ended, in UTC."""
    return datetime.fromtimestamp(home.done_path(run_id).stat().st_mtime, UTC).date().isoformat()


def remove_before(home: Home, cutoff: datetime) -> int:
    """Forget runs that ended before then; those put away by whole days. Returns how many.

    Does nothing while runs are being moved, or their journals read: the next one does it.
    """
    with _folder(home, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
        return _remove_before(home, cutoff) if held else 0


def _remove_before(home: Home, cutoff: datetime) -> int:
    old = [run_id for run_id, ended_ns in home.ended_in(home.path).items() if ended_ns / 1e9 < cutoff.timestamp()]
    for run_id in old:
        home.remove(run_id)
    removed = len(old)
    for day in home.older_days():
        if day.name >= cutoff.date().isoformat():
            break
        removed += len(home.ended_in(day))
        for path in day.iterdir():
            path.unlink()
        day.rmdir()
    return removed


@contextmanager
def reading(home: Home) -> Iterator[None]:
    """Nothing is put away meanwhile: for whoever reads the journals of runs that ended."""
    with _folder(home, fcntl.LOCK_SH):
        yield


@contextmanager
def _folder(home: Home, how: int) -> Iterator[bool]:
    """Whether the folder is locked: no pass holds it for long, and no run is alive by it."""
    descriptor = os.open(home.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)
