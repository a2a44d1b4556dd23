"""`sendctl suppress`: addresses never to be contacted again."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sendctl.cli import streams
from sendctl.cli.frame import Verb
from sendctl.cli.shell import Shell, print_array, print_json, shell_of, source
from sendctl.cli.wording import clean, in_flight, iso, some, utc
from sendctl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from sendctl.passes.suppress import Asked, SuppressReport
    from sendctl.store.suppressions import Suppression


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("suppress", cls=Verb, epilog="0 2 65 69 75 78")(suppress)


def suppress(
    ctx: typer.Context,
    addresses: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ADDRESS]...", help="E-mail addresses or phone numbers.", show_default=False),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help='More, one on a line; "-" is standard input.', show_default=False),
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why, for the list and the audit.", show_default=False)
    ] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take them off the list instead.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Print the list, and change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:
    """Never contact an address again, in any campaign.

    What is queued for it is set aside at once and for good, and whatever is planned later as well. All or nothing: a
    line that is no address is named, and the list stays as it was. The same again changes nothing.
    """
    from sendctl.passes import suppress as passes

    shell = shell_of(ctx)
    asked = passes.Asked(addresses or (), source(file), reason)
    _check(asked, remove=remove, show_list=show_list)
    context = shell.context()
    if show_list:
        shell.acted = False
        with passes.every(context) as rows:
            _print_list(itertools.takewhile(lambda _: streams.lost() is None, rows), as_json=as_json)
        return ExitCode.DONE
    report = passes.unsuppress(context, asked) if remove else passes.suppress(context, asked)
    _show(shell, report, as_json=as_json)
    return report.exit_code


def _check(asked: Asked, *, remove: bool, show_list: bool) -> None:
    some_given = bool(asked.by_hand or asked.file is not None)
    if show_list and (some_given or remove or asked.reason):
        raise UsageError("--list prints the whole list, and takes nothing else", hint="look for one with grep.")
    if not show_list and not some_given:
        raise UsageError("name an address, or a --file of them", hint="`sendctl suppress --list` prints the list.")


def _print_list(rows: Iterator[Suppression], *, as_json: bool) -> None:
    """One line each, written as it is read: the address first, for grep and cut."""
    if as_json:
        print_array(_row_json(row) for row in rows)
        return
    for row in rows:
        print("  ".join([clean(row.address_key), utc(row.created_at), clean(row.reason)]).rstrip())


def _row_json(row: Suppression) -> dict[str, Any]:
    return {
        "schema": "sendctl.suppression/1", "address": row.address_key, "reason": row.reason,
        "created_at": iso(row.created_at),
    }  # fmt: skip


def _show(shell: Shell, report: SuppressReport, *, as_json: bool) -> None:
    if as_json:
        print_json(_json(report))
        return
    for line in _removed(report) if report.action == "unsuppress" else _suppressed(report):
        shell.say(line)


def _addresses(number: int) -> str:
    return some(number, "address", "addresses")


def _suppressed(report: SuppressReport) -> Iterator[str]:
    yield f"{_addresses(report.changed)} suppressed"
    if report.addresses > report.changed:
        yield f"{_addresses(report.addresses - report.changed)} on the list already"
    yield f"{some(report.messages, 'queued message')} set aside for good"
    yield in_flight(report.in_flight, report.deadline_s)


def _removed(report: SuppressReport) -> Iterator[str]:
    yield f"{_addresses(report.changed)} taken off the list"
    if report.addresses > report.changed:
        yield f"{_addresses(report.addresses - report.changed)} not on the list"
    yield "what was set aside stays so; what is planned from now on reaches them"


def _json(report: SuppressReport) -> dict[str, Any]:
    return {
        "schema": "sendctl.suppress/1", "action": report.action, "addresses": report.addresses,
        "changed": report.changed, "messages": report.messages, "in_flight": report.in_flight,
        "deadline_s": report.deadline_s,
    }  # fmt: skip
