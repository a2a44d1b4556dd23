"""`sendctl reconcile`: the pass that puts right what can be known without a person."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sendctl.cli import ingest
from sendctl.cli.frame import Verb
from sendctl.cli.shell import Shell, print_json, shell_of
from sendctl.cli.wording import clean, hanging, iso, some, when
from sendctl.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sendctl.passes.pulled import Pulled
    from sendctl.passes.reconcile import ReconcileReport
    from sendctl.settings import ReconcileSettings


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("reconcile", cls=Verb, epilog="0 1 2 3 5 6 69 75 78")(reconcile)


def reconcile(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:
    """Settle what killed passes and lost replies left behind.

    Imports journals, takes up dead claims, takes in the spool of [events], asks providers with pull_events for theirs,
    looks for proof about what is in doubt, queues again what failed for a passing cause a day ago ([reconcile]
    retry_failed_after_s), and proves that the states add up. Sends nothing but what a service
    recognises by its key; run it from cron.
    """
    from sendctl.passes import reconcile as passes

    shell = shell_of(ctx)
    context = shell.context()
    report = passes.run(context)
    missing = missing_logs(context.settings.reconcile)
    if as_json:
        print_json(_json(report) | {"logs_missing": missing})
    elif not shell.quiet or report.exit_code is not ExitCode.DONE:
        _print(shell, report, context.clock.utc_now())
        for pattern in missing:
            shell.note(f"sendctl: warning: [reconcile] mta_logs: no file matches {pattern}")
    return report.exit_code


def missing_logs(settings: ReconcileSettings) -> list[str]:
    """The patterns of [reconcile] mta_logs that match no file at this moment: rotated away, or mistyped."""
    import glob

    return [pattern for pattern in settings.mta_logs if not glob.glob(pattern)]


def _print(shell: Shell, report: ReconcileReport, now: datetime) -> None:
    done = [line for line in _done(report) if line]
    for line in done or ["nothing to put right"]:
        print(line)
    for what, reasons in {"proof": report.proven_by, "no proof": report.cannot_tell}.items():
        for reason, number in reasons.items():
            print("\n".join(hanging(f"{what} for {some(number, 'message')}: {clean(reason)}", "    ", first="  ")))
    if report.in_doubt:
        print(f"{some(report.in_doubt, 'message')} in doubt: `sendctl status` says where")
    if report.spool_trouble:
        shell.note(f"sendctl: error: {report.spool_trouble}")
    for line in (*ingest.trouble(report.events), *_trouble(report.pulled, now)):
        shell.note(f"sendctl: warning: {line}")
    for run_id, number in report.stalled.items():
        print(f"run {run_id} holds {some(number, 'message')} and stands still: `sendctl status` says what to do")
    for name, (number, oldest) in report.overdue.items():
        print(f"campaign {name}: {some(number, 'message')} overdue, the oldest since {when(oldest, now)}")
    for violation in report.violations:
        ids = ", ".join(map(str, violation.ids))
        shell.note(f"sendctl: error: the ledger of {violation.campaign} contradicts itself: {violation.what}: {ids}")


def _done(report: ReconcileReport) -> list[str]:
    imported = report.imported
    lines = (
        (len(imported.runs), "dead run", "taken up"),
        (imported.recorded, "outcome", "recorded from journals"),
        (imported.requeued, "message", "queued again: they were not sent"),
        (imported.late + report.proven_sent, "message", "in doubt proven and settled"),
        (report.proven_absent, "message", "in doubt proven absent, queued again"),
        (imported.in_doubt + report.claims_expired, "message", "newly in doubt"),
        (report.policy_resent, "message", "in doubt queued again, as the campaign says"),
        (report.policy_skipped, "message", "in doubt given up, as the campaign says"),
        (report.retried, "failed message", "queued again: its cause may have passed"),
        (report.shared, "message", "given a share of its account"),
        (report.journals_removed, "old journal", "removed"),
    )
    events = [*ingest.lines(report.events)] if report.events.applied.fresh or report.events.files else []
    events += _pulled(report.pulled)
    events += ingest.effects(report.caught_up)
    return events + [f"{some(number, noun)} {what}" if number else "" for number, noun, what in lines]


def _pulled(pulled: Pulled) -> Iterator[str]:
    """What services said when they were asked."""
    if pulled.applied.fresh:
        yield f"pulled {ingest.fresh(pulled.applied)}"
        yield from ingest.effects(pulled.applied)
    if pulled.foreign:
        yield f"{some(pulled.foreign, 'pulled event')} about nothing of this store: left out"
    for name, said in pulled.asked_to_wait.items():
        yield f"provider {name} is not asked for events now: {clean(said)}"
    for name in pulled.more:
        yield f"provider {name} has more events: the next reconcile reads on"


def _trouble(pulled: Pulled, now: datetime) -> Iterator[str]:
    """What a person should look at: warnings."""
    for name, said in pulled.trouble.items():
        yield f"no events of provider {name}: {clean(said)}"
    for said in pulled.not_understood:
        yield f"not understood: {clean(said)}"
    if (left := pulled.unread - len(pulled.not_understood)) > 0:
        yield f"... and {some(left, 'more entry', 'more entries')} not understood"
    for name, moment in pulled.behind.items():
        yield f"events of provider {name} are read up to {when(moment, now)} only: run reconcile more often"


def _json(report: ReconcileReport) -> dict[str, Any]:
    return {"schema": "sendctl.reconcile/1"} | report.as_detail() | {
        "in_doubt": report.in_doubt,
        "proven_by": report.proven_by,
        "cannot_tell": report.cannot_tell,
        "overdue": {
            name: {"messages": number, "oldest_at": iso(oldest)} for name, (number, oldest) in report.overdue.items()
        },
        "stalled": report.stalled,
        "violations": [
            {"campaign": violation.campaign, "what": violation.what, "ids": list(violation.ids)}
            for violation in report.violations
        ],
        "spool_trouble": report.spool_trouble or None,
        "journals_removed": report.journals_removed,
        "exit_code": int(report.exit_code),
    }  # fmt: skip
