"""`python -m benchmarks`: runs the points asked for, prints their tables, and says by its exit code if one failed."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from benchmarks import cost, enqueue, hosts, idle, latency, machine, scaling, send, tuning
from benchmarks.measuring import BenchmarkFailed
from benchmarks.options import QUICK, Options
from benchmarks.report import Report, write_blocks
from benchmarks.stores import KINDS, Databases

POINTS: dict[str, Callable[[Databases, Options], Report]] = {
    "send": send.measure, "cost": cost.measure, "latency": latency.measure, "enqueue": enqueue.measure,
    "scaling": scaling.measure, "idle": idle.measure, "hosts": hosts.measure, "tuning": tuning.measure,
}  # fmt: skip
_SIZES = {
    "rounds": "rounds of send, latency, scaling and hosts",
    "messages": "send: messages of a round",
    "peer_messages": "send: messages of a round of each peer",
    "workers": "send: [send] workers",
    "connections": "send: connections of each worker",
    "batch_size": "send: the campaign's batch_size",
    "cost_messages": "cost: messages of a round",
    "latency_connections": "latency: connections, beside 8",
    "latency_messages": "latency: messages of a round",
    "contacts": "enqueue: rows of the contacts file",
    "enqueue_rounds": "enqueue: rounds",
    "scaling_messages": "scaling: messages sent in each store and round",
    "idle_rounds": "idle: rounds",
    "host_messages": "hosts: messages of a round",
    "tuning_messages": "tuning: messages of a round",
    "tuning_rounds": "tuning: rounds",
}


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure sendctl; print tables.")
    parser.add_argument(
        "points",
        nargs="*",
        metavar="POINT",
        help=f"some of {', '.join(POINTS)}; else all (without tuning when --quick)",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: a look, no figures to publish")
    parser.add_argument("--large", action="store_true", help="also 5 million contacts and 10 million messages (hours)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace the marked blocks of a document")
    parser.add_argument("--stores", nargs="+", choices=KINDS, metavar="STORE", help=f"some of {', '.join(KINDS)}")
    for name, meaning in _SIZES.items():
        default = getattr(Options(), name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, metavar="N", help=f"{meaning} ({default:,}; "
            f"quick {getattr(QUICK, name):,})",
        )  # fmt: skip
    arguments = parser.parse_args(given)
    unknown = set(arguments.points) - POINTS.keys()
    if unknown:
        parser.error(f"no such point: {', '.join(sorted(unknown))}; there are {', '.join(POINTS)}")
    return arguments


def _options(arguments: argparse.Namespace) -> Options:
    base = QUICK if arguments.quick else Options()
    known = {field.name for field in fields(Options)}
    given: dict[str, Any] = {
        name: value for name, value in vars(arguments).items() if name in known and value not in (None, False)
    }
    if "stores" in given:
        given["stores"] = tuple(given["stores"])
    return replace(base, **given)


def main(given: Sequence[str] | None = None) -> int:
    """0 when every point did its work, else 1."""
    given = sys.argv[1:] if given is None else given
    arguments = _arguments(given)
    options = _options(arguments)
    command = shlex.join(["python", "-m", "benchmarks", *given])
    load_before = machine.load()
    with tempfile.TemporaryDirectory(prefix="sendctl-bench-") as folder:
        databases = Databases(Path(folder))
        try:
            reports = [machine.describe(databases, options.stores, command, load_before)]
            print(reports[0].text(), flush=True)
            for point in arguments.points or [name for name in POINTS if name != "tuning" or not arguments.quick]:
                reports.append(_measured(point, databases, options, _sizes(arguments)))
        finally:
            databases.close()
    return finish(reports, arguments.json, arguments.write)


def _sizes(arguments: argparse.Namespace) -> str:
    """The options that change a size, as they were given."""
    given = {name: value for name, value in vars(arguments).items() if name in {*_SIZES, "stores", "quick", "large"}}
    words = [f"--{name.replace('_', '-')} {_words(value)}".rstrip() for name, value in given.items() if value]
    return "".join(f" {word}" for word in words)


def _words(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else "" if value is True else str(value)


def _measured(point: str, databases: Databases, options: Options, sizes: str) -> Report:
    begun_s, before, load_before = time.monotonic(), machine.Times.now(), machine.load()
    try:
        report = POINTS[point](databases, options)
    except BenchmarkFailed as problem:
        report = Report(point, failures=[str(problem)])
    took_s, stolen = time.monotonic() - begun_s, before.stolen_since()
    report.figures |= {"seconds": took_s, "stolen": stolen, "load_before": load_before}
    report.heading = (
        f"Measured on {machine.today()} with `python -m benchmarks {point}{sizes}`. "
        f"Rounds: {options.rounds_of(point)}; median (least to most). Load before: {load_before}; "
        f"time that other machines took: {stolen:.0%}."
    )
    print(f"\n## {point} ({took_s:.0f} s)\n\n{report.text()}", flush=True)
    return report


def finish(reports: Sequence[Report], json_file: Path | None, document: Path | None) -> int:
    """Write what was asked for; the exit code. A document gets nothing when any point failed."""
    failed = [report.point for report in reports if report.failures]
    if json_file:
        content = {report.point: report.figures | {"failures": report.failures} for report in reports}
        json_file.write_text(json.dumps(content, indent=1) + "\n")
    if document and not failed:
        write_blocks(document, reports)
    if failed:
        print(f"\nFAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0
