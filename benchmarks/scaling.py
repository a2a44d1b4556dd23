"""Point 4: what sending, looking and an idle pass cost in a store with much history. None should grow with it."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, replace

from benchmarks import shop
from benchmarks.filling import fill
from benchmarks.measuring import Usage, spread
from benchmarks.options import Options
from benchmarks.plans import plans_of
from benchmarks.report import Report, Table
from benchmarks.shop import CAMPAIGN, Sending, Shop
from benchmarks.sinks import Postfix, find_postfix, smtp_sink
from benchmarks.stores import POSTGRES, Databases, size_bytes

HUGE = 10_000_000
PLAN_PEOPLE = 500
FIRST_NEW = 1_000_000_000  # numbers of people that no store has yet


@dataclass
class Filled:
    """A store with history. `added` people were enqueued since; `costs` are those of each command, round by round."""

    kind: str
    size: int
    place: Shop
    history: dict[str, int]
    costs: dict[str, list[Usage]]
    server_cpu_s: list[float]
    added: int = 0

    def enqueue(self, count: int) -> Usage:
        """Plan messages for people who are new."""
        path = self.place.folder / "new.csv"
        usage = self.place.enqueue(shop.write_contacts(path, count, first=FIRST_NEW + self.added))
        self.added += count
        return usage


def measure(databases: Databases, options: Options) -> Report:
    """Fill stores of each size; then rounds over all of them; at last the plans in the largest."""
    report, postfix = Report("scaling"), find_postfix()
    sizes = (*options.sizes, *((HUGE,) if options.large else ()))
    with ExitStack() as stack:
        stores = [
            _filled(stack, databases, postfix, options, kind, size) for size in sizes for kind in options.stores
        ]  # fmt: skip
        for _ in range(options.rounds):
            for store in stores:
                _round(databases, postfix, options, store, report)
        report.tables = [_table(stores, kind, sizes, options) for kind in options.stores]
        report.plain = [_plans(databases, postfix, store) for store in stores if store.size == max(sizes)]
    report.figures["rounds"] = {
        f"{store.kind}, {store.size}": {
            name: [(usage.wall_s, usage.cpu_s, usage.peak_bytes) for usage in usages]
            for name, usages in store.costs.items()
        } for store in stores
    }  # fmt: skip
    return report


def _filled(stack: ExitStack, databases: Databases, postfix: Postfix, options: Options, kind: str, size: int) -> Filled:
    url, folder = stack.enter_context(databases.store(kind))
    place = Shop(folder, url, Sending(9, options.workers, options.connections, options.batch_size))
    fill(place, postfix, size)
    return Filled(kind, size, place, place.counts(), defaultdict(list), [])


def _round(databases: Databases, postfix: Postfix, options: Options, store: Filled, report: Report) -> None:
    place, costs, count = store.place, store.costs, options.scaling_messages
    costs["enqueue"].append(store.enqueue(count))
    with smtp_sink(postfix) as sink:
        place.configure(replace(place.sending, port=sink.port))
        before_s = databases.server_cpu_s()
        costs["send-due"].append(place.run("-q", "send-due"))
        store.server_cpu_s.append(databases.server_cpu_s() - before_s)
    costs["status"].append(place.run("status", "--campaign", CAMPAIGN, "--json"))
    costs["nothing due"].append(place.run("-q", "send-due"))
    costs["recover --dry-run"].append(place.run("recover", "--campaign", CAMPAIGN, "--dry-run", "--json", codes=(0, 3)))
    who = f"{store.kind} with {store.size:,} messages"
    report.demand(sink.accepted == count, f"{who}: smtp-sink accepted {sink.accepted:,} messages, not {count:,}")
    counts, expected = place.counts(), store.history["sent"] + store.added
    report.demand(counts["sent"] == expected, f"{who}: the store says {counts}, not {expected:,} sent")


def _table(stores: list[Filled], kind: str, sizes: tuple[int, ...], options: Options) -> Table:
    mine = [store for size in sizes for store in stores if (store.kind, store.size) == (kind, size)]
    rows = []
    for name, label in _labels(options).items():
        wall = [spread(usage.wall_s * 1e3 for usage in store.costs[name]).text() for store in mine]
        cpu = [spread(usage.cpu_s * 1e3 for usage in store.costs[name]).text() for store in mine]
        rows.append((label, *wall, *cpu))
    if kind == POSTGRES:
        server = [spread(seconds * 1e3 for seconds in store.server_cpu_s).text() for store in mine]
        rows.append((f"the server during {_labels(options)['send-due']}", *[""] * len(mine), *server))
    columns = (
        "messages in the store", *(f"{size:,}: wall ms" for size in sizes), *(f"{size:,}: CPU ms" for size in sizes)
    )  # fmt: skip
    size_mib = [size_bytes(store.place.store_url) / 1024**2 for store in mine]
    sizes_told = " and ".join(f"{mib:,.0f} MiB with {store.size:,}" for mib, store in zip(size_mib, mine, strict=True))
    return Table(columns, rows, kind, [f"On disk, indexes included: {sizes_told}."])


def _labels(options: Options) -> dict[str, str]:
    many = f"{options.scaling_messages:,} messages"
    return {
        "enqueue": f"`enqueue`, {many}", "send-due": f"`send-due`, {many}", "status": "`status`",
        "nothing due": "`send-due`, nothing due", "recover --dry-run": "`recover --dry-run`",
    }  # fmt: skip


def _plans(databases: Databases, postfix: Postfix, store: Filled) -> tuple[str, str]:
    """Of a claim with its outcomes, of the counts, and of the recovery."""
    store.enqueue(PLAN_PEOPLE)
    place = store.place
    with smtp_sink(postfix) as sink:
        place.configure(replace(place.sending, port=sink.port, workers=1))
        claim = plans_of(databases, place, ["-q", "send-due", "--limit", str(PLAN_PEOPLE)])
    status = plans_of(databases, place, ["status", "--campaign", CAMPAIGN, "--json"])
    recovery = plans_of(databases, place, ["recover", "--campaign", CAMPAIGN, "--dry-run", "--json"])
    title = f"Plans in {store.kind} with {store.size:,} messages"
    return title, f"send-due\n\n{claim}\n\nstatus\n\n{status}\n\nrecover --dry-run\n\n{recovery}"
