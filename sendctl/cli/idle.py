"""The pass that cron starts each minute and that finds nothing due: answered before the command line is even built.

Most of what such a pass costs is the import of what it does not need. Whatever is not plainly that pass with nothing
to do is left to the whole program, which begins from the start: it understands, refuses and explains.
"""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sendctl import stopping
from sendctl.cli.shell import Shell
from sendctl.errors import ExitCode, SendctlError

looked = False  # whether it was just found that a pass has something to do


def answered(arguments: Sequence[str]) -> ExitCode | None:
    """The exit code of a quiet `send-due` that has nothing to do, or that the store kept waiting; else None."""
    shell = _quiet_pass(arguments)
    if shell is None:
        return None
    try:
        with stopping.raising():
            return _asked(shell)
    except stopping.Stopped:
        return ExitCode.STOPPED_EARLY
    except Exception:  # whatever it is, the whole program meets it again and explains it
        return None


def _quiet_pass(arguments: Sequence[str]) -> Shell | None:
    """What was asked for, if it is `send-due -q`, with a configuration or without, in any order, and no more."""
    shell = Shell(journals=True)
    words = list(arguments)
    if words.count("send-due") != 1:
        return None
    words.remove("send-due")
    while words:
        word = words.pop(0)
        if word in ("-q", "--quiet"):
            shell.quiet = True
        elif word == "--config" and words:
            shell.config = Path(words.pop(0))
        elif word.startswith("--config="):
            shell.config = Path(word.removeprefix("--config="))
        else:
            return None
    return shell if shell.quiet else None


def _asked(shell: Shell) -> ExitCode | None:
    """Raises BadConfig, which the whole program explains, as it asks for nothing that takes long."""
    from sendctl.passes.idle import is_idle

    global looked  # noqa: PLW0603  one command line a process
    settings = shell.sending_settings()
    looked = True
    try:
        return ExitCode.DONE if is_idle(settings) else None
    except SendctlError as problem:  # a long wait: to begin anew would be as long again
        from sendctl.cli import streams
        from sendctl.cli.failures import explain

        streams.guard()
        return explain(problem, verbose=False, quiet=True)
