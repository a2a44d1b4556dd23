"""The clocks: UTC with its zone, and a boot-time clock that deadlines are measured with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, timedelta

from sendctl.clock import Deadline, SystemClock
from tests.store.ground import OwnedClock

SLEEPER = """
import os, signal
from sendctl.clock import Deadline, SystemClock
clock = SystemClock()
deadline = Deadline(clock.boot_s() + 0.2, clock)
print("passed" if deadline.passed() else "open", flush=True)
input()
print("passed" if deadline.passed() else "open", flush=True)
"""


def test_the_wall_clock_knows_its_zone() -> None:
    now = SystemClock().utc_now()
    assert now.tzinfo is UTC
    assert now.utcoffset() == timedelta(0)


def test_the_boot_clock_never_goes_back() -> None:
    clock = SystemClock()
    readings = [clock.boot_s() for _ in range(1000)]
    assert readings == sorted(readings)


def test_a_deadline_passes_at_its_moment() -> None:
    clock = OwnedClock()
    deadline = Deadline(clock.boot_s() + 60, clock)
    assert deadline.remaining_s() == 60
    clock.forward(seconds=59.5)
    assert not deadline.passed()
    clock.forward(seconds=0.5)
    assert deadline.passed()
    clock.forward(seconds=5)
    assert deadline.remaining_s() == -5


def test_a_deadline_goes_on_while_its_process_is_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        clock = SystemClock()
        wake = Deadline(clock.boot_s() + 0.3, clock)
        while not wake.passed():
            os.sched_yield()
        os.kill(child.pid, signal.SIGCONT)
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"passed\n"
