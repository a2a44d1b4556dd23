"""`sendctl ingest`: take in what was learned of messages after they were sent."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.shell import Shell, print_json, shell_of, source
from sendctl.cli.wording import clean, count, some
from sendctl.errors import UsageError

if TYPE_CHECKING:
    from sendctl.passes.events import Applied
    from sendctl.passes.ingest import IngestReport


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("ingest", cls=Verb, epilog="0 2 3 4 65 69 75 78")(ingest)


def ingest(
    ctx: typer.Context,
    wanted: Annotated[
        str,
        typer.Argument(metavar="FILE|DIR|-", help='JSON Lines; all files of a spool; "-" is standard input.'),
    ],
    skip_bad: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Go on without bad and unmatched lines, kept in FILE, a new one.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:
    """Take in events: delivered, opened, clicked, submitted, bounced, complained, unsubscribed.

    Each counts once, in whatever order and however often it comes. What ends an enrollment cancels its queued
    messages at once. A file with a bad line is refused whole; of a spool the good lines count, and each file moves to
    done/ or bad/. Ends with 3 when events are about nothing that the store knows.
    """
    from sendctl.passes import ingest as passes

    shell = shell_of(ctx)
    if skip_bad == "-":
        raise UsageError("--skip-bad -: bad lines go to a file, not to standard output", hint="name a new file.")
    given = source(wanted)
    assert given is not None
    if skip_bad is not None and isinstance(given, Path) and given.is_dir():
        raise UsageError("--skip-bad is about one file", hint=f"bad lines of a spool go to {clean(wanted)}/bad.")
    report = passes.run(shell.context(), given, skip_bad=Path(skip_bad) if skip_bad is not None else None)
    _show(shell, report, as_json=as_json)
    return report.exit_code


def _show(shell: Shell, report: IngestReport, *, as_json: bool) -> None:
    if as_json:
        print_json({"schema": "sendctl.ingest/1"} | report.as_detail() | {"exit_code": int(report.exit_code)})
    else:
        for line in lines(report):
            shell.say(line)
    for line in trouble(report):
        shell.note(f"sendctl: warning: {line}")


def lines(report: IngestReport) -> Iterator[str]:
    """What came in and what it did."""
    applied = report.applied
    yield fresh(applied)
    if applied.known:
        yield f"{some(applied.known, 'event')} known before: nothing changed"
    yield from effects(applied)
    if report.ignored:
        yield f"{some(report.ignored, 'event')} of services without a meaning here, passed over"
    if report.foreign:
        yield f"{some(report.foreign, 'event')} about messages of others in the same accounts, passed over"
    if report.waiting:
        yield f"{some(report.waiting, 'event')} about nothing known yet, left in the spool"
    if report.files:
        yield f"{some(report.files, 'file')} done with"


def fresh(applied: Applied) -> str:
    """How many events are new, and of which types."""
    kinds = ", ".join(f"{kind} {count(number)}" for kind, number in sorted(applied.by_type.items()))
    return f"{some(applied.fresh, 'new event')}" + (f": {kinds}" if kinds else "")


def effects(applied: Applied) -> Iterator[str]:
    """What events did to messages, enrollments and addresses."""
    told = (
        (applied.proven, "message", "in doubt proven sent"),
        (applied.bounced, "message", "bounced"),
        (applied.stopped, "enrollment", "stopped"),
        (applied.cancelled, "queued message", "cancelled"),
        (applied.in_flight, "message", "in flight when the stop came: not held back"),
    )
    for number, noun, what in told:
        if number:
            yield f"{some(number, noun)} {what}"
    if applied.suppressed:
        yield f"{some(applied.suppressed, 'address', 'addresses')} suppressed"
    if applied.set_aside:
        yield f"{some(applied.set_aside, 'queued message')} set aside for good"


def trouble(report: IngestReport) -> Iterator[str]:
    """What a person should look at."""
    yield from report.not_matched
    left = report.unmatched - len(report.not_matched)
    if left > 0:
        yield f"... and {some(left, 'more event', 'more events')} about nothing known here"
    if report.left_out_in:
        yield f"{some(report.bad + report.unmatched, 'line')} left out, kept in {report.left_out_in}"
    for path in report.set_aside:
        yield f"not used: {path}, and why: {path}.reason"
    yield from report.notices
    for unopened in report.unopened:
        yield f"left in the spool, as nobody can tell now whether it is genuine: {unopened}"
    for unmoved in report.unmoved:
        yield f"left in the spool, and read again each time: {unmoved}"
    for path in report.strangers:
        yield f"left alone: {path} is named neither .jsonl nor .ndjson nor .json"
