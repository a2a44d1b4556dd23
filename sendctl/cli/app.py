"""The program: registers the verbs, runs one, and maps every way it can end to an exit code."""

from __future__ import annotations

import sys
from functools import cache
from typing import Annotated, Any

import typer

from sendctl import __version__, stopping
from sendctl.cli import (
    account,
    check,
    controls,
    enqueue,
    ingest,
    letters,
    messages,
    preview,
    providers,
    reconcile,
    recover,
    resend,
    send_due,
    setup,
    show,
    status,
    streams,
    suppress,
    trial,
)
from sendctl.cli.failures import WrongUsage, explain, explain_lost, explain_usage
from sendctl.cli.frame import Program
from sendctl.cli.shell import Shell
from sendctl.errors import ExitCode

# Rich would cost each `--help` a tenth of a second, and its boxes do not survive a pipe or a man page.
app = typer.Typer(
    name="sendctl",
    cls=Program,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for _verb in (
    setup,
    enqueue,
    preview,
    send_due,
    reconcile,
    ingest,
    status,
    messages,
    show,
    account,
    controls,
    letters,
    recover,
    resend,
    suppress,
    providers,
    check,
    trial,
):
    _verb.register(app)


def _version(value: bool) -> None:
    if value:
        print(f"sendctl {__version__}")
        raise typer.Exit


@app.callback()
def sendctl(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Send campaigns from cron, and always know who was reached.

    Each command is one pass over a durable ledger: it does what is due, says what it did, and exits.
    `sendctl COMMAND --help` explains a command.
    """


@cache
def program() -> Any:
    """All commands with their options. Building them takes as long as many a command, so once is enough."""
    return typer.main.get_command(app)


def main() -> None:
    """The whole program. Ends by SystemExit."""
    stopping.listen()
    streams.guard()
    shell = Shell()
    code = run(sys.argv[1:], shell)
    sys.stdout.flush()
    code = explain_lost(streams.lost(), code, acted=shell.acted)
    stopping.ignore()
    sys.exit(code)


def run(arguments: list[str], shell: Shell | None = None) -> int:
    """Run one command line; returns the exit code."""
    shell = shell or Shell()
    try:
        with (
            stopping.raising(),
            program().make_context("sendctl", list(arguments) or ["--help"], obj=shell) as ctx,
        ):
            return int(ctx.command.invoke(ctx) or ExitCode.DONE)
    except typer.Exit as ending:
        return ending.exit_code
    except WrongUsage as error:
        return explain_usage(error)
    except (Exception, KeyboardInterrupt) as error:
        return explain(error, verbose=shell.verbose, quiet=shell.quiet)
