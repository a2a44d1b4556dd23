"""Point 3: enqueuing a large contacts file, beside the bare driver writing the same rows into the same tables."""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import shop
from benchmarks.measuring import ROOT, Usage, run, spread
from benchmarks.options import Options
from benchmarks.report import Report, Table
from benchmarks.shop import Shop
from benchmarks.stores import Databases

FEW = 10_000
LARGE = 5_000_000
GOAL = 1.5


@dataclass(frozen=True, slots=True)
class Loaded:
    """One round: sendctl's enqueue, then the bare driver with the rows that it had written."""

    wall_s: float
    cpu_s: float
    bare_wall_s: float
    bare_cpu_s: float


def measure(databases: Databases, options: Options) -> Report:
    """Rounds of: each store, `enqueue` and the bare driver; then memory at several sizes."""
    report = Report("enqueue")
    found: dict[str, list[Loaded]] = defaultdict(list)
    peaks: dict[str, dict[int, int]] = {kind: {} for kind in options.stores}
    for kind in options.stores:
        peaks[kind][FEW] = _enqueued(databases, kind, FEW, report).peak_bytes
    for _ in range(options.enqueue_rounds):
        for kind in options.stores:
            loaded, peaks[kind][options.contacts] = _round(databases, kind, options.contacts, report)
            found[kind].append(loaded)
    if options.large:
        for kind in options.stores:
            peaks[kind][LARGE] = _enqueued(databases, kind, LARGE, report).peak_bytes
    report.tables = [_speed(found, options), _memory(peaks)]
    report.figures["rounds"] = {
        kind: [{name: getattr(one, name) for name in Loaded.__slots__} for one in rounds]
        for kind, rounds in found.items()
    }
    report.figures["peak_bytes"] = peaks
    return report


def _contacts(databases: Databases, count: int) -> Path:
    path = databases.folder / f"contacts-{count}.csv"
    return path if path.exists() else shop.write_contacts(path, count)


def _plan(place: Shop, contacts: Path, count: int, report: Report) -> Usage:
    place.create()
    usage = place.enqueue(contacts)
    counts = place.counts()
    report.demand(counts["queued"] == counts["planned"] == count, f"enqueue of {count:,}: the store says {counts}")
    return usage


def _enqueued(databases: Databases, kind: str, count: int, report: Report) -> Usage:
    with databases.store(kind) as (url, folder):
        return _plan(Shop(folder, url), _contacts(databases, count), count, report)


def _round(databases: Databases, kind: str, count: int, report: Report) -> tuple[Loaded, int]:
    with databases.store(kind) as (url, folder), databases.store(kind) as (bare_url, bare_folder):
        usage = _plan(Shop(folder, url), _contacts(databases, count), count, report)
        Shop(bare_folder, bare_url).create()
        environ = {"PATH": os.defpath, "BENCH_SOURCE": url, "BENCH_TARGET": bare_url}
        bare = run([sys.executable, "-m", "benchmarks.bare_load"], environ=environ, folder=ROOT)
        said: dict[str, Any] = json.loads(bare.said)
        expected = {"campaigns": 1, "contacts": count, "enrollments": count, "messages": count}
        report.demand(said["rows"] == expected, f"the bare driver wrote {said['rows']}")
    return Loaded(usage.wall_s, usage.cpu_s, said["wall_s"], said["cpu_s"]), usage.peak_bytes


def _speed(found: dict[str, list[Loaded]], options: Options) -> Table:
    rows, count = [], options.contacts
    for kind, rounds in found.items():
        ratio = spread(one.wall_s / one.bare_wall_s for one in rounds)
        rows.append((
            kind, spread(count / one.wall_s for one in rounds).text(), spread(one.wall_s for one in rounds).text(1),
            spread(one.bare_wall_s for one in rounds).text(1), ratio.text(2),
            spread(one.cpu_s / count * 1e6 for one in rounds).text(1),
            spread(one.bare_cpu_s / count * 1e6 for one in rounds).text(1),
        ))  # fmt: skip
    columns = (
        f"{count:,} contacts", "contacts/s", "`enqueue` s", "bare driver s", "ratio", "`enqueue` CPU us a contact",
        "bare driver CPU us",
    )  # fmt: skip
    notes = [
        "`enqueue` reads the CSV file twice, shared by two processes, checks each row and the templates with it, and "
        "writes three rows for each contact, all in one transaction. The bare driver writes the same rows (sqlite3 "
        "executemany, psycopg COPY, one transaction) and neither reads nor checks a file. Goal: a ratio of at most "
        f"{GOAL}.",
        "CPU is that of the client, its second process included; the Postgres server's is not in it.",
    ]  # fmt: skip
    return Table(columns, rows, "Speed", notes)


def _memory(peaks: dict[str, dict[int, int]]) -> Table:
    sizes = sorted({size for of_kind in peaks.values() for size in of_kind})
    rows = [
        (kind, *(f"{of_kind[size] / 1024**2:.0f}" if size in of_kind else "" for size in sizes))
        for kind, of_kind in peaks.items()
    ]
    return Table(("peak MiB of `enqueue`", *(f"{size:,} contacts" for size in sizes)), rows, "Memory")
