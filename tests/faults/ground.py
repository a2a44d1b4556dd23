"""What every part of this suite stands on: a world with its judge in a folder of its own, and the line of the account.

It breaks nothing itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.crash.accounts import Account, account, must, settle_doubt
from tests.crash.launcher import Launcher
from tests.crash.world import CONNECTIONS, World, environment, write_settings, write_world
from tests.smtp_double import start_smtp_double

DOCUMENTED = frozenset([0, 3, 4, 5, 6, 65, 69, 75, 78])  # exit codes of trouble that has a name; 1 and 2 are defects


@dataclass
class Line:
    """What one part found on one database. `hits` counts what was really broken; `wrong` says what must not be."""

    part: str
    store: str
    unit: str
    hits: int = 0
    people: int = 0
    duplicates: int = 0
    lost: int = 0
    in_doubt: int = 0
    rewinds: int = 0  # refused as rewound, and put right by recover
    note: str = ""
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Nobody twice, nobody lost, nothing wrong, and the part has really hit."""
        return self.hits > 0 and not (self.duplicates or self.lost or self.wrong)

    def add(self, found: Account) -> None:
        """Take over what judge and store said at the end of a world."""
        self.duplicates += found.duplicates
        self.lost += found.lost
        if found.untrue:
            self.wrong.append(f"{found.untrue} are called sent and were not accepted")


@contextmanager
def new_ground(
    store_url: str, *, contacts: int, enqueued: bool = True, store: str = "store.db",
    environ: dict[str, str] | None = None, mounted: Callable[[Path], None] = lambda _: None, **options: Any,
) -> Iterator[World]:  # fmt: skip
    """A world with its people; on SQLite, in the file `store`, where `store_url` is empty.

    `environ` is added to that of its commands; {folder} in it is the world's. `mounted` is called with the empty
    folder. `options` are of the SMTP double.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sendctl-faults-")))
        mounted(folder)
        judge = stack.enter_context(start_smtp_double(folder, **options))
        launcher = Launcher()
        stack.callback(launcher.close)
        write_settings(folder, judge.port)
        write_world(folder, contacts=contacts)
        url = store_url or f"sqlite:///{folder}/{store}"
        (folder / store).parent.mkdir(parents=True, exist_ok=True)
        more = {name: value.format(folder=folder) for name, value in (environ or {}).items()}
        world = World(folder, environment(url, folder) | more, judge, launcher)
        stack.callback(world.close)
        must(world, "migrate", codes=(0,))
        if enqueued:
            must(world, *enqueue(world), codes=(0,))
        yield world


def enqueue(world: World) -> tuple[str, ...]:
    """The arguments that enqueue everybody in the world's contacts file."""
    return ("enqueue", str(world.folder / "campaign.toml"), "--contacts", str(world.folder / "contacts.csv"))


def close_account(world: World, line: Line, planned: int) -> None:
    """The last account of a world: in doubt first what nobody knows, then settled with the judge's log as evidence."""

    world.finish()
    line.add(account(world))
    settled = settle_doubt(world, partial(must, world), connections=CONNECTIONS)
    line.in_doubt += settled.in_doubt
    line.add(settled.last)
    line.people += planned
    if settled.last.counts["sent"] != planned:
        line.wrong.append(f"{planned} planned, in the end {dict(settled.last.counts)}")
