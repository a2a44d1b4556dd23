"""`sendctl send-due`: the command that cron runs every minute."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sendctl.cli.frame import Verb, countable, finite
from sendctl.cli.shell import Shell, print_json, shell_of
from sendctl.cli.wording import clean, some
from sendctl.errors import ExitCode

if TYPE_CHECKING:
    from sendctl.passes.send_due import SendReport
    from sendctl.settings import Settings

NOTHING_DUE = "nothing is due"
# Outcomes of attempts in the words of the summary, in its order.
_WORDS = {
    "accepted": "sent",
    "refused": "refused",
    "deferred": "deferred",
    "unknown": "in doubt",
    "halted": "stopped",
    "untouched": "put back",
}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("send-due", cls=Verb, epilog="0 2 3 5 6 69 75 78")(send_due)


def send_due(
    ctx: typer.Context,
    campaign: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this campaign.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, callback=countable, help="Claim at most N messages.", show_default=False),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            min=0,
            callback=finite,
            show_default=False,
            help="Claim nothing more after S seconds; else [send] max_seconds.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is due.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:
    """Send the messages that are due, then exit.

    Any number of passes may overlap, on any number of hosts. A pass that is killed loses nothing: the next one finds
    out what became of its messages before it claims anything. SIGTERM finishes what is in flight. With -q, a provider
    that is down is told of when it is first left alone, and each time it is tried again in vain.
    """
    shell = shell_of(ctx)
    settings = shell.settings() if dry_run else shell.sending_settings()
    if not (campaign or dry_run or as_json) and _idle(shell, settings):
        return ExitCode.DONE
    from sendctl.passes import send_due as passes

    report = passes.run(shell.context(), campaign=campaign, limit=limit, max_seconds=max_seconds, dry_run=dry_run)
    if as_json:
        print_json(_json(report))
    elif not shell.quiet or _trouble(report):
        _print(shell, report)
    if report.failure is not None:
        raise report.failure
    return report.exit_code


def _idle(shell: Shell, settings: Settings) -> bool:
    """Most passes find nothing due: they should not pay for what only sending needs."""
    from sendctl.cli import idle
    from sendctl.passes.idle import is_idle

    if idle.looked or not is_idle(settings):
        return False
    shell.say(NOTHING_DUE)
    return True


def _trouble(report: SendReport) -> bool:
    """Whether cron should mail it: all but success, with three exceptions that would be a mail each minute.

    A pass whose time is up leaves the rest to the next, and that is no trouble. Of a provider that is left alone the
    pass speaks that found it so, or found it so once more: those are hours apart soon, and passes are a minute apart.
    Of a letter that cannot be opened it speaks when that is news.
    """
    if report.failure is not None or report.died or report.work.stops:
        return True
    if report.exit_code is ExitCode.UNREACHABLE or (report.work.unreadable and not report.left_trouble):
        return not report.work.told
    return report.exit_code not in (ExitCode.DONE, ExitCode.STOPPED_EARLY)


def _print(shell: Shell, report: SendReport) -> None:
    for line in _dry(report) if report.dry_run else _summary(report):
        print(line)
    for stop in report.work.stops or _unsaid(report):
        shell.note(f"sendctl: warning: {stop}")


def _unsaid(report: SendReport) -> list[str]:
    """Why nothing more could be claimed, where no pass has said it yet."""
    return [report.work.blocked] if report.work.ended == "blocked" and not report.work.told else []


def _dry(report: SendReport) -> list[str]:
    if not report.due:
        return [NOTHING_DUE]
    return [f"{name}: {some(number, 'message')} due" for name, number in report.due.items()]


def _summary(report: SendReport) -> list[str]:
    lines = _imported(report)
    outcomes = report.work.outcomes
    parts = [f"{word} {outcomes[key]:,}" for key, word in _WORDS.items() if outcomes.get(key)]
    if report.work.failed > outcomes.get("refused", 0):
        parts.append(f"failed {report.work.failed:,}")
    if not report.run_id:
        lines.append(NOTHING_DUE)
    else:
        lines.append("  ".join(parts or ["nothing sent"]) + f"  in {report.seconds:.1f} s" + _ending(report))
    if report.work.lost:
        lines.append(f"{some(report.work.lost, 'outcome')} came too late: another pass had taken the message over")
    return lines


def _imported(report: SendReport) -> list[str]:
    imported = report.imported
    if not imported.runs:
        return []
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (imported.recorded, "recorded"), (imported.requeued, "queued again"), (imported.in_doubt, "in doubt"),
            (imported.late, "settled late"),
        )
        if number
    ]  # fmt: skip
    return [f"{some(len(imported.runs), 'run')} had died: {', '.join(parts) or 'nothing was open'}"]


def _ending(report: SendReport) -> str:
    match report.work.ended:
        case "time":
            return "; time is up, more is due"
        case "drained":
            return "; stopped on request, more may be due"
        case "limit":
            return "; the limit is reached"
        case "waiting" | "blocked" if report.work.stops or not _unsaid(report):
            return f"; waiting: {clean(report.work.blocked)}"
    return ""


def _json(report: SendReport) -> dict[str, Any]:
    work, imported = report.work, report.imported
    return {
        "schema": "sendctl.send-due/1", "dry_run": report.dry_run, "run": report.run_id or None,
        "seconds": round(report.seconds, 3), "due": report.due,
        "outcomes": {key: work.outcomes.get(key, 0) for key in _WORDS}, "lost": work.lost,
        "failed": work.failed, "ended": work.ended,
        "blocked": work.blocked or None, "stops": work.stops,
        "unreadable": work.unreadable, "died_workers": report.died,
        "imported": {
            "runs": imported.runs, "recorded": imported.recorded, "requeued": imported.requeued,
            "in_doubt": imported.in_doubt, "late": imported.late,
        },
        "error": str(report.failure) if report.failure is not None else None,
        "exit_code": int(report.exit_code),
    }  # fmt: skip
