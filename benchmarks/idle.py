"""Point 5: a pass with nothing due, as cron runs it each minute, beside Python itself and the imports it avoids."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks import shop
from benchmarks.measuring import Usage, run, spread
from benchmarks.options import Options
from benchmarks.report import Report, Table
from benchmarks.shop import Shop
from benchmarks.sinks import find_postfix, smtp_sink
from benchmarks.stores import Databases

PEOPLE = 1_000
GOAL_CPU_MS = 120
BARE = "`python -c pass`"
DRIVER = '`python -c "import psycopg"`'
IMPORTS = '`python -c "import sqlalchemy, typer"`'


def measure(databases: Databases, options: Options) -> Report:
    """Rounds of: each store's idle pass, Python alone, with the driver, with two imports. The first is not counted."""
    report = Report("idle")
    found: dict[str, list[Usage]] = defaultdict(list)
    with ExitStack() as stack:
        passes = {
            f"`send-due -q`, {kind}": _sent_out(stack, databases, kind, report) for kind in options.stores
        }  # fmt: skip
        for number in range(options.idle_rounds + 1):
            for name, place in passes.items():
                found[name].append(_as_cron(place))
            found[BARE].append(_python(databases.folder, "pass"))
            found[DRIVER].append(_python(databases.folder, "import psycopg"))
            found[IMPORTS].append(_python(databases.folder, "import sqlalchemy, typer"))
            if not number:
                found.clear()
        for name, place in passes.items():
            said = place.run("send-due").said.strip()
            report.demand(said == "nothing is due", f"{name}: a pass says {said!r} and not that nothing is due")
    report.tables = [_table(found)]
    _compare(report, found, list(passes))
    return report


def _sent_out(stack: ExitStack, databases: Databases, kind: str, report: Report) -> Shop:
    """A store that has sent all it was to send."""
    url, folder = stack.enter_context(databases.store(kind))
    contacts = shop.write_contacts(folder / "contacts.csv", PEOPLE)
    place = Shop(folder, url)
    place.create()
    place.enqueue(contacts)
    with smtp_sink(find_postfix()) as sink:
        place.configure(replace(place.sending, port=sink.port))
        place.run("-q", "send-due")
    counts = place.counts()
    report.demand(
        sink.accepted == counts["sent"] == PEOPLE,
        f"{kind}: {counts['sent']} sent, {sink.accepted} accepted, of {PEOPLE}",
    )
    return place


def _as_cron(place: Shop) -> Usage:
    """No terminal, an empty environment but for the store's URL."""
    return run(
        place.command("-q", "send-due"), environ={"SENDCTL_STORE_URL": place.store_url}, folder=Path("/")
    )  # fmt: skip


def _python(folder: Path, code: str) -> Usage:
    return run([sys.executable, "-c", code], environ={"PATH": os.defpath}, folder=folder)


def _table(found: dict[str, list[Usage]]) -> Table:
    rows = [
        (
            name, spread(usage.cpu_s * 1e3 for usage in rounds).text(),
            spread(usage.wall_s * 1e3 for usage in rounds).text(),
        )
        for name, rounds in found.items()
    ]  # fmt: skip
    notes = [f"Goal: less CPU than the two imports, and at most {GOAL_CPU_MS} ms."]
    return Table(("nothing due", "CPU ms", "wall ms"), rows, notes=notes)


def _compare(report: Report, found: dict[str, list[Usage]], passes: list[str]) -> None:
    limit_s = min(spread(usage.cpu_s for usage in found[IMPORTS]).median, GOAL_CPU_MS / 1000)
    for name in passes:
        report.figures[f"goal met: {name}"] = spread(usage.cpu_s for usage in found[name]).median < limit_s
    report.figures["rounds"] = {
        name: [(usage.wall_s, usage.cpu_s) for usage in rounds] for name, rounds in found.items()
    }
