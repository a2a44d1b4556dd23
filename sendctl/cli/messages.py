"""`sendctl messages`: who got it, who did not, who is unknown; as a table, JSON, JSON Lines or CSV."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sendctl.cli import streams
from sendctl.cli.frame import Verb, countable
from sendctl.cli.shell import Shell, print_array, shell_of
from sendctl.cli.wording import ago, clean, iso, step_of
from sendctl.errors import ExitCode, UsageError
from sendctl.states import Channel, EventType, State

if TYPE_CHECKING:
    from datetime import datetime

    from sendctl.passes.listing import Listed
    from sendctl.store.listing import MessageRow

TABLE_ROWS = 50
ERROR_COLUMNS = 60


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("messages", cls=Verb, epilog="0 2 69 75 78")(messages)


def messages(
    ctx: typer.Context,
    campaign: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this campaign.", show_default=False)
    ] = None,
    status: Annotated[
        State | None, typer.Option(metavar="STATE", help="Only in this state.", show_default=False)
    ] = None,
    event: Annotated[
        EventType | None,
        typer.Option(metavar="TYPE", help="Only those with such an event, such as clicked.", show_default=False),
    ] = None,
    channel: Annotated[
        Channel | None, typer.Option(metavar="CHANNEL", help="Only by email, or by sms.", show_default=False)
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Only to this person.", show_default=False)] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, callback=countable, help="At most N; a table has 50, else all.", show_default=False
        ),
    ] = None,
    after: Annotated[
        int,
        typer.Option(metavar="ID", min=0, callback=countable, help="Go on after this message.", show_default=False),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array (docs/json.md).")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV that is safe to open in a spreadsheet.")] = False,
) -> int:
    """List messages in order of id, whatever their number.

    The states: queued, sending, in_doubt, sent (the provider accepted it), bounced, failed, suppressed, cancelled,
    expired. After a state stands how far the person has come, as in "sent, clicked". A table is for people: outside a
    terminal it cuts long errors and nothing else. Programs take --json, --jsonl or --csv.
    """
    from sendctl.passes import listing

    if as_json + as_jsonl + as_csv > 1:
        raise UsageError("--json, --jsonl and --csv exclude each other")
    shell = shell_of(ctx)
    is_table = not (as_json or as_jsonl or as_csv)
    most = limit or (TABLE_ROWS if is_table else None)
    selected = listing.messages(
        shell.context(), campaign=campaign, state=status, to=to, event=event, channel=channel, limit=most,
        after_id=after,
    )  # fmt: skip
    with selected as (now, every):
        rows = _while_read(every)
        if as_json:
            print_array(message_json(row) for row in rows)
        elif as_jsonl:
            for row in rows:
                print(json.dumps(message_json(row)))
        elif as_csv:
            _write_csv(rows)
        else:
            _print_table(shell, list(rows), now, most or TABLE_ROWS, with_campaign=campaign is None)
    return ExitCode.DONE


def _while_read(rows: Iterator[Listed]) -> Iterator[Listed]:
    """The rows as long as there is somebody to read them."""
    return itertools.takewhile(lambda _: streams.lost() is None, rows)


def message_json(listed: Listed) -> dict[str, Any]:
    """One message as data."""
    row = listed.row
    return {
        "schema": "sendctl.message/1", "id": row.id, "campaign": row.campaign, "to": row.recipient,
        "channel": row.channel, "step": row.step, "occurrence": row.occurrence, "copy": row.copy,
        "status": row.status, "attempts": row.attempts,
        "due_at": iso(row.due_at), "next_attempt_at": iso(row.next_attempt_at), "sent_at": iso(row.sent_at),
        "failed_at": iso(row.failed_at), "in_doubt_at": iso(row.in_doubt_at), "provider": row.provider,
        "provider_message_id": row.provider_message_id, "message_id": listed.message_id or None,
        "error_class": row.error_class, "last_error": row.last_error, "progress": row.progress,
        "held": row.held,
    }  # fmt: skip


def _write_csv(rows: Iterator[Listed]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\r\n")  # RFC 4180 section 2
    columns: list[str] = []
    for row in rows:
        data = message_json(row)
        if not columns:
            columns = [name for name in data if name != "schema"]
            writer.writerow(columns)
        writer.writerow([harmless(data[name]) for name in columns])


def harmless(value: object) -> str:
    """A CSV field that no spreadsheet takes for a formula, and no terminal for a command.

    Source: OWASP, "CSV Injection".
    """
    text = "" if value is None else clean(str(value))
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _print_table(shell: Shell, rows: list[Listed], now: datetime, limit: int, *, with_campaign: bool) -> None:
    from rich.table import Table

    from sendctl.cli.screen import BY_STATE, console, plain

    if not rows:
        shell.say("no such messages")
        return
    screen = console(wide=True)
    errors = any(listed.row.last_error for listed in rows)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("ID", justify="right", no_wrap=True)
    with_channel = {listed.row.channel for listed in rows} != {Channel.EMAIL}
    named = [step_of(listed.row.step, listed.row.occurrence, listed.row.copy) for listed in rows]
    with_step = len(set(named)) > 1 or named[0] != rows[0].row.step
    for heading, shown in (("CAMPAIGN", with_campaign), ("TO", True), ("BY", with_channel), ("STEP", with_step)):
        if shown:
            table.add_column(heading, overflow="fold")  # these and LAST ERROR give way where the terminal is narrow
    for heading in ("STATE", "WHEN", "TRIES"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "TRIES" else "left")
    if errors:
        table.add_column("LAST ERROR")
    for listed, step in zip(rows, named, strict=True):
        row = listed.row
        texts = [row.campaign] * with_campaign + [clean(row.recipient)] + [row.channel] * with_channel
        texts += [step] * with_step
        cells = [plain(text) for text in (str(row.id), *texts)] + [plain(_state(row), BY_STATE[row.status])]
        cells += [plain(_since(listed, now)), plain(str(row.attempts))]
        table.add_row(*cells, *([plain(_error(row.last_error or "", screen.console.is_terminal))] if errors else []))
    screen.show(table)
    if len(rows) == limit:
        shell.note(f"{limit} shown; more: --after {rows[-1].row.id}, or --json, --csv for all")


def _state(row: MessageRow) -> str:
    """Its state, and how far whoever got it has come."""
    return f"{row.status}, {row.progress}" if row.progress else row.status


def _error(text: str, terminal: bool) -> str:
    """An error for a table: a terminal cuts it where it ends, elsewhere it is bounded."""
    whole = clean(text)
    return whole if terminal or len(whole) <= ERROR_COLUMNS else f"{whole[: ERROR_COLUMNS - 3]}..."


def _since(listed: Listed, now: datetime) -> str:
    """When it came into its state, or when it will leave it."""
    row = listed.row
    moment = {State.SENT: row.sent_at, State.FAILED: row.failed_at, State.IN_DOUBT: row.in_doubt_at}.get(row.status)
    if moment is None and row.status in (State.CANCELLED, State.SUPPRESSED, State.EXPIRED):
        return ""  # it will never leave it
    return ago(moment or row.next_attempt_at, now)
