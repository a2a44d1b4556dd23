"""What the figures were measured on, and how much of it others took: figures without that mean little."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import BenchmarkFailed
from benchmarks.report import Report, Table
from benchmarks.sinks import find_postfix
from benchmarks.stores import POSTGRES, Databases

SYNC_ROUNDS = 50
PAGE_BYTES = 4096


def describe(databases: Databases, stores: Sequence[str], command: str, load_before: str) -> Report:
    """The machine, the versions, and how long a page takes to reach the disk."""
    rows = [
        ("date, command", f"{today()}, `{command}`"),
        ("cores, CPU", f"{os.cpu_count()}, {_named('/proc/cpuinfo', 'model name')}"),
        ("memory", f"{int(_named('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:,.0f} GiB"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("load average before the run", load_before),
        ("write and fsync of a 4 KiB page", f"{_sync_us(databases.folder):,.0f} us (median)"),
        ("Python, uvloop", f"{platform.python_version()}, {_uvloop()}"),
        ("SQLite", sqlite3.sqlite_version),
        ("Postfix (smtp-sink, smtp-source)", _postfix()),
    ]
    if POSTGRES in stores:
        rows.append((POSTGRES, databases.version()))
    return Report("machine", [Table(("machine", ""), rows, numbers=False)], figures=dict(rows))


def load() -> str:
    """The load averages of one, five and fifteen minutes."""
    return " ".join(f"{number:.2f}" for number in os.getloadavg())


def today() -> str:
    return time.strftime("%d %B %Y", time.gmtime()).lstrip("0")


def _named(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _uvloop() -> str:
    try:
        return importlib.metadata.version("uvloop")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _postfix() -> str:
    try:
        return find_postfix().version() or "unknown"
    except BenchmarkFailed:
        return "not found"


def _sync_us(folder: Path) -> float:
    took_s = []
    file = folder / "page"
    fd = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for _ in range(SYNC_ROUNDS):
            begun_s = time.perf_counter()
            os.pwrite(fd, bytes(PAGE_BYTES), 0)
            os.fsync(fd)
            took_s.append(time.perf_counter() - begun_s)
    finally:
        os.close(fd)
        file.unlink()
    return statistics.median(took_s) * 1e6


@dataclass(frozen=True, slots=True)
class Times:
    """Jiffies of all cores so far: in all, and those that the hypervisor gave to other machines (proc(5), steal)."""

    every: int
    stolen: int

    @classmethod
    def now(cls) -> Times:
        fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return cls(sum(fields), fields[7])

    def stolen_since(self) -> float:
        """The share of the machine's time that was stolen since then, 0 to 1."""
        now = Times.now()
        return (now.stolen - self.stolen) / max(1, now.every - self.every)
