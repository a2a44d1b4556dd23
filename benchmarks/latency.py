"""Point 2: a provider that takes 50 ms to answer each message. The limit is then connections divided by latency.

The server is of our own (slow_server.py): smtp-sink delays by whole seconds only.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import shop
from benchmarks.measuring import ROOT, Running, free_port, spread, wait_for_port
from benchmarks.options import Options
from benchmarks.report import Report, Table
from benchmarks.shop import Sending, Shop
from benchmarks.stores import Databases

FEW_CONNECTIONS = 8
GOAL = 0.9


@dataclass(frozen=True, slots=True)
class Slow:
    """One round: `steady_s` is from the first message to the last reply, as the server saw it."""

    connections: int  # of all workers
    workers: int
    messages: int
    wall_s: float
    steady_s: float
    cpu_s: float
    start_cpu_s: float
    most_waiting: int


def measure(databases: Databases, options: Options) -> Report:
    """Rounds of: each store, many connections, of one worker or two, and few."""
    report = Report("latency")
    found: dict[tuple[str, int, int], list[Slow]] = defaultdict(list)
    many = options.latency_connections
    for _ in range(options.rounds):
        for kind in options.stores:
            for connections, workers in ((many, 1), (many, 2), (FEW_CONNECTIONS, 1)):
                slow = _round(databases, options, kind, connections, workers, report)
                found[kind, connections, workers].append(slow)
    report.tables = [_table(found, options, report)]
    report.figures["rounds"] = {
        f"{kind}, {connections}, {workers}": [{name: getattr(one, name) for name in Slow.__slots__} for one in rounds]
        for (kind, connections, workers), rounds in found.items()
    }
    return report


@contextmanager
def slow_server(port: int, delay_ms: float) -> Iterator[dict[str, float]]:
    """A slow server on a port; what it accepted is in the mapping after the block."""
    said: dict[str, float] = {}
    command = [sys.executable, "-m", "benchmarks.slow_server", str(port), str(delay_ms)]
    server = Running(command, environ={"PATH": os.defpath}, folder=ROOT)
    try:
        wait_for_port(port, server)
        yield said
    finally:
        server.terminate()
        said |= json.loads(server.ended().said)


def _round(
    databases: Databases, options: Options, kind: str, connections: int, workers: int, report: Report
) -> Slow:  # fmt: skip
    count = options.latency_messages * connections // options.latency_connections
    with databases.store(kind) as (url, folder):
        contacts = shop.write_contacts(folder / "contacts.csv", count)
        batch_size = _batch_size(connections, options)
        place = Shop(folder, url, Sending(free_port(), workers, connections // workers, batch_size))
        place.create()
        place.enqueue(contacts)
        with slow_server(place.sending.port, options.latency_ms):
            first = place.run("-q", "send-due", "--limit", "1")
        with slow_server(place.sending.port, options.latency_ms) as said:
            sent = place.run("-q", "send-due")
        found = place.counts()
    who = f"{kind}, {connections} connections"
    report.demand(said["accepted"] == count - 1, f"{who}: the server accepted {said['accepted']:,}, not {count - 1:,}")
    report.demand(said["repeated"] == 0, f"{who}: the server accepted {said['repeated']:,} messages twice")
    report.demand(found["sent"] == found["planned"] == count, f"{who}: the store says {found}")
    return Slow(
        connections, workers, count - 1, sent.wall_s, said["seconds"], sent.cpu_s, first.cpu_s,
        int(said["most_waiting"]),
    )  # fmt: skip


def _batch_size(connections: int, options: Options) -> int:
    return max(500, round(connections * 1000 / options.latency_ms))


def _table(found: dict[tuple[str, int, int], list[Slow]], options: Options, report: Report) -> Table:
    rows = []
    for (kind, connections, workers), rounds in found.items():
        limit = connections / (options.latency_ms / 1000)
        steady = spread(one.messages / one.steady_s / limit for one in rounds)
        whole = spread(one.messages / one.wall_s for one in rounds)
        report.figures[f"share of the limit: {kind}, {connections}, {workers}"] = steady.median
        who = f"{kind}, {connections} connections" + (f" of {workers} workers" if workers > 1 else "")
        rows.append((
            who, f"{rounds[0].messages:,}", f"{limit:,.0f}",
            spread(one.messages / one.steady_s for one in rounds).text(), f"{steady.median:.0%}",
            f"{whole.median / limit:.0%}", f"{max(one.most_waiting for one in rounds)}",
            spread((one.cpu_s - one.start_cpu_s) / one.messages * 1e6 for one in rounds).text(),
        ))  # fmt: skip
    columns = (
        f"provider takes {options.latency_ms:g} ms", "messages", "connections / latency", "messages/s", "of that limit",
        "start and end included", "most in flight", "CPU us a message without start-up",
    )  # fmt: skip
    notes = [
        "The delay is that of the reply to each message; all other replies come at once. One worker where nothing "
        f"else is said; `batch_size` is a second's messages, {_batch_size(options.latency_connections, options):,} for "
        f"{options.latency_connections} connections. "
        f"Goal: {GOAL:.0%} of the limit at {options.latency_connections} connections, and CPU that does not grow."
    ]
    return Table(columns, rows, notes=notes)
