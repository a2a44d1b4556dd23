"""A disk with 64 KB left, mounted read-only, or closed by its modes: under the store, the journals, or both.

The whole life is tried on it: enqueue, passes until it is full, repairs, space again, and everybody gets what is due.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash.accounts import must
from tests.crash.world import World
from tests.faults import mounts
from tests.faults.ground import DOCUMENTED, Line, close_account, enqueue, new_ground
from tests.faults.power import integrity
from tests.faults.traffic import VERBS

LEFT_BYTES, ENOUGH_BYTES = 64 * 1024, 32 * 1024 * 1024
PEOPLE, MORE = 60, 400
UNREACHABLE = 69
# Where the small disk lies: under the store (SQLite only), the journals, or both.
BOTH = {"SENDCTL_JOURNAL_PATH": "{folder}/disk/journal", "SENDCTL_JOURNAL_WITNESS": "{folder}/disk/witness"}
UNDER = {"store": ("disk/store.db", {}), "journals": ("store.db", BOTH), "both": ("disk/store.db", BOTH)}


def full_disk(store_url: str, under: str) -> Line:
    """64 KB are left, then they are not, then there is space again."""
    with _on_a_disk(store_url, under, f"64 KB of disk under {under}", "refusals") as (world, line, disk):
        _begin(world)
        mounts.leave_free(disk, LEFT_BYTES)
        codes = Counter[int]()
        for verb in ("send-due", "enqueue", "reconcile", "send-due", "recover", "send-due", "enqueue", "send-due"):
            codes[_tried(world, line, _arguments(world, verb))] += 1
        mounts.resize(disk, ENOUGH_BYTES)
        assert world.run("send-due", "--limit", "7", failpoint="provider.replied:kill:3").code == -signal.SIGKILL
        mounts.leave_free(disk, LEFT_BYTES)  # now with a dead run to take up
        for verb in ("send-due", "reconcile", "recover", "send-due"):
            codes[_tried(world, line, _arguments(world, verb))] += 1
        mounts.resize(disk, ENOUGH_BYTES)
        line.hits = codes[UNREACHABLE]
        line.note = ", ".join(f"{number} x exit {code}" for code, number in sorted(codes.items()))
    return line


def read_only(store_url: str, under: str) -> Line:
    """Mounted read-only, then closed by its modes: nothing is claimed, nothing leaves, one clear error."""
    with _on_a_disk(store_url, under, f"read-only disk under {under}", "refusals") as (world, line, disk):
        _begin(world)
        assert world.run("send-due", "--limit", "7", failpoint="provider.replied:kill:3").code == -signal.SIGKILL
        for close, open_again in (_mounting(disk), _modes(disk)):
            before = world.accepted()
            close()
            for verb in ("send-due", "reconcile", "recover", "enqueue"):
                code = _tried(world, line, _arguments(world, verb))
                line.hits += code == UNREACHABLE
                if code != UNREACHABLE and (verb != "enqueue" or under != "journals"):
                    line.wrong.append(f"{verb} ended with {code} where nothing can be written")
            open_again()
            if world.accepted() != before:
                line.wrong.append("something left although nothing can be written")
    return line


@contextmanager
def _on_a_disk(store_url: str, under: str, part: str, unit: str) -> Iterator[tuple[World, Line, Path]]:
    """A world with people enqueued, some of it on a disk of its own; at the end everybody must get what is due."""
    begun_s = time.monotonic()
    line = Line(part, "postgres" if store_url else "sqlite", unit)
    place, environ = UNDER[under]
    mounts.leave_the_machines()
    with new_ground(
        store_url, contacts=PEOPLE, enqueued=False, store=place, environ=environ, mounted=_mounted
    ) as world:
        try:
            yield world, line, world.folder / "disk"
            _write_more(world)
            must(world, *enqueue(world), codes=(0,))
            close_account(world, line, PEOPLE + MORE)
            if not store_url and (found := integrity(world.folder / place)) != "ok":
                line.wrong.append(f"integrity_check: {found}")
        finally:
            mounts.take_away(world.folder / "disk")
    line.seconds = time.monotonic() - begun_s


def _begin(world: World) -> None:
    """Everybody is enqueued, and a first pass has made the journal folder."""
    must(world, *enqueue(world), codes=(0,))
    must(world, "send-due", "--limit", "3", codes=(0,))


def _mounted(folder: Path) -> None:
    mounts.small_disk(folder / "disk", ENOUGH_BYTES)


def _write_more(world: World) -> None:
    """A longer contacts file."""
    rows = [f"person{number}@example.com,Person {number}" for number in range(PEOPLE + MORE)]
    (world.folder / "contacts.csv").write_text("\n".join(["email,first_name", *rows]) + "\n")


def _arguments(world: World, verb: str) -> tuple[str, ...]:
    if verb == "enqueue":
        _write_more(world)
        return enqueue(world)
    return VERBS[verb]


def _tried(world: World, line: Line, arguments: tuple[str, ...]) -> int:
    ended = world.run(*arguments)
    if ended.code not in DOCUMENTED or "Traceback" in ended.err:
        line.wrong.append(f"{line.part}: {arguments[0]}: {ended}")
    return ended.code


Deed = Callable[[], None]


def _mounting(disk: Path) -> tuple[Deed, Deed]:
    return (lambda: mounts.set_read_only(disk, True)), (lambda: mounts.set_read_only(disk, False))


def _modes(disk: Path) -> tuple[Deed, Deed]:
    """Folders and files without the right to write: commands of the tests lack root's right to ignore that."""
    paths = [disk, *disk.rglob("*")]

    def set_modes(mask: int) -> None:
        for path in paths:
            if path.exists():
                path.chmod((0o700 if path.is_dir() else 0o600) & mask)

    return (lambda: set_modes(0o500)), (lambda: set_modes(0o700))
