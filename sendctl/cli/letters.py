"""`sendctl reschedule` and `rotate-key`: what is done to letters, and to campaigns that have not begun."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sendctl.cli.controls import Json, Name, Option, Reason, one_of
from sendctl.cli.enqueue import moment
from sendctl.cli.frame import Verb
from sendctl.cli.shell import print_json, shell_of
from sendctl.cli.wording import clean, iso, some, utc
from sendctl.states import CampaignStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sendctl.passes.rescheduling import Rescheduled
    from sendctl.passes.sealing import Rotated


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("reschedule", cls=Verb, epilog="0 2 8 65 69 75 78")(reschedule)
    app.command("rotate-key", cls=Verb, epilog="0 2 3 69 75 78")(rotate_key)


def reschedule(
    ctx: typer.Context,
    name: Name = None,
    campaign: Option = None,
    at: Annotated[
        str, typer.Option(metavar="WHEN", help='When instead: "now", "+2h", "2026-11-23 09:00".', show_default=False)
    ] = "",
    reason: Reason = "",
    as_json: Json = False,
) -> int:
    """Move a letter, or a campaign of which nothing was tried, to another time.

    It is planned for one time or for the other at each moment, and a pass that claims it comes before or after: what
    is being sent, was sent or may have been is not moved. A time without an offset is one in its own time zone.
    """
    from sendctl.errors import UsageError
    from sendctl.passes import rescheduling

    if not at:
        raise UsageError("when? --at is missing", hint='such as --at "2026-11-23 09:00".')
    shell = shell_of(ctx)
    report = rescheduling.run(
        shell.context(), one_of(name, campaign), lambda definition, now: moment(at, definition, now), reason
    )
    if as_json:
        print_json({
            "schema": "sendctl.reschedule/1", "campaign": report.campaign, "letter": report.is_letter,
            "status": report.status, "changed": report.moved > 0, "moved": report.moved, "before": iso(report.before),
            "due_at": iso(report.due_at),
        })  # fmt: skip
    else:
        for line in _rescheduled(report):
            shell.say(line)
    return report.exit_code


def _rescheduled(report: Rescheduled) -> Iterator[str]:
    what = "letter" if report.is_letter else "campaign"
    if report.before is None or report.due_at is None:
        yield f"{what} {report.campaign}: nothing waits in it"
    elif not report.moved:
        yield f"{what} {report.campaign}: due {utc(report.due_at)} already"
    else:
        many = "" if report.is_letter else f" ({some(report.moved, 'message')})"
        yield f"{what} {report.campaign}: due {utc(report.due_at)} instead of {utc(report.before)}{many}"
    if report.status is CampaignStatus.PAUSED:
        yield f"it is paused: `sendctl resume {report.campaign}` lets it go"


def rotate_key(ctx: typer.Context, reason: Reason = "", as_json: Json = False) -> int:
    """Put the contents of all encrypted letters under the current key.

    With the new key as key_file and the old one as previous_key_file in [letters]. Letters are sent meanwhile; killed,
    it is simply run again. When it has ended with 0 nothing in the store needs the old key.
    """
    from sendctl.passes import sealing

    shell = shell_of(ctx)
    report = sealing.rotate(shell.context(), reason)
    if as_json:
        print_json({
            "schema": "sendctl.rotate-key/1", "key": report.key_id, "resealed": report.resealed,
            "already": report.already,
            "failed": [{"message": one, "reason": why} for one, why in report.failed.items()],
        })  # fmt: skip
    else:
        _rotated(shell.say, report)
        for message_id, why in report.failed.items():
            shell.note(f"sendctl: warning: message {message_id}: {clean(why)}")
    return report.exit_code


def _rotated(say: Callable[[str], None], report: Rotated) -> None:
    say(f"key {report.key_id}: {some(report.resealed, 'letter')} put under it, {report.already:,} were already")
    if not report.failed:
        say("nothing in the store needs another key")
