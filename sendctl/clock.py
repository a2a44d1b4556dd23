"""Time: the wall clock in UTC, and a boot-time clock that goes on while a process is stopped or suspended.

Rows carry the database's time, deadlines the boot-time clock; hosts' clocks are never compared.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What deadlines and stamps are measured with; injected, so that tests and models own time."""

    def utc_now(self) -> datetime:
        """The wall clock, timezone-aware, UTC."""
        ...

    def boot_s(self) -> float:
        """Seconds since boot, counting time spent stopped or suspended."""
        ...


class SystemClock:
    """The machine's clocks."""

    def utc_now(self) -> datetime:
        return datetime.now(UTC)

    def boot_s(self) -> float:
        # CLOCK_MONOTONIC stands still while the machine sleeps; CLOCK_BOOTTIME (clock_gettime(2)) does not.
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the boot-time clock after which nothing more may be done for one message."""

    at_boot_s: float
    clock: Clock

    def remaining_s(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at_boot_s - self.clock.boot_s()

    def passed(self) -> bool:
        return self.remaining_s() <= 0
