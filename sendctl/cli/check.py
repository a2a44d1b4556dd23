"""`sendctl check`: what stands between this host and a message that arrives, asked before anybody is written to."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.shell import print_json, shell_of
from sendctl.cli.wording import clean, hanging

if TYPE_CHECKING:
    from sendctl.passes.check import CheckReport, Line

_WHAT = 14  # columns, with the indent
_TEXT = _WHAT + 13


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("check", cls=Verb, epilog="0 2 4 5 6 65 69 75 78")(check)


def check(
    ctx: typer.Context,
    providers: Annotated[
        list[str] | None, typer.Argument(metavar="[PROVIDER]...", help="Those to ask; else all.", show_default=False)
    ] = None,
    campaign: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", help="Ask about this campaign's senders, at its providers.",
                     show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:  # fmt: skip
    """Ask whether this host can send: settings, store, journal, keys, senders.

    Each provider is asked something harmless, all at once, for 20 seconds at most. Nothing is sent or written down.
    Senders are those of running and paused campaigns. The exit code is 0 unless something failed.
    """
    from sendctl.passes import check as passes
    from sendctl.providers.checks import Standing

    shell = shell_of(ctx)
    report = passes.run(shell.context(), providers or (), campaign)
    if as_json:
        print_json(_json(report))
        return report.exit_code
    wanted = [one for one in report.lines if not shell.quiet or one.checked.standing is Standing.FAILED]
    for line in _lines(wanted):
        print(line)
    shell.say(_summary(report))
    return report.exit_code


def _lines(found: list[Line]) -> Iterator[str]:
    """In 80 columns, a heading for this host and for each provider."""
    heading = ""
    for one in found:
        title = f"{one.about} ({one.type})" if one.about else "this host"
        if title != heading:
            heading = title
            yield title
        what, text = f"  {clean(one.checked.what)}", clean(one.checked.said)
        if len(what) >= _WHAT:
            yield what
            what = ""
        yield from hanging(text, " " * _TEXT, first=what.ljust(_WHAT) + f"{one.checked.standing:<13}")
        if one.checked.to_do:
            yield from hanging(clean(one.checked.to_do), " " * _TEXT, first=" " * _WHAT + f"{'to do':<13}")


def _summary(report: CheckReport) -> str:
    from sendctl.providers.checks import Standing

    failed, unsure = report.count(Standing.FAILED), report.count(Standing.CANNOT_TELL)
    doubt = f"; {unsure} cannot be told" if unsure else ""
    return (f"{failed} failed" if failed else "nothing failed") + doubt


def _json(report: CheckReport) -> dict[str, Any]:
    from sendctl.providers.checks import Standing

    return {
        "schema": "sendctl.check/1",
        "checks": [
            {"provider": one.about or None, "type": one.type or None, "what": one.checked.what,
             "standing": one.checked.standing.replace(" ", "_"), "said": one.checked.said,
             "to_do": one.checked.to_do or None}
            for one in report.lines
        ],
        "failed": report.count(Standing.FAILED), "cannot_tell": report.count(Standing.CANNOT_TELL),
        "exit_code": report.exit_code,
    }  # fmt: skip
