"""The shape of the command line: options that every verb takes, and help that fits 80 columns.

Only layout and the common options; what verbs do is theirs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from sendctl.cli.shell import shell_of
from sendctl.errors import EXIT_MEANINGS, ExitCode

SECTIONS: dict[str, tuple[str, ...]] = {
    "Every day": ("enqueue", "preview", "test-send", "send-due", "reconcile", "ingest", "archive"),
    "What is happening": ("status", "messages", "show", "account"),
    "When something is wrong": ("pause", "resume", "reschedule", "cancel", "tune", "suppress", "resend", "recover"),
    "Set-up": ("init", "migrate", "rotate-key", "providers", "check"),
}
ANSWERS = ("preview", "status", "messages", "show", "providers", "check")  # verbs that do nothing but answer
PASSES = ("send-due", "reconcile", "recover", "migrate")  # verbs whose files would be root's own
_WHOLE = 200  # characters: a first sentence is never cut
_COMMON = ("config", "quiet", "verbose", "help")


def _note(ctx: typer.Context, parameter: Any, value: Any) -> None:
    if value:
        setattr(shell_of(ctx), parameter.name, Path(value) if parameter.name == "config" else value)


def _common_options() -> list[TyperOption]:
    """Options that stand before or after the verb, as fingers have it."""
    return [
        TyperOption(
            param_decls=["--config"], type=str, metavar="FILE", callback=_note, expose_value=False,
            help="The configuration, instead of $SENDCTL_CONFIG or ./sendctl.toml.",
        ),
        TyperOption(
            param_decls=["-q", "--quiet"], is_flag=True, default=False, callback=_note, expose_value=False,
            help="Print nothing when all is well; data that was asked for is printed.",
        ),
        TyperOption(
            param_decls=["-v", "--verbose"], is_flag=True, default=False, callback=_note, expose_value=False,
            help="Say more on stderr; a traceback when something unexpected happens.",
        ),
    ]  # fmt: skip


MOST = 2**63 - 1


def finite(value: float | None) -> float | None:
    """For options that take a number: neither "nan" nor "inf" is one to reckon with."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number of seconds")
    return value


def countable(value: int | None) -> int | None:
    """For options that go into a query: no database counts beyond 64 bits."""
    if value is not None and value > MOST:
        raise typer.BadParameter(f"{value} is more than there can ever be")
    return value


def exit_table(codes: Iterable[ExitCode]) -> list[tuple[str, str]]:
    """The exit codes and what they mean, as rows."""
    return [(str(int(code)), EXIT_MEANINGS[code]) for code in codes]


def _section(formatter: Any, heading: str, rows: list[tuple[str, str]]) -> None:
    if not rows:
        return
    plain = bool(os.environ.get("NO_COLOR"))
    with formatter.section(heading if plain else typer.style(heading, bold=True)):
        formatter.write_dl(rows)


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    own: list[tuple[str, str]] = []
    common: list[tuple[str, str]] = []
    arguments: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            shared = parameter.name in _COMMON
            (arguments if parameter.param_type_name == "argument" else common if shared else own).append(record)
    _section(formatter, "Arguments", arguments)
    _section(formatter, "Options", own)
    _section(formatter, "Options of every command", common)


class Verb(TyperCommand):
    """A command. `epilog` lists the exit codes, by number, that its help explains."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _common_options()

    def invoke(self, ctx: Any) -> Any:
        shell_of(ctx).acted = self.name not in ANSWERS
        shell_of(ctx).journals = self.name in PASSES
        return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_parameters(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        codes = [ExitCode(int(number)) for number in (self.epilog or "").split()]
        _section(formatter, "Exit status", exit_table(codes))


class Program(TyperGroup):
    """The whole: verbs by occasion, then the table of exit codes."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _common_options()

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for heading, names in SECTIONS.items():
            rows = [(name.ljust(10), self.commands[name].get_short_help_str(_WHOLE)) for name in names]
            _section(formatter, heading, rows)
        _write_parameters(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _section(formatter, "Exit status", exit_table(ExitCode))
