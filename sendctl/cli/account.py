"""`sendctl account`: what accounts have left, and credits for them."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.shell import Shell, print_array, print_json, shell_of
from sendctl.cli.wording import clean, iso, some
from sendctl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from sendctl.passes.accounts import AccountState, GrantReport

MOST = 1_000_000_000


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("account", cls=Verb, epilog="0 2 7 69 75 78")(account)


def account(
    ctx: typer.Context,
    action: Annotated[
        str | None,
        typer.Argument(metavar="[grant|take]", help="Add credits, or take some back.", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Whose.", show_default=False)] = None,
    number: Annotated[
        int | None, typer.Argument(metavar="[N]", help="How many.", min=1, max=MOST, show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit.", show_default=False)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:
    """List what accounts have used and left, or grant credits.

    All is counted from the messages themselves. An allowance is in sendctl.toml; credits are granted, with a reason.
    """
    from sendctl.passes import accounts

    shell = shell_of(ctx)
    if action is None:
        shell.acted = False
        _print(shell, accounts.read(shell.context()), as_json=as_json)
        return ExitCode.DONE
    if action not in ("grant", "take"):
        raise UsageError(f"account {clean(action)}: want grant or take, or nothing for a list")
    if name is None or number is None:
        raise UsageError(f"account {action}: name the account and how many", hint=f"sendctl account {action} NAME N")
    amount = number if action == "grant" else -number
    report = accounts.grant(shell.context(), name, amount, reason)
    if as_json:
        print_json(_grant_json(report))
    else:
        shell.say(_granted(report))
    return report.exit_code


def _granted(report: GrantReport) -> str:
    done = "granted" if report.amount > 0 else "taken back"
    shared = f"; {some(report.shared, 'waiting message')} got their share" if report.shared else ""
    number = some(abs(report.amount), "credit")
    return f"account {clean(report.account)}: {number} {done}, {report.left:,} left (before: {report.before:,}){shared}"


def _print(shell: Shell, states: list[AccountState], *, as_json: bool) -> None:
    if as_json:
        print_array(map(_json, states))
    elif not states:
        shell.say("no accounts: write [accounts.NAME] in sendctl.toml")
    else:
        for line in _lines(states):
            shell.say(line)


_HEADINGS = ("ACCOUNT", "MOST", "SENT", "RESERVED", "LEFT", "LATER", "WAITING")


def _lines(states: list[AccountState]) -> Iterator[str]:
    """A table, each column as wide as it must be, and what is not as it should be under it."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for one in states:
        numbers = (one.consumed, one.reserved, one.left, one.later, one.waiting)
        rows.append((clean(one.name), _most(one), *(f"{number:,}" for number in numbers)))
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEADINGS))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        yield "  ".join([*cells, *(text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True))])
    for one in states:
        if one.table is None:
            yield f"account {clean(one.name)} is not in this host's configuration: nothing more is planned for it here"


def _most(one: AccountState) -> str:
    if one.table is None:
        return "?"
    return f"{one.most:,} credits" if one.table.allowance is None else f"{one.most:,}/{one.table.period}"


def _kind(one: AccountState) -> Literal["allowance", "credits"] | None:
    if one.table is None:
        return None
    return "credits" if one.table.allowance is None else "allowance"


def _json(one: AccountState) -> dict[str, Any]:
    bounded = one.ends is not None
    return {
        "schema": "sendctl.account/1", "account": one.name, "kind": _kind(one), "most": one.most,
        "period": one.table.period or None if one.table else None, "begins": iso(one.begins) if bounded else None,
        "ends": iso(one.ends), "sent": one.consumed, "reserved": one.reserved, "left": one.left, "later": one.later,
        "waiting": one.waiting,
    }  # fmt: skip


def _grant_json(report: GrantReport) -> dict[str, Any]:
    return {
        "schema": "sendctl.grant/1", "account": report.account, "amount": report.amount, "before": report.before,
        "left": report.left, "shared": report.shared,
    }  # fmt: skip
