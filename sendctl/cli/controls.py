"""`sendctl pause`, `resume`, `cancel`, `archive` and `tune`: what an operator changes while a campaign lives."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.shell import on_terminal, print_json, shell_of
from sendctl.cli.wording import clean, in_flight, iso, some
from sendctl.errors import StoppedEarly, UsageError
from sendctl.states import State

if TYPE_CHECKING:
    from sendctl.definition import Controls
    from sendctl.passes.context import Context
    from sendctl.passes.control import ControlReport

Name = Annotated[str | None, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.", show_default=False)]
Option = Annotated[str | None, typer.Option("--campaign", metavar="NAME", help="The same, as an option.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (pause, resume, archive, tune):
        app.command(verb.__name__, cls=Verb, epilog="0 2 69 75 78")(verb)
    app.command("cancel", cls=Verb, epilog="0 2 8 69 75 78")(cancel)


def pause(
    ctx: typer.Context, name: Name = None, campaign: Option = None, reason: Reason = "", as_json: Json = False
) -> int:
    """Stop a campaign before its next window.

    What is in flight finishes within its deadline; nothing more is claimed until `sendctl resume`.
    """
    from sendctl.passes import control

    return _show(ctx, control.pause(shell_of(ctx).context(), one_of(name, campaign), reason), as_json)


def resume(
    ctx: typer.Context,
    name: Name = None,
    campaign: Option = None,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="Instead: a provider that is left alone.", show_default=False)
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> int:
    """Let a paused campaign go on, or try a provider again at once.

    A provider that is left alone gets one message with the next pass; if it takes that, the rest follows.
    """
    from sendctl.passes import control

    shell = shell_of(ctx)
    if provider is None:
        return _show(ctx, control.resume(shell.context(), one_of(name, campaign), reason), as_json)
    if name is not None or campaign is not None:
        raise UsageError("name a campaign or a provider, not both")
    tried = control.try_provider(shell.context(), provider, reason)
    if as_json:
        print_json({
            "schema": "sendctl.provider/1", "provider": tried.provider, "action": "resume", "changed": tried.changed,
            "was_open_until": iso(tried.open_until), "because": tried.because or None,
        })  # fmt: skip
    else:
        shell.say(f"provider {clean(tried.provider)}: " + (
            "tried again with the next message" if tried.changed else "not left alone, nothing to resume"
        ))  # fmt: skip
    return tried.exit_code


def cancel(
    ctx: typer.Context,
    name: Name = None,
    campaign: Option = None,
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", help="Cancel without asking.")] = False,
    as_json: Json = False,
) -> int:
    """End a campaign for good: what is queued is never sent.

    What is in flight finishes within its deadline; a letter that is on its way, or was sent, is refused. There is no
    way back, so a person is asked, and without a terminal --yes is needed; `sendctl pause` stops it for now.
    """
    from sendctl.passes import control

    context, wanted = shell_of(ctx).context(), one_of(name, campaign)
    if not yes:
        _agree(context, wanted, as_json=as_json)
    return _show(ctx, control.cancel(context, wanted, reason), as_json)


def archive(
    ctx: typer.Context, name: Name = None, campaign: Option = None, reason: Reason = "", as_json: Json = False
) -> int:
    """Put a campaign that is over away: `status` lists it no more.

    It stays in the store, and `status --campaign`, `messages` and `show` still know it. There is no way back: what has
    failed is not retried any more. One with messages that are queued, on their way or in doubt is refused.
    """
    from sendctl.passes import control

    return _show(ctx, control.archive(shell_of(ctx).context(), one_of(name, campaign), reason), as_json)


def _agree(context: Context, name: str, *, as_json: bool) -> None:
    """Let a person agree to the end of a campaign. Raises UsageError without a person, StoppedEarly on a no."""
    from sendctl.passes import status

    queued = status.read(context, name).campaigns[0].counts[State.QUEUED]
    if as_json or not on_terminal():
        raise UsageError(
            f"nobody is here to agree to the end of campaign {name}, and nothing was changed",
            hint="there is no way back from a cancel: run it with --yes, or use `sendctl pause`.",
        )
    lost = f"{some(queued, 'queued message')} will never be sent. " if queued else ""
    if not typer.confirm(f"{lost}Cancel campaign {name} for good?", err=True):
        raise StoppedEarly("the campaign was not cancelled, and nothing was changed", hint="")


def tune(
    ctx: typer.Context,
    name: Name = None,
    campaign: Option = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Most messages of one window.", show_default=False)
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="RATE", help='Such as "50/s", "20000/day", or "none".', show_default=False)
    ] = None,
    cooldown: Annotated[
        str | None, typer.Option(metavar="SPAN", help='Least time between windows, such as "30s".', show_default=False)
    ] = None,
    max_attempts: Annotated[
        int | None, typer.Option(metavar="N", help="Attempts before a message fails.", show_default=False)
    ] = None,
    retry_base: Annotated[
        str | None, typer.Option(metavar="SPAN", help='First wait before a retry, such as "1m".', show_default=False)
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> int:
    """Change a campaign's live controls, or show them.

    The next window of every pass reads them. The campaign file's [controls] count only when it is first enqueued.
    """
    from sendctl.passes import control

    given: dict[str, Any] = {
        "batch_size": batch_size, "rate": rate, "cooldown": cooldown, "max_attempts": max_attempts,
        "retry_base": retry_base,
    }  # fmt: skip
    changes = {key: value for key, value in given.items() if value is not None}
    return _show(ctx, control.tune(shell_of(ctx).context(), one_of(name, campaign), changes, reason), as_json)


def one_of(name: str | None, campaign: str | None) -> str:
    named = [one for one in (name, campaign) if one is not None]
    if len(set(named)) != 1:
        raise UsageError("name one campaign", hint="`sendctl status` lists them.")
    return named[0]


def _show(ctx: typer.Context, report: ControlReport, as_json: bool) -> int:
    if as_json:
        print_json(_json(report))
    else:
        shell = shell_of(ctx)
        for line in _lines(report):
            shell.say(line)
    return report.exit_code


_DONE = {"pause": "paused", "resume": "running again", "cancel": "cancelled", "archive": "archived"}


def _lines(report: ControlReport) -> list[str]:
    if report.action == "tune":
        return [f"campaign {report.campaign}: {'changed' if report.changed else 'nothing changed'}", *_controls(report)]
    said = _DONE[report.action] if report.changed else f"already {report.status}"
    lines = [f"campaign {report.campaign}: {said}"]
    if report.action == "cancel" and report.changed:
        lines.append(f"{some(report.cancelled, 'queued message')} cancelled")
    if report.action not in ("resume", "archive"):
        lines.append(in_flight(report.in_flight, report.deadline_s))
    return lines


def _controls(report: ControlReport) -> list[str]:
    before, after = _worded(report.before), _worded(report.controls)
    return [
        f"  {key:<13} {value}" + (f"   (was {before[key]})" if before[key] != value else "")
        for key, value in after.items()
    ]


def _worded(controls: Controls) -> dict[str, str]:
    """The controls in the forms of the campaign file."""
    from sendctl.durations import format_duration, format_rate

    return {
        "batch_size": str(controls.batch_size),
        "rate": format_rate(controls.rate) if controls.rate else "none",
        "cooldown": format_duration(controls.cooldown_s).replace(" ", ""),
        "max_attempts": str(controls.max_attempts),
        "retry_base": format_duration(controls.retry_base_s).replace(" ", ""),
    }


def _json(report: ControlReport) -> dict[str, Any]:
    return {
        "schema": "sendctl.control/1", "campaign": report.campaign, "action": report.action,
        "status": report.status, "changed": report.changed, "in_flight": report.in_flight,
        "deadline_s": report.deadline_s, "cancelled": report.cancelled,
        "controls": _worded(report.controls)
        | {"batch_size": report.controls.batch_size, "max_attempts": report.controls.max_attempts},
    }  # fmt: skip
