"""The parts of `make prove-faults`, each with what makes it complete. A part that raises is a line that is not good."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.faults import mounts
from tests.faults.clocks import jumps, nights
from tests.faults.crowds import crowd, outages
from tests.faults.errors import VERBS, injected_errors
from tests.faults.ground import Line
from tests.faults.power import power_loss
from tests.faults.rewinds import rewinds
from tests.faults.small_disks import UNDER, full_disk, read_only
from tests.faults.zombies import zombies

STORES = ("sqlite", "postgres")


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the account. `body` takes the URL of an empty Postgres database, or "" for SQLite.

    `missing` says why it cannot be tried on this machine, or nothing.
    """

    name: str
    store: str
    body: Callable[[str], Line]
    missing: Callable[[], str] = str


def run(number: int, store_url: str) -> Line:
    """The line of PARTS[number], whatever happens."""
    begun_s, part = time.monotonic(), PARTS[number]
    try:
        return part.body(store_url)
    except Exception:  # the others go on, and this one is said
        return Line(part.name, part.store, "", wrong=[traceback.format_exc()], seconds=time.monotonic() - begun_s)


def _all() -> Iterator[Part]:
    yield Part("power loss", "sqlite", lambda _: power_loss(24, 600))
    yield Part("outages", "postgres", lambda _: outages(10_000, 100))
    for store in STORES:
        yield Part("crowd", store, partial(crowd, people=3000, kills=100))
        for verb in VERBS:
            yield Part(f"errors of the disk, {verb}", store, partial(injected_errors, verb))
        for elsewhere in (False, True):
            yield Part("zombies", store, partial(zombies, elsewhere=elsewhere))
        yield Part("rewinds", store, partial(rewinds, rounds=8, people=2000))
    yield Part("power loss, a long pass", "sqlite", lambda _: power_loss(400, 80))
    for store, under in [*(("sqlite", place) for place in UNDER), ("postgres", "journals")]:
        yield Part("small disk", store, partial(full_disk, under=under), mounts.missing)
        yield Part("read-only disk", store, partial(read_only, under=under), mounts.missing)
    for store in STORES:
        yield Part("clock jumps", store, partial(jumps, people=1000, kills=20))
    yield Part("clock changes", "sqlite", lambda _: nights(40))


PARTS = tuple(_all())
