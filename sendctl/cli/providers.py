"""`sendctl providers`: who is configured here to send, and what each can and cannot prove."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.shell import print_json, shell_of

if TYPE_CHECKING:
    from sendctl.settings import ProviderTable, Settings

WIDTH = 80
_HANG = 14


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("providers", cls=Verb, epilog="0 2 78")(providers)


def providers(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:
    """List the providers of this host, and what each can and cannot prove.

    What a provider can prove decides how much doubt a crash can leave: docs/PROVIDERS.md has the whole.
    Nothing is connected to, and no secret is read.
    """
    shell = shell_of(ctx)
    settings = shell.context().settings
    if as_json:
        found = [record(table) for table in settings.providers.values()]
        print_json({"schema": "sendctl.providers/1", "order": list(_order(settings)), "providers": found})
        return 0
    for line in lines(settings):
        print(line)
    return 0


def _order(settings: Settings) -> tuple[str, ...]:
    return settings.providers_of(())


def record(table: ProviderTable) -> dict[str, Any]:
    """One provider as JSON."""
    from sendctl.durations import format_rate
    from sendctl.providers.facts import FACTS

    facts = FACTS[table.type]
    can = facts.capabilities
    return {
        "name": table.name, "type": table.type, "channels": list(can.channels),
        "rate": format_rate(table.rate) if table.rate is not None else None,
        "key_window_s": can.key_window_s, "lookup": can.lookup,
        "lookup_by": ("contents" if can.lookup_by_content else "key") if can.lookup else None,
        "retention_s": can.retention_s or None, "absent_after_s": table.options.get("absent_after_s"),
        "batch_max": can.batch_max,
        "accepted": facts.accepted, "same_key": facts.same_key, "asked": facts.lookup, "doubt": facts.doubt,
        "sources": list(facts.sources), "events": facts.events, "pulled": list(can.pulled),
        "pull_events": table.options.get("pull_events") is True,
    }  # fmt: skip


def lines(settings: Settings) -> Iterator[str]:
    """The same for a person, in 80 columns."""
    order = _order(settings)
    if not settings.providers:
        yield "no provider is configured on this host: write a section [providers.NAME] in sendctl.toml"
    for place, table in enumerate(settings.providers.values()):
        found = record(table)
        asked = f"number {order.index(table.name) + 1} of {len(order)}" if table.name in order else "only by name"
        yield from [""] if place else []
        yield f"{table.name}: {found['type']}, {' and '.join(found['channels'])}, {asked}" + (
            f", {found['rate']}" if table.rate else ""
        )
        for label, key in (
            ("accepted", "accepted"), ("same again", "same_key"), ("asked", "asked"), ("doubt", "doubt"),
        ):  # fmt: skip
            yield from _paragraph(label, found[key] + (_absent(found) if key == "asked" else ""))
        off = "" if found["pull_events"] or not found["pulled"] else " (off: pull_events = true turns it on)"
        yield from _paragraph("events", found["events"] + off)
        yield from _paragraph("sources", "; ".join(found["sources"]))


def _absent(found: dict[str, Any]) -> str:
    """What the operator has said of a service's index."""
    from sendctl.durations import format_duration

    after_s = found["absent_after_s"]
    return f"; here it does when it is in doubt for {format_duration(after_s)} (absent_after_s)" if after_s else ""


def _paragraph(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"  {label}".ljust(_HANG), subsequent_indent=" " * _HANG, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
