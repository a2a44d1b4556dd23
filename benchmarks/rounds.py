"""One round of each program that sends the shop's letter: what it did, what it cost, and that nobody was missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import shop
from benchmarks.measuring import run
from benchmarks.peers.environment import PeerJob
from benchmarks.report import Report
from benchmarks.shop import Sending, Shop
from benchmarks.sinks import Postfix, Sink, smtp_sink, smtp_source
from benchmarks.stores import Databases

SOURCE = "smtp-source -d"
SOURCE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Sent:
    """One round of one program. CPU in seconds; enqueuing is None where nothing is enqueued."""

    messages: int
    wall_s: float
    cpu_s: float
    server_cpu_s: float
    sink_cpu_s: float
    start_cpu_s: float = 0.0
    peak_bytes: int = 0
    enqueue_s: float | None = None
    enqueue_cpu_s: float | None = None


@contextmanager
def _counting(postfix: Postfix, report: Report, who: str, expected: int) -> Iterator[Sink]:
    with smtp_sink(postfix) as sink:
        yield sink
    report.demand(sink.accepted == expected, f"{who}: smtp-sink accepted {sink.accepted:,} messages, not {expected:,}")


def sendctl_round(
    databases: Databases, postfix: Postfix, kind: str, count: int, sending: Sending, report: Report,
    *, environ: Mapping[str, str] | None = None,
) -> Sent:  # fmt: skip
    """Enqueue for `count` people and send: one message first, to know what starting costs, then the others."""
    with databases.store(kind) as (url, folder):
        contacts = shop.write_contacts(folder / "contacts.csv", count)
        place = Shop(folder, url, sending)
        place.create()
        enqueued = place.enqueue(contacts)
        with _counting(postfix, report, f"sendctl on {kind}", count) as sink:
            place.configure(replace(sending, port=sink.port))
            command, seen = place.command("-q", "send-due"), {**place.environ, **(environ or {})}
            first = run([*command, "--limit", "1"], environ=seen, folder=folder)
            before_s = databases.server_cpu_s()
            sent = run(command, environ=seen, folder=folder)
            server_cpu_s = databases.server_cpu_s() - before_s
        found = place.counts()
        report.demand(
            found["sent"] == found["planned"] == count, f"sendctl on {kind}: the store says {found}, not {count:,} sent"
        )
        report.figures["message_bytes"] = place.message_bytes(contacts)
    assert sink.usage is not None
    return Sent(
        count - 1, sent.wall_s, sent.cpu_s, server_cpu_s, sink.usage.cpu_s, first.cpu_s, sent.peak_bytes,
        enqueued.wall_s, enqueued.cpu_s,
    )  # fmt: skip


def source_round(postfix: Postfix, count: int, report: Report) -> Sent:
    """smtp-source with the same number of messages."""
    with _counting(postfix, report, SOURCE, count) as sink:
        usage = smtp_source(postfix, sink.port, count, SOURCE_BYTES)
    assert sink.usage is not None
    return Sent(count, usage.wall_s, usage.cpu_s, 0.0, sink.usage.cpu_s)


def peer_round(name: str, postfix: Postfix, count: int, folder: Path, report: Report) -> Sent:
    """A peer, in an empty folder: enqueue, then send."""
    folder.mkdir(parents=True)
    contacts = shop.write_contacts(folder / "contacts.csv", count)
    job = PeerJob(name, folder)
    with _counting(postfix, report, name, count) as sink:
        job.write(contacts, sink.port)
        job.run("prepare")
        enqueue_s, enqueued = job.run("enqueue")
        send_s, sent = job.run("send")
    assert sink.usage is not None
    return Sent(count, send_s, sent.cpu_s, 0.0, sink.usage.cpu_s, 0.0, sent.peak_bytes, enqueue_s, enqueued.cpu_s)
