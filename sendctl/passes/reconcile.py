"""`reconcile`: make the ledger agree with what can be known, retry what may pass, prove the counters, raise the alarm.

Sends nothing, but for the same again under its key where a service can still recognise it. Safe beside any other
pass: each decision is a compare-and-set.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from sendctl.errors import ExitCode
from sendctl.identity import new_id
from sendctl.inputs.spool import SpoolUnusable
from sendctl.journal import home as homes
from sendctl.journal.home import RunNote
from sendctl.journal.older import remove_before
from sendctl.passes import ending, ingest, people, pulling, settling
from sendctl.passes.accounts import share_out
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.events import Applied, catch_up, sweep
from sendctl.passes.importing import Imported, expire_foreign, stalled_runs
from sendctl.passes.ingest import IngestReport
from sendctl.passes.pulled import Pulled
from sendctl.passes.send_due import run_row
from sendctl.passes.startup import take_over
from sendctl.states import CampaignStatus
from sendctl.store import campaigns, doubts, finishing, meta, notices, proofs, runs
from sendctl.store.doubts import Held
from sendctl.store.proofs import Violation

ANSWER_PATIENCE = timedelta(days=1)  # with a service that cannot be asked
POLICY_GRACE_S = 900.0  # a webhook, a log line or another host's journal may still come


@dataclass
class ReconcileReport:
    """What a reconcile found and did."""

    imported: Imported = field(default_factory=Imported)
    claims_expired: int = 0  # claims of other hosts' runs, now in doubt
    proven_sent: int = 0
    proven_absent: int = 0
    proven_by: dict[str, int] = field(default_factory=dict)  # what proves it
    cannot_tell: dict[str, int] = field(default_factory=dict)  # reasons
    policy_resent: int = 0
    policy_skipped: int = 0
    retried: int = 0
    shared: int = 0  # messages that got their share of an account
    events: IngestReport = field(default_factory=IngestReport)  # what the spool had
    spool_trouble: str = ""  # why it could not be read
    pulled: Pulled = field(default_factory=Pulled)  # what services were asked for
    caught_up: Applied = field(default_factory=Applied)  # what events said before it could be done
    in_doubt: int = 0  # still
    overdue: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    stalled: dict[str, int] = field(default_factory=dict)  # messages by the living run that holds an expired claim
    violations: list[Violation] = field(default_factory=list)
    journals_removed: int = 0

    @property
    def exit_code(self) -> ExitCode:
        if self.violations:
            return ExitCode.UNEXPECTED
        person = self.in_doubt or self.overdue or self.stalled or self.imported.failed or self.spool_trouble
        person = person or self.events.exit_code is not ExitCode.DONE or self.pulled.exit_code is not ExitCode.DONE
        return ExitCode.NEEDS_PERSON if person else ExitCode.DONE

    def as_detail(self) -> dict[str, object]:
        """The counts, for the run's record."""
        names = (
            "claims_expired",
            "proven_sent",
            "proven_absent",
            "policy_resent",
            "policy_skipped",
            "retried",
            "shared",
        )
        counts = {name: getattr(self, name) for name in names}
        pending = {name: getattr(self.caught_up, name) for name in ("proven", "bounced", "cancelled")}
        return self.imported.as_detail() | counts | {
            "doubt": self.in_doubt, "ingested": self.events.as_detail(), "pulled": self.pulled.as_detail(),
            "caught_up": pending,
        }  # fmt: skip


def run(context: Context) -> ReconcileReport:
    """One pass. Raises StoreElsewhere, StoreRewound, Unreachable."""
    report = ReconcileReport(imported=take_over(context))
    with context.store.read() as connection:
        store_id = meta.read(connection).store_id
    note = RunNote(store_id, new_id(), "reconcile", homes.boot_id(), os.getpid(), context.clock.utc_now().isoformat())
    with homes.held_lock(context.home, note):
        with context.store.write() as connection:
            runs.record(connection, run_row(context, note, context.store.now(connection)))
        report.claims_expired = expire_foreign(context)
        _take_in_events(context, report)
        _settle_doubt(context, report)
        _tidy(context, report)
        _prove(context, report)
        with context.store.write() as connection:
            now = context.store.now(connection)
            runs.finish(connection, note.run_id, "done", report.as_detail(), now)
        context.home.lock_path(note.run_id).unlink(missing_ok=True)  # it has no journal to keep
    report.journals_removed = _remove_old(context)
    return report


def _take_in_events(context: Context, report: ReconcileReport) -> None:
    """What spool and services have, and what earlier events said of messages whose outcome was not known then."""
    if context.settings.events.spool is not None:
        try:
            report.events = ingest.work_off(context, context.settings.events.spool) or report.events
        except SpoolUnusable as error:  # the rest of a reconcile does not depend on it
            report.spool_trouble = str(error)
    report.pulled = pulling.pull(context)
    report.caught_up = catch_up(Desk(context))


def _settle_doubt(context: Context, report: ReconcileReport) -> None:
    """First proof, then the campaign's policy for what nobody can prove."""
    with context.store.read() as connection:
        found = doubts.in_doubt(connection)
    if not found:
        return
    proof = settling.settle(context, found)
    report.proven_sent, report.proven_absent, report.proven_by = proof.sent, proof.queued, dict(proof.proven)
    report.cannot_tell = proof.reasons
    desk = Desk(context)
    with desk.transaction() as connection:
        before = desk.now - timedelta(seconds=POLICY_GRACE_S)
        held: dict[str, list[Held]] = {"resend": [], "skip": [], "hold": []}
        for doubt in found:
            if not proof.settles(doubt.held):
                policy = _policy(desk, connection, doubt.campaign_id) if doubt.since < before else "hold"
                # No policy decides on what may have an answer yet, or can be settled without a risk; while the first
                # provider knows a key no other gets the message.
                waits = doubt.held in proof.unasked or doubt.held in proof.later
                waits = waits or (policy == "resend" and doubt.held in proof.keyed)
                waits = waits or (doubt.held in proof.unanswered and doubt.since >= desk.now - ANSWER_PATIENCE)
                held["hold" if waits else policy].append(doubt.held)
        report.policy_resent = desk.resend(connection, held["resend"], "policy")
        report.policy_skipped = desk.skip(connection, held["skip"], "policy", "in doubt, and the campaign says skip")
        report.in_doubt = len(doubts.in_doubt(connection))


def _policy(desk: Desk, connection: Connection, campaign_id: int) -> str:
    """What the campaign says of doubt; a cancelled one resends nothing."""
    policy = desk.current(connection, campaign_id).in_doubt
    cancelled = desk.campaign(connection, campaign_id).status is CampaignStatus.CANCELLED
    return "hold" if cancelled and policy == "resend" else policy


def _tidy(context: Context, report: ReconcileReport) -> None:
    """Retry what failed for a passing cause, sweep what came back after a cancel, complete what adds up."""
    settings = context.settings.reconcile
    desk = Desk(context)
    with desk.transaction() as connection:
        before = desk.now - timedelta(seconds=settings.retry_failed_after_s)
        due = ending.retriable(connection, before, settings.max_total_attempts, desk.now)
        campaigns.lock(connection, {one.campaign_id for one in due}, ())
        # Asked again: somebody may have had one of them sent once more before the campaigns were held.
        due = ending.retriable(connection, before, settings.max_total_attempts, desk.now) if due else []
        report.retried = len(due) - len(desk.requeue(connection, due, "retry"))
        notices.tell_exhausted(connection, settings.max_total_attempts, desk.now)
        ending.tell_ended(connection, settings.max_total_attempts, desk.now)
    report.caught_up.add(sweep(desk))
    report.shared = share_out(context, every=True)
    with desk.transaction() as connection:
        people.ask_again(desk, connection)
    with desk.transaction() as connection:  # campaigns are locked before messages, or in a transaction of their own
        finishing.settle(connection, desk.now)


def _prove(context: Context, report: ReconcileReport) -> None:
    report.stalled = stalled_runs(context)
    with context.store.read() as connection:
        now = context.store.now(connection)
        report.violations = proofs.check(connection)
        grace = timedelta(seconds=context.settings.reconcile.overdue_grace_s)
        report.overdue = doubts.overdue(connection, now - grace)


def _remove_old(context: Context) -> int:
    """Journals of runs that the store confirmed a month ago: no backup that old is put back."""
    return remove_before(context.home, context.clock.utc_now() - timedelta(seconds=homes.KEEP_JOURNALS_S))
