"""`sendctl enqueue`: put a campaign and its people into the ledger."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.shell import Shell, print_json, shell_of, source
from sendctl.cli.wording import character, clean, hanging, iso, some, utc
from sendctl.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from sendctl.definition import Definition
    from sendctl.passes.context import Context
    from sendctl.passes.enqueue import EnqueueReport


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("enqueue", cls=Verb, epilog="0 2 3 7 65 69 75 78")(enqueue)


def enqueue(
    ctx: typer.Context,
    campaign_file: Annotated[
        # Not for typer to open: what cannot be read is bad input, in the campaign file as in the contacts file.
        Path | None,
        typer.Argument(metavar="CAMPAIGN.toml", help="The campaign file.", readable=False, show_default=False),
    ] = None,
    contacts: Annotated[
        str | None,
        typer.Option(metavar="FILE", help='Who: CSV or JSON Lines; "-" is standard input.', show_default=False),
    ] = None,
    orders: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help='Order events, for a campaign with a [trigger]: JSON Lines, "-", or a spool folder.',
            show_default=False,
        ),
    ] = None,
    letter: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Instead: a letter, one message to one person.", readable=False, show_default=False
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help='When the first step is due: "now", "+2h", "2026-11-23 09:00".', show_default=False
        ),
    ] = None,
    skip_bad: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Go on without bad rows, kept in FILE, a new one.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:
    """Check a campaign and its contacts or orders, then plan the messages.

    All or nothing: a bad row is named by file, line and column, and nothing is written. Running it again adds only
    who is new, so a longer file adds the difference. A changed campaign file reaches messages not tried yet.
    """
    from sendctl.passes import enqueue as passes

    shell = shell_of(ctx)
    context = shell.context()
    if letter is not None:
        if campaign_file is not None or contacts or orders or skip_bad:
            raise UsageError("--letter names all of it: nothing else can be given but --at and --dry-run")
        report = _letter(context, letter, at, dry_run=dry_run)
    elif campaign_file is None:
        raise UsageError("missing argument 'CAMPAIGN.toml', or a letter with --letter FILE")
    else:
        due_at = _moment(at, campaign_file, context.clock.utc_now()) if at is not None else None
        with _progress(shell, contacts is not None or orders is not None) as progress:
            report = passes.run(
                context, campaign_file, contacts=source(contacts), orders=source(orders), at=due_at, dry_run=dry_run,
                skip_bad=_new_file(skip_bad), progress=progress,
            )  # fmt: skip
    for warning in report.warnings:
        shell.note(f"sendctl: warning: {warning}")
    if as_json:
        print_json(_json(report))
    else:
        for line in _lines(report, context.clock.utc_now()):
            shell.say(line)
        for note in report.notes:
            shell.note(f"sendctl: note: {note}")
    return report.exit_code


def _new_file(skip_bad: str | None) -> Path | None:
    if skip_bad == "-":
        raise UsageError("--skip-bad -: bad rows go to a file, not to standard output", hint="name a new file.")
    return None if skip_bad is None else Path(skip_bad)


def _letter(context: Context, path: Path, at: str | None, *, dry_run: bool) -> EnqueueReport:
    from sendctl.passes import letters

    reader = None if at is None else lambda definition: moment(at, definition, context.clock.utc_now())
    return letters.run(context, path, at=reader, dry_run=dry_run)


def moment(at: str, definition: Definition, now: datetime) -> datetime | Literal["now"]:
    """The moment of --at; a local time is one in the campaign's own time zone. Raises UsageError."""
    from zoneinfo import ZoneInfo

    from sendctl.durations import parse_when

    if at == "now":
        return "now"
    try:
        return parse_when(at, now=now, zone=ZoneInfo(definition.timezone))
    except ValueError as error:
        raise UsageError(f"--at: {error}") from None


def _moment(at: str, campaign_file: Path, now: datetime) -> datetime | Literal["now"]:
    from sendctl.inputs.campaign_file import load_definition

    return "now" if at == "now" else moment(at, load_definition(campaign_file), now)


@contextmanager
def _progress(shell: Shell, reading: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on stderr while a person waits for a file to be read."""
    if shell.quiet or not reading or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<8}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(phase: str, done_bytes: int, all_bytes: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=all_bytes or None)
            bars.update(tasks[phase], completed=done_bytes)

        yield show


def _lines(report: EnqueueReport, now: datetime) -> Iterator[str]:
    would = "would be " if report.dry_run else ""
    state = "new" if report.created else f"revision {report.revision}"
    what = "letter" if report.letter else "campaign"
    yield f"{what} {report.campaign} ({state}): {some(report.planned, 'message')} {would}planned"
    if report.letter:
        yield f"  to               {clean(report.letter)}"
    if report.planned != report.enrolled:
        yield f"  people           {report.enrolled:,}"
    if report.sharing:
        yield f"  shared numbers   {report.sharing:,}: e-mail only, as the text goes to somebody else of that number"
    yield from _changes(report)
    if report.orders:
        yield from _order_lines(report)
    elif not report.letter and (report.rows or report.skipped):
        yield f"  rows             {report.rows:,}"
    if report.known and not report.orders:
        yield f"  known before     {report.known:,}"
    if report.repeated_count:
        addresses = some(report.repeated_addresses, "address", "addresses")
        yield f"  repeated         {some(report.repeated_count, 'row')} of {addresses}, which the file has already"
        yield from (f"    line {line}: {clean(address)}" for line, address in report.repeated)
        left = report.repeated_count - len(report.repeated)
        if left > 0:
            yield f"    ... and {left:,} more"
    if report.skipped:
        yield f"  bad, left out    {report.skipped:,}"
    if report.first_due_at is not None and report.enrolled:
        first = max(report.first_due_at, now)
        yield f"  {'is due' if report.letter else 'first is due':<16} {'now' if first == now else utc(first)}"
    yield from _text_lines(report)
    if report.dry_run:
        yield "nothing was written: this was a dry run"


def _text_lines(report: EnqueueReport) -> Iterator[str]:
    for one in report.texts:
        wide = f", {one.ucs2:,} with characters beyond GSM-7" if one.ucs2 else ""
        longest = f", at most {one.most_segments} each" if one.segments > one.texts else ""
        yield f"  texts of {one.step}: {one.texts:,}, {some(one.segments, 'segment')}{longest}{wide}"
        if one.beyond:
            most = ", ".join(f"{character(each)} in {count:,}" for each, count in one.beyond.most_common(10))
            yield from hanging(most, " " * 19, first="    these are      ")
    if report.priced_by:
        yield from _cost_lines(report)


def _cost_lines(report: EnqueueReport) -> Iterator[str]:
    """What they cost, each reminder as often as it may be sent; and how many texts are not reckoned in."""
    from sendctl.prices import amount

    for one in report.texts if len(report.texts) > 1 else ():
        times = f", or {amount(one.cost * one.repeat)} if it is sent {one.repeat} times" if one.repeat > 1 else ""
        yield f"  cost of {one.step}: {amount(one.cost)} {report.currency}{times}"
    most = sum(one.cost * one.repeat for one in report.texts)
    yield f"  cost at most     {amount(most)} {report.currency}, by the prices of provider {report.priced_by}"
    unpriced = max((one.unpriced for one in report.texts), default=0)
    if unpriced:
        yield f"  without a price  {some(unpriced, 'number')}: what goes there is not reckoned in"


def _changes(report: EnqueueReport) -> Iterator[str]:
    """What a changed campaign file changes: its keys, and its steps by name."""
    alone = {f"steps.{name}" for name in (*report.steps_added, *report.steps_removed)}
    keys = [key for key in report.changed if key not in alone]
    for heading, names in (
        ("changed", keys), ("steps added", report.steps_added), ("steps removed", report.steps_removed)
    ):  # fmt: skip
        if names:
            yield from hanging(clean(", ".join(names)), " " * 19, first=f"  {heading:<17}")


def _order_lines(report: EnqueueReport) -> Iterator[str]:
    if report.files or report.put_aside or report.left:
        aside = f", {len(report.put_aside):,} put aside" if report.put_aside else ""
        left = f", {len(report.left):,} left" if report.left else ""
        yield f"  files            {report.files:,}{aside}{left}"
    yield f"  events           {report.rows:,}"
    for reason, number in report.not_eligible.items():
        yield f"  {'not eligible':<16} {number:,}: {clean(reason)}"
    for event, number in report.stopped.items():
        yield f"  {'stopped':<16} {number:,}: {clean(event)}"
    for reason, number in report.not_stopped.items():
        yield f"  {'not stopped':<16} {number:,}: {reason}"


def _json(report: EnqueueReport) -> dict[str, Any]:
    from sendctl.prices import amount

    return {
        "schema": "sendctl.enqueue/1", "campaign": report.campaign, "dry_run": report.dry_run,
        "created": report.created, "revision": report.revision, "changed": report.changed,
        "steps_added": report.steps_added, "steps_removed": report.steps_removed, "rows": report.rows,
        "enrolled": report.enrolled, "planned": report.planned, "known": report.known, "contacts": report.contacts,
        "skipped": report.skipped,
        "repeated_count": report.repeated_count, "repeated_addresses": report.repeated_addresses,
        "repeated": [{"line": line, "address": address} for line, address in report.repeated],
        "first_due_at": iso(report.first_due_at), "letter": report.letter or None,
        "eligible": report.eligible, "not_eligible": report.not_eligible,
        "stopped": report.stopped, "not_stopped": report.not_stopped, "files": report.files,
        "texts": [
            {"step": one.step, "texts": one.texts, "segments": one.segments, "most_segments": one.most_segments,
             "ucs2": one.ucs2, "beyond": dict(one.beyond.most_common()), "repeat": one.repeat,
             "cost": amount(one.cost) if report.priced_by else None,
             "unpriced": one.unpriced if report.priced_by else None}
            for one in report.texts
        ],
        "priced_by": report.priced_by or None, "currency": report.currency or None,
        "sharing": report.sharing,
        "put_aside": [{"file": name, "reason": reason} for name, reason in report.put_aside],
        "left": [{"file": name, "reason": reason} for name, reason in report.left],
        "unmoved": [{"file": name, "reason": reason} for name, reason in report.unmoved],
        "notes": report.notes, "warnings": report.warnings,
    }  # fmt: skip
