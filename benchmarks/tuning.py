"""Beyond the points: what each setting that docs/PERFORMANCE.md names is worth, one changed at a time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from benchmarks.measuring import spread
from benchmarks.options import Options
from benchmarks.report import Report, Table
from benchmarks.rounds import Sent, sendctl_round
from benchmarks.send import net_us
from benchmarks.shop import Sending
from benchmarks.sinks import find_postfix
from benchmarks.stores import Databases

WITHOUT_UVLOOP = {"PYTHONPATH": str(Path(__file__).with_name("without_uvloop"))}


def measure(databases: Databases, options: Options) -> Report:
    """Rounds of: each setting changed alone, on each store."""
    report, postfix = Report("tuning"), find_postfix()
    base = Sending(9, options.workers, options.connections, options.batch_size)
    found: dict[tuple[str, str], list[Sent]] = defaultdict(list)
    for _ in range(options.tuning_rounds):
        for name, sending in _variants(base).items():
            environ = WITHOUT_UVLOOP if name == "without uvloop" else None
            for kind in options.stores:
                count = options.tuning_messages
                sent = sendctl_round(databases, postfix, kind, count, sending, report, environ=environ)
                found[name, kind].append(sent)
    report.tables = [_table(found, options, base)]
    report.figures["rounds"] = {
        f"{name}, {kind}": [{field: getattr(one, field) for field in Sent.__slots__} for one in rounds]
        for (name, kind), rounds in found.items()
    }
    return report


def _variants(base: Sending) -> dict[str, Sending]:
    told = f"`workers = {base.workers}`, `connections = {base.connections}`, `batch_size = {base.batch_size}`, uvloop"
    variants = {told: base, "without uvloop": base}
    variants |= {f"`workers = {number}`": replace(base, workers=number) for number in (1, 4)}
    variants |= {f"`connections = {number}`": replace(base, connections=number) for number in (2, 32)}
    variants |= {f"`batch_size = {number}`": replace(base, batch_size=number) for number in (100, 2000)}
    return variants


def _table(found: dict[tuple[str, str], list[Sent]], options: Options, base: Sending) -> Table:
    rows = []
    for name in _variants(base):
        cells = [name]
        for kind in options.stores:
            rounds = found[name, kind]
            cells += [spread(one.messages / one.wall_s for one in rounds).text(), net_us(rounds)]
        rows.append(cells)
    columns = ["changed alone"]
    for kind in options.stores:
        columns += [f"{kind}: messages/s", "CPU us a message without start-up"]
    notes = [f"{options.tuning_messages:,} messages a round to smtp-sink, start and end of the command included."]
    return Table(columns, rows, notes=notes)
