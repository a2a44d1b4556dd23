"""`sendctl resend`: have somebody sent once more what they were sent, or what failed for good."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.shell import on_terminal, print_json, shell_of
from sendctl.cli.wording import clean, hanging, iso, some, step_of, when
from sendctl.errors import ExitCode, StoppedEarly, UsageError
from sendctl.states import CampaignStatus, EnrollmentStatus

if TYPE_CHECKING:
    from sendctl.passes.resend import Resend, Wanted


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("resend", cls=Verb, epilog="0 2 69 75 78")(resend)


def resend(
    ctx: typer.Context,
    message: Annotated[
        str | None,
        typer.Argument(metavar="[MESSAGE-ID]", help="The message: its id or Message-ID.", show_default=False),
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(metavar="NAME", help="Instead: the last one of a campaign,", show_default=False)
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="ADDRESS", help="... to this person,", show_default=False)] = None,
    step: Annotated[str | None, typer.Option(metavar="NAME", help="... of this step.", show_default=False)] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit: needed.", show_default=False)] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:
    """Send somebody once more what they were sent, or what failed for good.

    The next send-due sends it, as a message of its own, with the words of the one before; their place in the campaign
    stays as it is. Refused where the person must not be written to, and while the same is queued, on its way or in
    doubt: `sendctl recover` settles that.
    """
    from sendctl.passes import resend as passes

    wanted = _wanted(message, campaign, to, step)
    if not reason.strip() and not dry_run:
        raise UsageError("say why, with --reason", hint="it stands in the audit, beside who did it.")
    shell = shell_of(ctx)
    context = shell.context()
    made = passes.plan(context, wanted)
    if not as_json:
        for line in _plan_lines(made):
            shell.say(line)
    if dry_run:
        if as_json:
            print_json(_json(made))
        else:
            shell.say("nothing was written: this was a dry run")
        return ExitCode.DONE
    if not yes:
        _agree(made, as_json=as_json)
    done = passes.apply(context, made, reason.strip())
    if as_json:
        print_json(_json(done))
    else:
        for line in _done_lines(done):
            shell.say(line)
    return ExitCode.DONE


def _wanted(message: str | None, campaign: str | None, to: str | None, step: str | None) -> Wanted:
    from sendctl.passes.resend import Wanted

    if message is not None and (campaign or to or step):
        raise UsageError("name a message, or --campaign and --to, not both")
    if message is None and not (campaign and to):
        raise UsageError(
            "name a message, or --campaign and --to", hint="`sendctl messages --to ADDRESS` lists what there is."
        )
    return Wanted(message, campaign, to, step)


def _agree(made: Resend, *, as_json: bool) -> None:
    """Let a person agree. Raises UsageError without a person, StoppedEarly on a no."""
    if as_json or not on_terminal():
        raise UsageError(
            "nobody is here to agree to it, and nothing was changed",
            hint="look at it with --dry-run, then run it with --yes.",
        )
    if not typer.confirm(f"{_so_far(made)}Send it once more?", err=True):
        raise StoppedEarly("nothing is sent once more, and nothing was changed", hint="")


def _so_far(made: Resend) -> str:
    who = clean(made.row.recipient)
    if made.sent:
        return f"{who} has had it {some(made.sent, 'time')}{', perhaps more often' if made.perhaps else ''}. "
    return f"{who} may have had it. " if made.perhaps else ""


def _plan_lines(made: Resend) -> Iterator[str]:
    row = made.row
    yield f"message {row.id} to {clean(row.recipient)}: {step_of(row.step, row.occurrence)} of campaign {row.campaign}"
    if made.last_sent_at is not None:
        yield f"  sent        {some(made.sent, 'time')}, last {when(made.last_sent_at, made.at)}"
    else:
        told = f"for good: {clean(row.last_error or 'no reason recorded')}"
        first, text = ("  failed      ", told) if made.perhaps else ("  never sent  ", f"failed {told}")
        yield from hanging(text, " " * 14, first=first)
    if made.perhaps:
        which = ", ".join(map(str, made.perhaps))
        doubt = f"message {which} was" if len(made.perhaps) == 1 else f"messages {which} were"
        yield from hanging(
            f"{doubt} in doubt, and nobody knows whether that was accepted: they may have got it, and this would be one"
            " more", " " * 14, first="  perhaps     ",
        )  # fmt: skip
    if not made.frozen:
        yield f"  contents    as the campaign says now, revision {made.revision}"
    elif made.revision != made.current_revision:
        yield f"  contents    as they were, revision {made.revision}; the campaign is at {made.current_revision}"
    else:
        yield f"  contents    as they were, revision {made.revision}"
    due = "now" if made.slot.due_at <= made.at else when(made.slot.due_at, made.at)
    yield f"  due         {due}"
    for note in _notes(made):
        yield from hanging(note, " " * 14, first="  note        ")


def _notes(made: Resend) -> Iterator[str]:
    if made.known:
        yield f"{made.known}: it is recorded, and nothing is sent"
    if made.account:
        yield f"it waits for a share of account {made.account}, which the next pass gives it if there is one left"
    if made.campaign_status is CampaignStatus.PAUSED:
        yield f"the campaign is paused: it waits for `sendctl resume {made.row.campaign}`"
    if made.enrollment_status is EnrollmentStatus.FAILED:
        stays = "their place in the campaign stays as it is: it ended with"
        if not made.taken_up_by:
            yield f"{stays} a failure"
        elif made.row.id in made.perhaps:
            yield (
                f"{stays} this one, and `{made.taken_up_by}` would take it up instead, with all others that are in"
                " doubt, failed or were given up"
            )
        else:
            yield f"{stays} this failure, and `{made.taken_up_by}` would take it up"


def _done_lines(made: Resend) -> Iterator[str]:
    if made.known:
        yield f"recorded as message {made.new_id}: nothing is sent"
    else:
        yield f"queued as message {made.new_id}: the next send-due after it is due sends it"


def _json(made: Resend) -> dict[str, Any]:
    row = made.row
    return {
        "schema": "sendctl.resend/1", "message": row.id, "campaign": row.campaign, "to": row.recipient,
        "step": row.step, "occurrence": row.occurrence, "copy": made.copy, "sent_before": made.sent,
        "perhaps_sent": list(made.perhaps), "last_sent_at": iso(made.last_sent_at), "revision": made.revision,
        "due_at": iso(made.slot.due_at), "expires_at": iso(made.slot.expires_at), "known": made.known or None,
        "notes": list(_notes(made)), "new_message": made.new_id,
    }  # fmt: skip
