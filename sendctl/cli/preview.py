"""`sendctl preview`: one message as its reader will see it, from the files alone."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.shell import Shell, print_json, shell_of, source
from sendctl.cli.wording import character, clean, some

if TYPE_CHECKING:
    from sendctl.passes.preview import PreviewReport


class Part(StrEnum):
    """What of the message is printed."""

    ALL = "all"
    HEADERS = "headers"
    TEXT = "text"
    HTML = "html"
    SMS = "sms"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("preview", cls=Verb, epilog="0 2 65")(preview)


def preview(
    ctx: typer.Context,
    campaign_file: Annotated[
        Path, typer.Argument(metavar="CAMPAIGN.toml", help="The campaign file, or a letter.", readable=False)
    ],
    contacts: Annotated[
        str | None, typer.Option(metavar="FILE", help="Whose data; without it, names stand for values.",
                                 show_default=False)
    ] = None,
    orders: Annotated[
        str | None, typer.Option(metavar="FILE", help="Order events, for a campaign with a [trigger].",
                                 show_default=False)
    ] = None,
    row: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The record or event, from 1; else the first.",
                                 show_default=False)
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The record with this address.", show_default=False)
    ] = None,
    step: Annotated[
        str | None, typer.Option(metavar="NAME", help="The step; else the first.", show_default=False)
    ] = None,
    part: Annotated[Part, typer.Option(help="What to print.")] = Part.ALL,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:  # fmt: skip
    """Show one message of a campaign as it would be sent.

    Needs no store and no configuration; where there is one, it says what a text costs. What varies by person comes
    from the contacts file, or from the first item of the orders that is eligible; links hold a made-up token.
    """
    from sendctl.clock import SystemClock
    from sendctl.passes import preview as passes
    from sendctl.rendering.segments import beyond_gsm

    report = passes.run(
        campaign_file, contacts=source(contacts), orders=source(orders), row=row, to=to, step=step,
        now=SystemClock().utc_now(),
    )  # fmt: skip
    shell = shell_of(ctx)
    cost = _cost(shell, report)
    if as_json:
        names = ("campaign", "channel", "step", "recipient", "sample", "subject", "headers", "text", "html",
                 "size_bytes")  # fmt: skip
        sms = _text_json(report, cost)
        print_json({"schema": "sendctl.preview/1"} | {name: getattr(report, name) for name in names} | {"sms": sms})
    else:
        _print(report, part, cost)
        if not {Part.HTML: report.html, Part.TEXT: report.text, Part.SMS: report.sms}.get(part, "there"):
            shell.note(f"sendctl: note: step {report.step} has no {part} part")
        wide = beyond_gsm(report.sms) if part in (Part.ALL, Part.SMS) else []
        if wide:
            shown = ", ".join(map(character, wide[:20]))
            shell.note(f"sendctl: note: not in GSM-7, so that a segment holds less than half: {shown}")
    if report.sample:
        option = "--orders FILE shows an order's" if report.of_orders else "--contacts FILE shows a person's"
        shell.note(f"sendctl: note: names in brackets stand for values; {option}")
    return report.exit_code


def _cost(shell: Shell, report: PreviewReport) -> dict[str, str] | None:
    """What the text costs by the provider that is asked first, where a configuration is at hand and has its price."""
    from sendctl.errors import BadConfig
    from sendctl.prices import amount

    if report.sms_length is None:
        return None
    try:
        settings = shell.settings()
    except BadConfig:
        if shell.config is not None:
            raise
        return None
    names = settings.carriers(report.providers, "sms")
    prices = settings.providers[names[0]].prices if names else None
    price = prices.of(report.phone) if prices is not None else None
    if prices is None or price is None:
        return None
    cost = amount(price * report.sms_length.segments)
    return {"amount": cost, "currency": prices.currency, "provider": names[0]}


def _text_json(report: PreviewReport, cost: dict[str, str] | None) -> dict[str, Any] | None:
    from sendctl.rendering.segments import beyond_gsm

    if report.sms_length is None:
        return None
    text = {"to": report.phone, "text": report.sms, **report.sms_length._asdict()}
    return {**text, "beyond": beyond_gsm(report.sms), "cost": cost}


def _print(report: PreviewReport, part: Part, cost: dict[str, str] | None) -> None:
    if part is not Part.ALL:
        parts = {Part.HEADERS: report.headers, Part.TEXT: report.text, Part.HTML: report.html, Part.SMS: report.sms}
        text = parts[part]
        if text:
            print(clean(text, lines=True).rstrip("\n"))
        return
    size = f", {report.size_bytes:,} bytes" if report.size_bytes else ""
    print(f"campaign {report.campaign}, step {report.step}{size}")
    price = f", {cost['amount']} {cost['currency']}" if cost else ""
    sms = f"sms to {report.phone}: {_length(report)}{price}"
    for heading, text in (
        ("headers", report.headers), ("text", report.text), ("html", report.html), (sms, report.sms)
    ):  # fmt: skip
        if text:
            print(f"\n---- {heading} " + "-" * (74 - len(heading)))
            print(clean(text, lines=True).rstrip("\n"))


def _length(report: PreviewReport) -> str:
    length = report.sms_length
    return f"{some(length.segments, 'segment')}, {length.units} units of {length.encoding}" if length else ""
