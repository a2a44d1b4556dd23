"""Where the CPU of one message goes: a pass of one worker to smtp-sink, looked at each millisecond (sampler.py)."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks import shop
from benchmarks.measuring import ROOT, run, spread
from benchmarks.options import Options
from benchmarks.report import Report, Table
from benchmarks.sampler import PARTS
from benchmarks.shop import Sending, Shop
from benchmarks.sinks import Postfix, find_postfix, smtp_sink
from benchmarks.stores import Databases


def measure(databases: Databases, options: Options) -> Report:
    """Rounds of each store; a part's share of the samples times what a message costs without start-up."""
    report = Report("cost")
    postfix = find_postfix()
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(options.rounds):
        for kind in options.stores:
            found[kind].append(_round(databases, postfix, kind, options, report))
    report.tables = [_table(found, options)]
    report.figures["rounds"] = found
    return report


def _round(
    databases: Databases, postfix: Postfix, kind: str, options: Options, report: Report
) -> dict[str, float]:  # fmt: skip
    """Microseconds a message by part."""
    count = options.cost_messages
    with databases.store(kind) as (url, folder):
        contacts = shop.write_contacts(folder / "contacts.csv", count)
        place = Shop(folder, url, Sending(9, 1, options.connections, options.batch_size))
        place.create()
        place.enqueue(contacts)
        with smtp_sink(postfix) as sink:
            place.configure(replace(place.sending, port=sink.port))
            first = place.run("-q", "send-due", "--limit", "1")
            samples = folder / "samples.json"
            command: list[str | Path] = [sys.executable, "-m", "benchmarks.sampler", samples, "--config",
                                         folder / "sendctl.toml", "-q", "send-due"]  # fmt: skip
            sent = run(command, environ=place.environ | {"PYTHONPATH": str(ROOT)}, folder=folder)
        report.demand(sink.accepted == count, f"{kind}: smtp-sink accepted {sink.accepted:,} messages, not {count:,}")
        return _shares(Counter(json.loads(samples.read_text())), (sent.cpu_s - first.cpu_s) / (count - 1) * 1e6)


def _shares(used_s: Mapping[str, float], message_us: float) -> dict[str, float]:
    whole_s = sum(used_s.values())
    return {part: message_us * part_s / whole_s for part, part_s in used_s.items()}


def _table(found: Mapping[str, list[dict[str, float]]], options: Options) -> Table:
    first = next(iter(found.values()))
    seen = {part for rounds in found.values() for one in rounds for part in one}
    ordered = [*dict.fromkeys(PARTS.values()), *sorted(seen - set(PARTS.values()))]
    ordered.sort(key=lambda part: -spread(one.get(part, 0.0) for one in first).median)
    rows = [
        (part, *(spread(one.get(part, 0.0) for one in rounds).text() for rounds in found.values())) for part in ordered
    ]
    rows.append(("together", *(spread(sum(one.values()) for one in rounds).text() for rounds in found.values())))
    note = (
        f"{options.cost_messages:,} messages, one worker, {options.connections} connections, "
        f"`batch_size = {options.batch_size}`. CPU of the pass without its start, divided by what its threads are "
        "found at, once for each millisecond of it; what happens in the kernel counts where it was asked for."
    )
    return Table(("CPU us a message", *found), rows, notes=[note])
