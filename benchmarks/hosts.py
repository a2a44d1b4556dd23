"""Point 6: several hosts on one Postgres. Each is a process with a journal folder, hence a host id, of its own.

They share this machine's cores, so this shows what they do to each other, not what more machines would bring.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from benchmarks import shop
from benchmarks.measuring import BenchmarkFailed, Usage, spread
from benchmarks.options import Options
from benchmarks.report import Report, Table
from benchmarks.shop import Sending, Shop
from benchmarks.sinks import Postfix, Sink, find_postfix, smtp_sink
from benchmarks.stores import POSTGRES, Databases

SAMPLE_EVERY_S = 0.05
STOPPED_EARLY = 75  # a pass that lost a wait or a deadlock


@dataclass(frozen=True, slots=True)
class Together:
    """One round of several hosts. `waits` and `samples`: backends seen waiting for a lock, and backends seen."""

    hosts: int
    messages: int
    wall_s: float
    cpu_s: float
    server_cpu_s: float
    shares: tuple[int, ...]
    twice: int
    lost: int
    stopped_early: int
    deadlocks: int
    waits: int
    samples: int


@dataclass
class Watch:
    """What a look at pg_stat_activity found, again and again."""

    waits: int = 0
    samples: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def look(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not self.stop.wait(SAMPLE_EVERY_S):
                rows = connection.execute(
                    "SELECT wait_event_type FROM pg_stat_activity WHERE datname = current_database() "
                    "AND application_name = 'sendctl' AND state <> 'idle'"
                ).fetchall()
                self.samples += len(rows)
                self.waits += sum(row[0] == "Lock" for row in rows)


@contextmanager
def _watched(url: str) -> Iterator[Watch]:
    watch = Watch()
    thread = threading.Thread(target=watch.look, args=(url,), daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop.set()
        thread.join()


def measure(databases: Databases, options: Options) -> Report:
    """Rounds of: 1, 2, 4, ... hosts on a fresh database."""
    report = Report("hosts")
    postfix = find_postfix()
    found: dict[int, list[Together]] = defaultdict(list)
    for _ in range(options.rounds):
        for hosts in options.hosts:
            found[hosts].append(_round(databases, postfix, options, hosts, report))
    report.tables = [_table(found, options)]
    report.figures["rounds"] = {
        hosts: [{name: getattr(one, name) for name in Together.__slots__} for one in rounds]
        for hosts, rounds in found.items()
    }
    return report


def _round(databases: Databases, postfix: Postfix, options: Options, hosts: int, report: Report) -> Together:
    count = options.host_messages
    with databases.store(POSTGRES) as (url, folder):
        contacts = shop.write_contacts(folder / "contacts.csv", count)
        with smtp_sink(postfix, dump=True) as sink:
            sending = Sending(sink.port, 1, options.connections, options.batch_size)
            places = [Shop(folder / f"host{number}", url, sending) for number in range(hosts)]
            places[0].create()
            places[0].enqueue(contacts)
            before_s = databases.server_cpu_s()
            with _watched(url) as watch:
                begun_s = time.monotonic()
                usages = _all_at_once(places)
                wall_s = time.monotonic() - begun_s
            server_cpu_s = databases.server_cpu_s() - before_s
            again = sum(usage.code == STOPPED_EARLY for usage in usages)
            if again:
                places[0].run("-q", "send-due")  # what those left
        twice = judge(report, hosts, count, sink, places[0])
        said = [json.loads(usage.said) for usage in usages if usage.said]
        return Together(
            hosts, count, wall_s, sum(usage.cpu_s for usage in usages), server_cpu_s,
            tuple(one["outcomes"]["accepted"] for one in said), twice, sum(one["lost"] for one in said), again,
            _deadlocks(url), watch.waits, watch.samples,
        )  # fmt: skip


def _all_at_once(places: list[Shop]) -> list[Usage]:
    running = [place.start("send-due", "--json") for place in places]
    usages = [each.ended(codes=range(-64, 256)) for each in running]  # all of them, before any is judged
    for usage in usages:
        if usage.code not in (0, STOPPED_EARLY):
            raise BenchmarkFailed(f"a host's pass ended with {usage.code}: {usage.complained.strip()[-2000:]}")
    return usages


def judge(report: Report, hosts: int, count: int, sink: Sink, place: Shop) -> int:
    """How many were accepted again: the sink's own list of recipients says who got it, and how often."""
    times = Counter(sink.recipients)
    twice = sum(number - 1 for number in times.values())
    report.demand(twice == 0, f"{hosts} hosts: {twice:,} messages were accepted twice")
    report.demand(len(times) == count, f"{hosts} hosts: {len(times):,} people got the message, not {count:,}")
    counts = place.counts()
    report.demand(counts["sent"] == counts["planned"] == count, f"{hosts} hosts: the store says {counts}")
    return twice


def _deadlocks(url: str) -> int:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchall()
    deadlocks: int = rows[0][0]
    return deadlocks


def _table(found: dict[int, list[Together]], options: Options) -> Table:
    rows = []
    for hosts, rounds in found.items():
        waits, samples = sum(one.waits for one in rounds), sum(one.samples for one in rounds)
        smallest = spread(min(one.shares, default=0) / one.messages for one in rounds).median
        rows.append((
            f"{hosts}", spread(one.messages / one.wall_s for one in rounds).text(),
            spread(one.cpu_s / one.messages * 1e6 for one in rounds).text(),
            spread(one.server_cpu_s / one.messages * 1e6 for one in rounds).text(),
            f"{smallest:.0%}", f"{sum(one.twice for one in rounds)}", f"{sum(one.lost for one in rounds)}",
            f"{sum(one.stopped_early for one in rounds)}", f"{sum(one.deadlocks for one in rounds)}",
            f"{waits / max(1, samples):.1%}",
        ))  # fmt: skip
    columns = (
        "hosts", "messages/s", "CPU us a message", "Postgres server us", "smallest share of a host", "sent twice",
        "lost outcomes", "passes that gave up", "deadlocks", "waiting for a lock",
    )  # fmt: skip
    notes = [
        f"{options.host_messages:,} messages a round, `workers = 1`, {options.connections} connections a host, all on "
        "this machine's cores together with the server and the sink, which also writes down each message.",
        "Nobody sent twice and nobody missed: by the sink's own list of recipients. Lost outcomes: those whose claim "
        f"another run had taken over. Waiting: share of busy sessions seen waiting, looked at every "
        f"{SAMPLE_EVERY_S * 1000:.0f} ms.",
    ]  # fmt: skip
    return Table(columns, rows, notes=notes)
