"""Explores every scenario and every broken variant, and prints what was found as Markdown tables.

    python -m tests.model [--only WORDS] [--most-states N] [--jobs N]

Exits 1 when a scenario shows a violation or is not explored to its end, or when a variant is not caught.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.model import variants
from tests.model.explorer import Found, explore
from tests.model.scenario import ALL, Scenario
from tests.model.variants import VARIANTS, Variant

SCENARIO_HEADS = ("scenario", "bounds", "states", "transitions", "deepest", "ends", "by the real code", "seconds",
                  "violations")  # fmt: skip
VARIANT_HEADS = ("broken on purpose", "explored in", "caught after states", "seen as")


def main() -> int:
    """Explore what was asked for; returns the exit status."""
    asked = _arguments()
    scenarios = [one for one in ALL if asked.only in one.name]
    broken = {name: one for name, one in VARIANTS.items() if asked.only in name}
    with ProcessPoolExecutor(asked.jobs, max_tasks_per_child=1) as pool:
        # The long ones first; they stand last.
        running = {one.name: pool.submit(explore, one, most_states=asked.most_states) for one in reversed(scenarios)}
        caught = {name: pool.submit(variants.explored, name) for name in broken}
        found = ((one, running[one.name].result()) for one in scenarios)
        good = _show(SCENARIO_HEADS, ((each, _row(one, each)) for one, each in found), _is_clean)
        seen = ((name, one, caught[name].result()) for name, one in broken.items())
        good &= _show(VARIANT_HEADS, ((each, _caught(name, one, each)) for name, one, each in seen), _is_caught)
    return 0 if good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description="Explore the delivery protocol.")
    parser.add_argument("--only", default="", metavar="WORDS", help="scenarios and variants with this in their name")
    parser.add_argument("--most-states", type=int, metavar="N", help="give up a scenario after so many")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="explorations at once")
    return parser.parse_args()


def _is_clean(found: Found) -> bool:
    return found.complete and not found.violation


def _is_caught(found: Found) -> bool:
    return bool(found.violation)


def _row(scenario: Scenario, found: Found) -> list[str]:
    said = found.violation or ("0" if found.complete else "0, given up before the end")
    return [
        found.scenario, scenario.bounds, f"{found.states:,}", f"{found.transitions:,}", str(found.depth),
        f"{found.final:,}", f"{found.executed:,}", f"{found.seconds:,.0f}", said,
    ]  # fmt: skip


def _caught(name: str, variant: Variant, found: Found) -> list[str]:
    return [name, variant.scenario.name, f"{found.states:,}", found.violation or "NOT CAUGHT"]


def _show(heads: tuple[str, ...], rows: Iterator[tuple[Found, list[str]]], is_good: Callable[[Found], bool]) -> bool:
    """Print a table row by row; whether all were good. The way to a violation follows on stderr."""
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}", flush=True)
    good = True
    for found, row in rows:
        print(f"| {' | '.join(cell.splitlines()[0].replace('|', '/') for cell in row)} |", flush=True)
        if not is_good(found):
            good = False
            print(f"{found.scenario}:", *found.trace, sep="\n    ", file=sys.stderr)
    print()
    return good


if __name__ == "__main__":
    sys.exit(main())
