"""`sendctl recover`: the on-call's command. Shows a plan, asks, applies it, and writes down who and why."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.recover_words import plan_json, plan_lines, recovered_json, recovered_lines
from sendctl.cli.shell import on_terminal, print_json, shell_of
from sendctl.cli.wording import some
from sendctl.errors import ExitCode, StoppedEarly, UsageError

if TYPE_CHECKING:
    from sendctl.passes.planning import Plan


class Choice(StrEnum):
    """What is done with a message in doubt that no evidence settles."""

    HOLD = "hold"
    RESEND = "resend"
    SKIP = "skip"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("recover", cls=Verb, epilog="0 2 3 4 5 6 69 75 78")(recover)


def recover(
    ctx: typer.Context,
    campaign: Annotated[str, typer.Option(metavar="NAME", help="The campaign to put right.", show_default=False)],
    in_doubt: Annotated[
        Choice | None,
        typer.Option("--in-doubt", help="What no evidence settles; else as the campaign says.", show_default=False),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Queue failed messages again too.")] = False,
    expect: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Go on only if N are in doubt, or may have left.", show_default=False),
    ] = None,
    lost_host: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="After a rewind: its journals are lost, go on without.", show_default=False),
    ] = None,
    reason: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Why, for the audit; else it says what was asked for.", show_default=False),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Apply the plan without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:
    """Put a campaign right after a crash, an outage or a restored backup.

    Finds every message that is not where it should be, settles what journals and logs prove, and queues again what
    was certainly not sent. What stays in doubt is held unless --in-doubt says otherwise. Sends nothing itself: the
    next send-due does. Safe beside running passes.
    """
    from sendctl.passes import planning
    from sendctl.passes import recover as passes
    from sendctl.passes.hosts import as_named

    shell = shell_of(ctx)
    context = shell.context()
    plan = planning.plan(context, campaign, in_doubt=in_doubt, failed=failed, lost_hosts=lost_host or ())
    if not as_json:
        for line in plan_lines(plan):
            shell.say(line)
    if dry_run:
        if as_json:
            print_json(plan_json(plan))
        return ExitCode.NEEDS_PERSON if plan.does_something or plan.doubtful or plan.behind else ExitCode.DONE
    if (plan.does_something or lost_host) and not yes:
        reason = _ask(plan, reason, as_json=as_json)
    reason = reason.strip() or _asked_for(in_doubt, failed=failed, expect=expect, lost_host=lost_host or ())
    done = passes.apply(
        context, plan, reason=reason, expected=expect, lost_hosts=[as_named(shown) for shown in lost_host or ()]
    )
    if as_json:
        print_json(plan_json(plan) | {"applied": recovered_json(done)})
    else:
        for line in recovered_lines(plan, done):
            shell.say(line)
    return done.exit_code


def _asked_for(in_doubt: Choice | None, *, failed: bool, expect: int | None, lost_host: Sequence[str]) -> str:
    """What stands in the audit where nobody said why: what this command line chose."""
    given = [f"--in-doubt {in_doubt}"] if in_doubt is not None else []
    given += ["--failed"] if failed else []
    given += [f"--expect {expect}"] if expect is not None else []
    given += [f"--lost-host {host}" for host in lost_host]
    return f"no reason given; asked for: {' '.join(given) or 'what the campaign says'}"


def _ask(plan: Plan, reason: str, *, as_json: bool) -> str:
    """Let a person agree; returns the reason. Raises UsageError without a person, StoppedEarly on a no."""
    if as_json or not on_terminal():
        raise UsageError(
            "nobody is here to agree to the plan, and nothing was changed",
            hint="look at it with --dry-run, then run it with --yes.",
        )
    risky = plan.worst_case_duplicates or (plan.worst_case_missed if plan.choice == "skip" else 0)
    while not reason:
        reason = typer.prompt("Why (for the audit)", default="", show_default=False, err=True).strip()
        if not risky:
            break
    if risky:
        fate = "get it twice" if plan.worst_case_duplicates else "never get it"
        question = f"{some(risky, 'person', 'people')} may {fate}. Type that number to go on"
        agreed = typer.prompt(question, default="", show_default=False, err=True).strip() == str(risky)
    else:
        agreed = typer.confirm("Apply this plan?", err=True)
    if not agreed:
        raise StoppedEarly("the plan was not agreed to, and nothing was changed", hint="")
    return reason
