"""`sendctl status`: what is happening, what is wrong, what to do next; for people, programs and monitoring."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sendctl import stopping
from sendctl.cli import streams
from sendctl.cli.frame import Verb, finite
from sendctl.cli.shell import Shell, print_json, shell_of
from sendctl.cli.status_data import campaign_document, overview_document, plugin_line
from sendctl.cli.wording import clean
from sendctl.errors import ExitCode, SendctlError, UsageError

if TYPE_CHECKING:
    from sendctl.passes.context import Context

UNKNOWN = 3  # of the monitoring-plugin convention


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("status", cls=Verb, epilog="0 2 69 75 78")(status)


def status(
    ctx: typer.Context,
    campaign: Annotated[
        str | None, typer.Option(metavar="NAME", help="One campaign in depth.", show_default=False)
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="One line for monitoring; exit 0 OK, 1 warning, 2 critical, 3 unknown.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until Ctrl-C.")] = False,
    every: Annotated[
        float, typer.Option(metavar="S", min=0.2, callback=finite, help="Seconds between two looks.")
    ] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:
    """Show what is happening, what is wrong and what to do next.

    Without --campaign: all campaigns, but archived ones. Every number is counted in the ledger at this moment. With
    -q, also of --check, nothing is printed unless there is trouble.
    """
    shell = shell_of(ctx)
    if check + watch + as_json > 1:
        raise UsageError("--check, --watch and --json exclude each other")
    if check:
        return _check(shell, campaign)
    if watch:
        return _watch(shell, campaign, every)
    from sendctl.passes import status as passes
    from sendctl.passes.advice import Level, advise, worst

    situation = passes.read(shell.context(), campaign)
    advice = advise(situation)
    if as_json:
        print_json(
            overview_document(situation, advice) if campaign is None
            else campaign_document(situation, situation.campaigns[0], advice)
        )  # fmt: skip
    elif not shell.quiet or worst(advice) is not Level.OK:
        from sendctl.cli.screen import console
        from sendctl.cli.status_screen import screenful

        console().show(screenful(situation, one=campaign is not None))
    return ExitCode.DONE


def _check(shell: Shell, campaign: str | None) -> int:
    """The monitoring-plugin convention: one line, and whatever hinders the look itself is UNKNOWN."""
    try:
        from sendctl.passes import status as passes
        from sendctl.passes.advice import Level, advise, worst

        situation = passes.read(shell.context(), campaign)
        advice = advise(situation)
    except SendctlError as error:
        problem = "; ".join(line.strip() for line in str(error).splitlines())
        print(f"SENDCTL UNKNOWN - {clean(problem).replace('|', '/')}")
        return UNKNOWN
    if not shell.quiet or worst(advice) is not Level.OK:
        print(plugin_line(situation, advice))
    return int(worst(advice))


def _watch(shell: Shell, campaign: str | None, every_s: float) -> int:
    """A live screen. Ctrl-C ends it, and that is no failure; SIGTERM is what it is for every command."""
    if not sys.stdout.isatty():
        raise UsageError("--watch needs a terminal", hint="leave it out, or use --json in a loop.")
    context = shell.context()
    try:
        _live(context, campaign, every_s)
    except KeyboardInterrupt:
        if stopping.asked() == "SIGTERM":
            raise
    return ExitCode.DONE


def _live(context: Context, campaign: str | None, every_s: float) -> None:
    import time

    from rich.live import Live

    from sendctl.cli.screen import console
    from sendctl.cli.status_screen import screenful
    from sendctl.passes import status as passes

    with Live(console=console().console, screen=True, auto_refresh=False) as live:
        while streams.lost() is None:
            situation = passes.read(context, campaign)
            live.update(screenful(situation, one=campaign is not None), refresh=True)
            time.sleep(every_s)
