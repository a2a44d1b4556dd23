"""How a failure looks on stderr, and which exit code it has. The only place that turns exceptions into words."""

from __future__ import annotations

import errno
import sys
import traceback

import typer

from sendctl import stopping
from sendctl.cli.wording import clean
from sendctl.errors import ExitCode, SendctlError

# The base of what typer raises for a wrong command line. It has moved between modules from release to release.
WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]

_PROBLEM_CHARACTERS = 500


def explain(error: BaseException, *, verbose: bool, quiet: bool) -> ExitCode:
    """Say on stderr what went wrong and what to do; returns the exit code."""
    match error:
        case SendctlError():
            if verbose:
                traceback.print_exception(error)
            _say(str(error), error.hint)
            return error.exit_code
        case KeyboardInterrupt() | typer.Abort():
            return _stopped(quiet=quiet)
        case _:
            return _unexpected(error, verbose=verbose)


def _stopped(*, quiet: bool) -> ExitCode:
    """By a signal, or at a question by the end of the input. One line, and no waiting for a reader of stdout."""
    if not quiet:
        by = f"stopped by {stopping.asked()}" if stopping.asked() else "stopped: no answer"
        print(f"sendctl: {by}; nothing is lost, run the command again", file=sys.stderr)
    return ExitCode.STOPPED_EARLY


def _unexpected(error: BaseException, *, verbose: bool) -> ExitCode:
    if verbose:
        traceback.print_exception(error)
    first = next(iter(str(error).splitlines()), "")[:_PROBLEM_CHARACTERS]
    _say(f"unexpected {type(error).__name__}: {first}".rstrip(": "), "" if verbose else "-v shows where it happened.")
    return ExitCode.UNEXPECTED


def explain_usage(error: Exception) -> ExitCode:
    """Say what is wrong with the command line."""
    ctx = getattr(error, "ctx", None)
    command = ctx.command_path if ctx else "sendctl"
    problem = str(error.format_message()) if hasattr(error, "format_message") else str(error)
    _say((problem[:1].lower() + problem[1:]).rstrip("."), f"`{command} --help` explains the command.")
    return ExitCode.USAGE


def explain_lost(lost: OSError | None, code: int, *, acted: bool) -> int:
    """Say that output did not arrive, and why; returns the exit code.

    What was done is done: its own code counts, and only a command that did nothing but answer has failed. A reader
    that went away, such as `head`, has had enough.
    """
    if lost is None or isinstance(lost, BrokenPipeError):
        return code
    reason = "it is closed" if lost.errno == errno.EBADF else lost.strerror
    _say(f"standard output cannot be written: {reason}", "what the command did is done." if acted else "")
    return code or (ExitCode.DONE if acted else ExitCode.UNEXPECTED)


def _say(problem: str, hint: str) -> None:
    sys.stdout.flush()  # so that both streams in one file tell the story in order
    print("sendctl: error: " + clean(problem, lines=True).replace("\n", "\n  "), file=sys.stderr)
    if hint:
        print("  hint: " + clean(hint, lines=True).replace("\n", "\n  "), file=sys.stderr)
