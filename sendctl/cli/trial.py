"""`sendctl test-send`: one marked message of a campaign, through its provider, to an address of one's own."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.shell import print_json, shell_of, source
from sendctl.cli.wording import clean, hanging, some

if TYPE_CHECKING:
    from sendctl.passes.trial import TrialReport

_LABEL = 14  # columns, with the indent


class Way(StrEnum):
    """How it travels."""

    EMAIL = "email"
    SMS = "sms"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("test-send", cls=Verb, epilog="0 2 3 5 65 69 75 78")(send_test)


def send_test(
    ctx: typer.Context,
    campaign: Annotated[
        str, typer.Argument(metavar="CAMPAIGN", help="The campaign's file, or its name.", show_default=False)
    ],
    to: Annotated[str, typer.Option(metavar="ADDRESS", help="Who gets it: an address of your own.",
                                    show_default=False)],
    step: Annotated[
        str | None, typer.Option(metavar="NAME", help="The step; else the first.", show_default=False)
    ] = None,
    channel: Annotated[
        Way | None, typer.Option(help="The way; else as ADDRESS is written.", show_default=False)
    ] = None,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="Through this one; else the campaign's first.",
                                 show_default=False)
    ] = None,
    contacts: Annotated[
        str | None, typer.Option(metavar="FILE", help="Take a record's data; without it, names stand for values.",
                                 show_default=False)
    ] = None,
    orders: Annotated[
        str | None, typer.Option(metavar="FILE", help="Take an order event's, for a campaign with a [trigger].",
                                 show_default=False)
    ] = None,
    row: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The record or event, from 1; else the first.",
                                 show_default=False)
    ] = None,
    contact: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The record with this address; of a campaign that is"
                                 " enqueued, this person's.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit.", show_default=False)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:  # fmt: skip
    """Send one marked message of a campaign to an address of your own.

    It goes through the campaign's first provider, as any message does. Nobody's place moves, and nothing is counted:
    only the audit has it. Its links hold a token that nobody has.
    """
    from sendctl.passes import trial as passes

    shell = shell_of(ctx)
    wanted = passes.Wanted(
        to, step, channel.value if channel else None, provider, source(contacts), source(orders), row, contact,
        reason.strip(),
    )  # fmt: skip
    report = passes.run(shell.context(), campaign, wanted)
    if as_json:
        print_json(_json(report))
    elif report.exit_code or not shell.quiet:
        for line in _lines(report):
            print(line)
    if report.left_alone:
        shell.note(f"sendctl: note: passes leave provider {report.provider} alone for now: {report.left_alone}")
    if report.sample and not as_json:
        shell.note("sendctl: note: names in brackets stood for values; --contacts or --contact takes somebody's")
    return report.exit_code


def _lines(report: TrialReport) -> Iterator[str]:
    outcome = report.outcome
    verdict = {"untouched": "not sent"}.get(str(outcome.kind), str(outcome.kind))
    yield f"test of campaign {report.campaign}, step {report.step}: {verdict}"
    length = report.length
    for label, text in (
        ("to", report.to), ("through", report.provider),
        ("length", f"{some(length.segments, 'segment')} of {length.encoding}" if length else ""),
        ("message id", report.message_id), ("provider id", outcome.provider_message_id),
        ("got as far as", "" if outcome.kind == "accepted" else str(outcome.phase)), ("reply", outcome.text),
    ):  # fmt: skip
        if text:
            yield from hanging(clean(text), " " * (_LABEL + 2), first=f"  {label}".ljust(_LABEL + 2))


def _json(report: TrialReport) -> dict[str, Any]:
    outcome, length = report.outcome, report.length
    return {
        "schema": "sendctl.test-send/1", "campaign": report.campaign, "step": report.step, "channel": report.channel,
        "to": report.to, "provider": report.provider, "sample": report.sample, "key": report.key,
        "message_id": report.message_id or None, "sms": length._asdict() if length else None,
        "outcome": outcome.kind, "phase": outcome.phase, "scope": outcome.scope, "code": outcome.code,
        "enhanced": outcome.enhanced or None, "error_class": outcome.error_class or None,
        "reply": outcome.text or None, "provider_message_id": outcome.provider_message_id or None,
        "left_alone": report.left_alone or None, "exit_code": report.exit_code,
    }  # fmt: skip
