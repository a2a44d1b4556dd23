"""Power loss: the deeds of real commands on their files, and each disk that a power loss may leave, judged.

Every image is opened by the real commands, and put right by them alone. Who was accepted is told by what had left
before the power went, and by the judge for what the image's own commands send.
"""

from __future__ import annotations

import copy
import re
import shutil
import signal
import sqlite3
import tempfile
import time
import zlib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from sendctl.journal.home import boot_id
from tests.crash.accounts import must
from tests.crash.world import BATCH_SIZE, World
from tests.faults.disk import WAYS, Disk, Keep
from tests.faults.disk_log import OPTIONS, Op, Reader
from tests.faults.ground import Line, enqueue, new_ground
from tests.kill.tracing import traced

EARLIER_BOOT = "00000000-0000-4000-8000-000000000000"
# Folders of their own, so that no fsync of one makes the other's names safe by accident.
PLACES = {"SENDCTL_JOURNAL_PATH": "{folder}/disk/host/journal", "SENDCTL_JOURNAL_WITNESS": "{folder}/disk/home/witness"}
_RECORD = re.compile(rb"[0-9a-f]{8} ([^\n]*)\n")


@dataclass(frozen=True, slots=True)
class Promise:
    """What a command had made of people by its end: whether all are listed, and who is sent."""

    listed: bool = False
    sent: frozenset[str] = frozenset()


@dataclass
class Recording:
    """Deeds in order, and what was promised after so many of them."""

    start: Disk
    ops: list[Op] = field(default_factory=list)
    promises: list[tuple[int, Promise]] = field(default_factory=list)

    def now(self) -> Disk:
        """The disk after all deeds."""
        disk = copy.deepcopy(self.start)
        for op in self.ops:
            disk.apply(op)
        return disk

    def promised_before(self, cut: int) -> Promise:
        """The last one that was made by then."""
        return [promise for at, promise in [(0, Promise()), *self.promises] if at <= cut][-1]


def power_loss(people: int, images: int, seed: int = 0) -> Line:
    """About so many images, spread over all moments of enqueue, passes, one of them killed, and a reconcile."""
    line = Line(f"power loss, {people} people", "sqlite", "images")
    with new_ground("", contacts=people, enqueued=False, store="disk/data/store.db", environ=PLACES) as world:
        root = world.folder / "disk"
        (root / "host").mkdir()
        (root / "home").mkdir()
        recording = _record(world, root, people)
        line.people = people
        _try_all(world, root, recording, line, images, seed)
        line.note = f"{len(recording.ops):,} system calls, {line.rewinds} images taken for rewound"
    return line


# -- recording ----------------------------------------------------------------------------------------------------


def _record(world: World, root: Path, people: int) -> Recording:
    recording = Recording(Disk.of(root))
    some = str(max(2 * BATCH_SIZE, people // 3))
    _trace(world, root, recording, *enqueue(world))
    _trace(world, root, recording, "send-due", "--limit", some)
    _trace(world, root, recording, "send-due", "--limit", some, failpoint="provider.replied:kill:7")
    _trace(world, root, recording, "reconcile")
    _trace(world, root, recording, "send-due")
    return recording


def recorded(world: World, root: Path, *arguments: str, failpoint: str = "") -> list[Op]:
    """Run a command; what it did to the files below a folder, and whose message left."""
    log = world.folder / "strace.out"
    ended = traced(world, ["-o", str(log), *OPTIONS], *arguments, environ={"SENDCTL_FAILPOINT": failpoint})
    assert ended.code in ((-signal.SIGKILL,) if failpoint else (0, 3)), ended
    return list(Reader(root).read(log))


def _trace(world: World, root: Path, recording: Recording, *arguments: str, failpoint: str = "") -> None:
    found = recorded(world, root, *arguments, failpoint=failpoint)
    recording.ops += [_before_the_boot(op) for op in found]
    with tempfile.TemporaryDirectory(dir=world.folder) as folder:
        seen = Path(folder, "disk")
        if failpoint:  # killed, perhaps between the write of a result and its sync: nobody was told of that one
            seen.mkdir()
            recording.now().write_image(seen, Keep.by("nothing", ""))
        else:
            shutil.copytree(root, seen)
        recording.promises.append((len(recording.ops), Promise(True, _sent(world, seen))))


def _sent(world: World, root: Path) -> frozenset[str]:
    """Who is sent, looked up in a copy: whoever opens the store writes to it, and that would not stand in the log."""
    looking = replace(world, environ=world.environ | {"SENDCTL_STORE_URL": f"sqlite:///{root}/data/store.db"})
    return frozenset(name for name, state in looking.states().items() if state == "sent")


def _before_the_boot(op: Op) -> Op:
    """The same deed in an earlier boot of this machine: the machine starts anew after a power loss."""
    own = boot_id().encode()
    if own not in op.data or op.name.startswith("data/"):  # the pages of a store have checksums, and prove nothing
        return op
    data = op.data.replace(own, EARLIER_BOOT.encode())
    if op.name.endswith(".journal"):
        data = _RECORD.sub(lambda found: b"%08x %s\n" % (zlib.crc32(found[1]), found[1]), data)
    return replace(op, data=data)


# -- images -------------------------------------------------------------------------------------------------------


def _try_all(world: World, root: Path, recording: Recording, line: Line, images: int, seed: int) -> None:
    """Walk through the deeds; at each moment that changed anything, images in one way or several."""
    begun_s = time.monotonic()
    moments = [cut for cut, op in enumerate(recording.ops, 1) if op.kind != "open"]
    disk, left, tried = recording.start, Counter[str](), 0
    for cut, op in enumerate(recording.ops, 1):
        if op.kind == "left":
            left[op.name] += 1
        else:
            disk.apply(op)
        if op.kind == "open":
            continue
        wanted = round(images * (moments.index(cut) + 1) / len(moments))
        while tried < wanted:
            way = WAYS[tried % len(WAYS)]
            tried += 1
            disk.write_image(root, Keep.by(way, f"{seed}/{cut}/{tried}"))
            _judge(
                world,
                root,
                recording.promised_before(cut),
                Counter(left),
                line,
                f"deed {cut} ({op.kind} {op.name}), {way}",
            )
    line.hits, line.seconds = tried, time.monotonic() - begun_s


def _judge(world: World, root: Path, promise: Promise, left: Counter[str], line: Line, where: str) -> None:
    _, log_bytes = world.judge.accepted_after(0)
    try:
        refused = _put_right(world, promise)
    except AssertionError as error:
        line.wrong.append(f"{where}: {error}")
        return
    line.rewinds += refused
    rows, _ = world.judge.accepted_after(log_bytes)
    accepted, states = left + Counter(row["rcpt"] for row in rows), world.states()
    twice = sorted(name for name, count in accepted.items() if count > 1)
    lost = sorted(name for name, state in states.items() if state not in ("sent", "in_doubt"))
    forgotten = sorted(name for name in promise.sent if states.get(name) != "sent")
    untrue = sorted(name for name, state in states.items() if state == "sent" and not accepted[name])
    line.duplicates += len(twice)
    line.lost += len(lost) + (line.people - len(states))
    line.in_doubt += sum(state == "in_doubt" for state in states.values())
    for what, names in (("twice", twice), ("lost", lost), ("forgotten", forgotten), ("untrue", untrue)):
        if names:
            line.wrong.append(f"{where}: {what}: {names}")
    if (found := integrity(root / "data/store.db")) != "ok":
        line.wrong.append(f"{where}: integrity_check: {found}")


def _put_right(world: World, promise: Promise) -> int:
    """What cron and an operator do after the machine is up again; returns how often a rewind was suspected."""
    if not promise.listed:
        must(world, *enqueue(world), codes=(0,))
    first = must(world, "send-due", codes=(0, 3, 6))
    if first.code == 6:
        assert world.recover("hold", "--reason", "the power was gone").code in (0, 3)
    world.finish()
    return int(first.code == 6)


def integrity(store: Path) -> str:
    """What SQLite itself says of a store."""
    with closing(sqlite3.connect(store)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
