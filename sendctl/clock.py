"""Time: the wall clock in UTC, and a boot-time clock that goes on while a process is stopped or suspended.

Rows carry the database's time, deadlines the boot-time clock; hosts' clocks are never compared.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

# CLOCK_MONOTONIC stands still while the machine sleeps; CLOCK_BOOTTIME (clock_gettime(2)) does not.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


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
        return time.clock_gettime(_BOOT_CLOCK)


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


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a claim may be used, by the boot clock and by the wall clock: whichever ends first.

    A machine that its hypervisor paused has a boot clock that stood still; its wall clock is set right afterwards.
    A wall clock that is set forward by mistake only ends the lease early, and what did not leave is claimed again.
    """

    at_boot_s: float
    at: datetime
    clock: Clock

    @classmethod
    def of(cls, length_s: float, clock: Clock) -> Lease:
        """One that begins now."""
        return cls(clock.boot_s() + length_s, clock.utc_now() + timedelta(seconds=length_s), clock)

    def remaining_s(self) -> float:
        """Seconds left; negative once it has ended."""
        by_wall = (self.at - self.clock.utc_now()).total_seconds()
        return min(self.at_boot_s - self.clock.boot_s(), by_wall)
