"""What every verb has at hand: the options common to all, the context built from them, and the two streams.

stdout is data, stderr is diagnostics. Never opens the store or reads the configuration before a verb asks for it.
"""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import typer

    from sendctl.passes.context import Context
    from sendctl.settings import Settings


@dataclass
class Shell:
    """One execution of the command line."""

    config: Path | None = None
    quiet: bool = False
    verbose: bool = False
    acted: bool = False  # whether the verb does more than answer
    journals: bool = False  # whether the verb makes files in the journal folder

    def settings(self) -> Settings:
        """The configuration of this host, for a user who may use it. Raises BadConfig."""
        from sendctl.journal.owner import check_user
        from sendctl.settings import load_settings
        from sendctl.settings.store_url import sqlite_path

        settings = load_settings(self.config, os.environ, Path.cwd())
        if self.journals:
            check_user(settings.journal.path, sqlite_path(settings.store.url))
        return settings

    def sending_settings(self) -> Settings:
        """The same, complete: where this host may send it has a provider and every secret. Raises BadConfig."""
        from sendctl.settings import check_sending

        settings = self.settings()
        if settings.send.enabled:
            check_sending(settings, os.environ)
        return settings

    def context(self) -> Context:
        """What passes are given. Raises BadConfig; the store is opened later, by the pass."""
        from sendctl.passes.context import Context

        log_to_stderr(verbose=self.verbose)
        return Context(self.settings())

    def say(self, text: str = "") -> None:
        """Print a result, unless silence was asked for."""
        if not self.quiet:
            print(text)

    def note(self, text: str) -> None:
        """Print a diagnostic: what a person should know beside the result. Silence does not hide it."""
        from sendctl.cli.wording import clean

        print(clean(text, lines=True), file=sys.stderr)


def shell_of(ctx: typer.Context) -> Shell:
    """The shell of this execution."""
    shell: Shell = ctx.ensure_object(Shell)
    return shell


def log_to_stderr(*, verbose: bool) -> None:
    """Let warnings of the passes, and with `verbose` all they say, appear on stderr."""
    import logging

    from sendctl.cli.wording import clean

    class Line(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return clean(f"sendctl: {record.levelname.lower()}: {super().format(record)}", lines=True)

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line("%(message)s"))
    log = logging.getLogger("sendctl")
    log.handlers = [handler]
    log.setLevel(logging.DEBUG if verbose else logging.WARNING)


def print_json(document: Any) -> None:
    """Print one JSON document. Characters a terminal would obey are escaped, as all that is not ASCII."""
    print(json.dumps(document, indent=2))


def print_array(documents: Iterable[Any]) -> None:
    """Print a JSON array, one element a line, written as it is read."""
    lead = "[\n"
    for document in documents:
        sys.stdout.write(lead + json.dumps(document))
        lead = ",\n"
    print("[]" if lead == "[\n" else "\n]")


def source(file: str | None) -> Path | Literal["-"] | None:
    """An input as it was named: a file, "-" for standard input, or none."""
    if file is None:
        return None
    return "-" if file == "-" else Path(file)


def on_terminal() -> bool:
    """Whether a person sits before this process: both answers and questions reach them."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
