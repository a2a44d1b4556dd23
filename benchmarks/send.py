"""Point 1: end to end to smtp-sink, beside smtp-source and beside other programs doing the same job.

Everything compared runs in turn, round by round. Each run has a sink of its own, which says how many it accepted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from benchmarks.measuring import BenchmarkFailed, spread
from benchmarks.options import Options
from benchmarks.peers.environment import PACKAGES, peer_versions
from benchmarks.report import Report, Table
from benchmarks.rounds import SOURCE, SOURCE_BYTES, Sent, peer_round, sendctl_round, source_round
from benchmarks.shop import Sending
from benchmarks.sinks import SOURCE_SESSIONS, find_postfix
from benchmarks.stores import Databases

PEER_GOAL = 40


def measure(databases: Databases, options: Options) -> Report:
    """Rounds of: sendctl on each store, smtp-source, each peer."""
    report = Report("send")
    postfix = find_postfix()
    peers, without = _peers()
    found: dict[str, list[Sent]] = defaultdict(list)
    sending = Sending(9, options.workers, options.connections, options.batch_size)
    for number in range(options.rounds):
        for kind in options.stores:
            sent = sendctl_round(databases, postfix, kind, options.messages, sending, report)
            found[f"sendctl on {kind}"].append(sent)
        found[SOURCE].append(source_round(postfix, options.messages, report))
        for name in peers:
            folder = databases.folder / f"{name}-{number}"
            found[name].append(peer_round(name, postfix, options.peer_messages, folder, report))
    report.tables = [_sending(found, options, report, without), _enqueuing(found, peers)]
    report.figures["rounds"] = {name: [_plain(sent) for sent in rounds] for name, rounds in found.items()}
    return report


def _peers() -> tuple[dict[str, str], list[str]]:
    """Versions of the peers, and why they are left out when they are."""
    try:
        return {name: version for name, version in peer_versions().items() if name in PACKAGES}, []
    except BenchmarkFailed as problem:
        return {}, [f"{' and '.join(PACKAGES)} are left out: {problem}"]


def _sending(found: dict[str, list[Sent]], options: Options, report: Report, without: list[str]) -> Table:
    source = spread(sent.messages / sent.wall_s for sent in found[SOURCE]).median
    rows = []
    for name, rounds in found.items():
        rate = spread(sent.messages / sent.wall_s for sent in rounds)
        rows.append((
            name, f"{rounds[0].messages:,}", rate.text(), f"{rate.median * 3600 / 1e6:.1f}",
            f"{rate.median / source:.2f}",
            spread(sent.cpu_s / sent.messages * 1e6 for sent in rounds).text(),
            net_us(rounds), _us(sent.server_cpu_s / sent.messages for sent in rounds),
            _us(sent.sink_cpu_s / sent.messages for sent in rounds),
            _mib(max(sent.peak_bytes for sent in rounds)),
        ))  # fmt: skip
    notes = [
        f"sendctl: `workers = {options.workers}`, `connections = {options.connections}` each, "
        f"`batch_size = {options.batch_size}`; a message has {report.figures['message_bytes']:,} bytes. "
        "The time is that of the whole command, start and end included; CPU includes its workers.",
        f"{SOURCE}: {SOURCE_SESSIONS} sessions, one fixed body of {SOURCE_BYTES:,} bytes; renders and records nothing. "
        "smtp-sink counts what it accepts (-c), which costs all of them some microseconds a message.",
        "The peers' time leaves out the start of Django; they run on SQLite with their own defaults.",
        *_ratios(found), *without,
    ]  # fmt: skip
    columns = (
        "", "messages", "messages/s", "million an hour", "of smtp-source", "CPU us a message",
        "the same without start-up", "Postgres server us", "smtp-sink us", "peak MiB",
    )  # fmt: skip
    return Table(columns, rows, "Sending", notes)


def _us(values: Iterator[float]) -> str:
    median = spread(values).median * 1e6
    return f"{median:,.0f}" if median else ""


def _mib(size_bytes: int) -> str:
    """Empty where a program ended before anybody looked."""
    return f"{size_bytes / 1024**2:.0f}" if size_bytes else ""


def net_us(rounds: list[Sent]) -> str:
    """CPU a message without what a pass that sends one message costs."""
    if not rounds[0].start_cpu_s:
        return ""
    return spread((sent.cpu_s - sent.start_cpu_s) / sent.messages * 1e6 for sent in rounds).text()


def _ratios(found: dict[str, list[Sent]]) -> list[str]:
    ours = {name: rounds for name, rounds in found.items() if name.startswith("sendctl")}
    said = []
    for name in (name for name in found if name in PACKAGES):
        theirs = spread(sent.messages / sent.wall_s for sent in found[name]).median
        times = [
            f"{spread(sent.messages / sent.wall_s for sent in rounds).median / theirs:.0f} times as fast on "
            f"{mine.removeprefix('sendctl on ')}" for mine, rounds in ours.items()
        ]  # fmt: skip
        said.append(f"Beside {name}, sendctl sends {' and '.join(times)} (goal: {PEER_GOAL}).")
    return said


def _enqueuing(found: dict[str, list[Sent]], peers: dict[str, str]) -> Table:
    rows = []
    for name, rounds in found.items():
        if rounds[0].enqueue_s is None:
            continue
        count = rounds[0].messages + (name not in peers)  # one was sent to measure the start-up
        rows.append((
            f"{name} {peers.get(name, '')}".strip(), f"{count:,}",
            spread(count / (sent.enqueue_s or 1.0) for sent in rounds).text(),
            spread((sent.enqueue_cpu_s or 0.0) / count * 1e6 for sent in rounds).text(),
        ))  # fmt: skip
    notes = ["CPU includes the start of the program."]
    return Table(("", "messages", "messages/s", "CPU us a message"), rows, "Enqueuing the same messages", notes)


def _plain(sent: Sent) -> dict[str, float | int | None]:
    return {name: getattr(sent, name) for name in Sent.__slots__}
