"""`recover --campaign`: identify what is not where it should be, de-duplicate it against evidence, queue it again.

A plan is made first and changes nothing; it says what will happen, why, and how many duplicates it can cost at
worst. Applying it is a row of compare-and-sets: what has moved meanwhile stays. Recover never sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from sendctl import faults
from sendctl.errors import ExitCode, StoreRewound, UsageError
from sendctl.journal import home as homes
from sendctl.passes import evidence, hosts, replaying
from sendctl.passes.context import Context, who
from sendctl.passes.deciding import Desk
from sendctl.passes.importing import expire_foreign, import_dead_runs, traces_of, verdict
from sendctl.passes.replaying import Replayed
from sendctl.passes.startup import declare_rewound, rewound_reason, take_over
from sendctl.states import AttemptOutcome, CampaignStatus, State
from sendctl.store import audit, campaigns, claims, doubts, finishing, meta, proofs, runs
from sendctl.store.campaigns import Campaign
from sendctl.store.doubts import Failure, Held
from sendctl.store.runs import RunRow

CHOICES = ("hold", "resend", "skip")


@dataclass
class DeadRun:
    """A run that died, and where its journal sends the messages that it left in flight."""

    run: RunRow
    recorded: int = 0
    requeued: int = 0
    in_doubt: list[Held] = field(default_factory=list)


@dataclass
class Plan:
    """What `recover` would do to one campaign. Made without changing anything."""

    campaign: str
    status: CampaignStatus
    made_at: datetime
    choice: str  # for what stays in doubt: hold | resend | skip
    with_failed: bool
    counts: dict[State, int]
    rewound: str = ""  # why the journals must be replayed first, or empty
    forgotten: int = 0  # queued messages that may have left since: the journals here do not reach that far
    hosts: list[str] = field(default_factory=list)  # after a rewind of Postgres: those that are known to have run here
    dead_runs: list[DeadRun] = field(default_factory=list)
    alive: list[RunRow] = field(default_factory=list)  # runs of this host that go on: left alone
    elsewhere: list[RunRow] = field(default_factory=list)  # runs in flight whose journals are not here
    expired_claims: int = 0  # of other hosts' runs: in doubt from now on
    in_flight: int = 0  # claimed by runs that may be alive: left alone
    doubtful: list[Held] = field(default_factory=list)  # what evidence does not settle
    proof: evidence.Evidence = field(default_factory=evidence.Evidence)
    failed: list[Failure] = field(default_factory=list)
    failed_ids: list[int] = field(default_factory=list)  # certainly not accepted
    given_up_ids: list[int] = field(default_factory=list)  # failed too, and perhaps accepted: someone gave them up

    @property
    def over(self) -> bool:
        """Whether nothing of the campaign may go out again."""
        return self.status in (CampaignStatus.CANCELLED, CampaignStatus.ARCHIVED)

    @property
    def takes_given_up(self) -> bool:
        """Whether what was given up in doubt goes out again: only if both were asked for."""
        return self.with_failed and self.choice == "resend"

    @property
    def at_risk(self) -> int:
        """Messages of which nobody knows whether they were accepted, and which this plan decides about."""
        return len(self.doubtful) + (len(self.given_up_ids) if self.takes_given_up else 0)

    @property
    def worst_case_duplicates(self) -> int:
        """People who may get the message a second time if this plan is applied."""
        return self.forgotten + (self.at_risk if self.choice == "resend" else 0)

    @property
    def worst_case_missed(self) -> int:
        """People who may never get it if this plan is applied: what is held in doubt may not have been accepted."""
        return 0 if self.choice == "resend" else len(self.doubtful)

    @property
    def does_something(self) -> bool:
        """Whether applying it would change the ledger."""
        chosen = bool(self.doubtful) and self.choice != "hold"
        proven = self.proof.accepted or self.proof.absent
        failed = (self.with_failed and self.failed_ids) or (self.takes_given_up and self.given_up_ids)
        return bool(self.rewound or self.dead_runs or self.expired_claims or proven or chosen or failed)


@dataclass
class Recovered:
    """What applying a plan did."""

    replayed: Replayed | None = None
    recorded: int = 0
    requeued: int = 0
    proven_sent: int = 0
    proven_absent: int = 0
    resent: int = 0
    skipped: int = 0
    retried: int = 0
    in_doubt: int = 0  # still
    counts: dict[State, int] = field(default_factory=dict)
    waiting_for_hosts: str = ""  # after a rewind: who must still replay, in words

    @property
    def exit_code(self) -> ExitCode:
        twice = self.replayed is not None and self.replayed.contradicted
        return ExitCode.NEEDS_PERSON if self.in_doubt or twice else ExitCode.DONE


# -- identify, de-duplicate ---------------------------------------------------------------------------------------


def plan(context: Context, name: str, *, in_doubt: str | None = None, failed: bool = False) -> Plan:
    """Make a plan; reads only. `in_doubt` None means the campaign's own policy. Raises UsageError."""
    with context.store.read() as connection:
        campaign = campaigns.find(connection, name)
        if campaign is None:
            raise UsageError(f"there is no campaign {name}", hint=_where_is_it(context))
        choice = _choice(context, connection, campaign, in_doubt, failed=failed)
        made = Plan(
            name, campaign.status, context.store.now(connection), choice, failed, proofs.counts(connection, campaign.id)
        )
        _find_runs(context, connection, campaign, made)
        found = doubts.in_doubt(connection, campaign.id)
        made.failed = doubts.failures(connection, campaign.id)
        made.failed_ids = doubts.failed_ids(connection, campaign.id)
        made.given_up_ids = doubts.failed_ids(connection, campaign.id, given_up=True)
    made.rewound = replaying.needed(context) or rewound_reason(context)
    if made.rewound and replaying.journals_miss(context):
        made.forgotten = made.counts[State.QUEUED]
    made.hosts = hosts.known(context) if made.rewound and not context.store.sqlite else []
    made.proof = evidence.look_up(context, found)
    made.doubtful += [doubt.held for doubt in found if not made.proof.settles(doubt.held)]
    made.doubtful += [held for dead in made.dead_runs for held in dead.in_doubt]
    return made


def _where_is_it(context: Context) -> str:
    if not replaying.needed(context) and not rewound_reason(context):
        return "`sendctl status` lists them."
    return (
        "the store was put back to a time before it: enqueue its file again first. Nothing is sent by that, and who"
        " has got it already is known from the journals once recover has replayed them."
    )


def _choice(context: Context, connection: Connection, campaign: Campaign, wanted: str | None, *, failed: bool) -> str:
    """What happens to doubt: as asked, else as the campaign says. Nothing of a cancelled campaign goes out again."""
    policy = wanted or Desk(context).current(connection, campaign.id).in_doubt
    if campaign.status not in (CampaignStatus.CANCELLED, CampaignStatus.ARCHIVED):
        return policy
    if failed or wanted == "resend":
        raise UsageError(
            f"campaign {campaign.name} is {campaign.status}: nothing of it is sent again",
            hint="leave out --failed, and settle what is in doubt with --in-doubt hold or skip.",
        )
    return "hold" if policy == "resend" else policy


def _find_runs(context: Context, connection: Connection, campaign: Campaign, made: Plan) -> None:
    """Sort what is in flight by what is known of its run: dead here, alive here, or another host's."""
    mine = {row.id: row for row in runs.unfinished(connection) if row.host_id == context.home.host_id}
    store_id = meta.read(connection).store_id
    expired_before = made.made_at - timedelta(seconds=context.settings.send.deadline_s)
    opened = runs.open_attempts(connection, campaign_id=campaign.id)
    for run_id in {row.run_id for row in opened} & mine.keys():
        note = homes.note_of(context.home, run_id)
        with homes.dead_run(context.home, run_id) as dead:
            if not dead or note is None or note.store_id != store_id:
                made.alive.append(mine[run_id])
                continue
            traces, intact = traces_of(context.home, note)
        found = DeadRun(mine[run_id])
        made.dead_runs.append(found)
        for row in (row for row in opened if row.run_id == run_id):
            outcome, _ = verdict(traces.get((row.message_id, row.number)), proves_absence=row.worker in intact)
            if outcome.kind is AttemptOutcome.UNKNOWN:
                found.in_doubt.append((row.message_id, row.claim_id))
            elif outcome.kind is AttemptOutcome.UNTOUCHED:
                found.requeued += 1
            else:
                found.recorded += 1
    handled = {dead.run.id for dead in made.dead_runs} | {row.id for row in made.alive}
    others = [row for row in opened if row.run_id not in handled]
    made.elsewhere = list(runs.find(connection, {row.run_id for row in others}).values())
    expired = [row for row in others if row.claim_expires_at < expired_before]
    made.expired_claims = len(expired)
    made.doubtful += [(row.message_id, row.claim_id) for row in expired]
    made.in_flight = (
        len(opened) - sum(len(dead.in_doubt) + dead.requeued + dead.recorded for dead in made.dead_runs) - len(expired)
    )


# -- apply --------------------------------------------------------------------------------------------------------


def apply(
    context: Context, made: Plan, *, reason: str, expected: int | None = None, lost_hosts: Sequence[str] = ()
) -> Recovered:
    """Carry a plan out and record who did and why. Raises UsageError when `expected` is not the plan's number.

    `expected` is the number of messages in doubt that the operator agreed to resend or skip. `lost_hosts` are hosts
    whose journals are gone for good: after a rewind nobody waits for them any more.
    """
    if expected is not None and expected != made.at_risk:
        raise UsageError(
            f"--expect {expected}, but {made.at_risk} messages are in doubt",
            hint="look at the plan again with --dry-run; nothing was changed.",
        )
    done = Recovered()
    if lost_hosts:
        hosts.give_up(context, lost_hosts, reason)
    _take_over(context, made, done, with_what_is_left=bool({context.hostname, context.home.host_id} & set(lost_hosts)))
    _settle(context, made, done, reason)
    return done


def _take_over(context: Context, made: Plan, done: Recovered, *, with_what_is_left: bool) -> None:
    """Everything that is true whatever the operator chose: journals, and claims that nobody can vouch for."""
    if made.rewound:
        declare_rewound(context, made.rewound)  # recover may be the first to see it: other hosts must replay too
        done.replayed = replaying.replay_all(context, with_what_is_left=with_what_is_left)
    try:
        imported = take_over(context)
    except StoreRewound as error:
        if not made.rewound:
            raise
        # This host has done its part; others have not, and `send-due` goes on refusing until they have.
        imported = import_dead_runs(context)
        done.waiting_for_hosts = str(error)
    done.recorded, done.requeued = imported.recorded, imported.requeued
    expire_foreign(context)


def _settle(context: Context, made: Plan, done: Recovered, reason: str) -> None:
    desk = Desk(context)
    with context.store.read() as connection:
        campaign = campaigns.find(connection, made.campaign)
        assert campaign is not None
        found = doubts.in_doubt(connection, campaign.id)
    proof = evidence.look_up(context, found)
    with desk.transaction() as connection:
        done.proven_sent, done.proven_absent = evidence.settle(desk, connection, proof)
        planned = set(made.doubtful)  # a later attempt's doubt is not what was agreed to
        left = [doubt.held for doubt in doubts.in_doubt(connection, campaign.id) if doubt.held in planned]
        if made.choice == "resend":
            done.resent = desk.resend(connection, left, "operator")
        elif made.choice == "skip":
            done.skipped = desk.skip(connection, left, "operator", f"in doubt, given up: {reason or 'no reason given'}")
        if made.with_failed:
            done.retried = _retry(desk, connection, campaign, made)
        done.counts = proofs.counts(connection, campaign.id)
        done.in_doubt = done.counts[State.IN_DOUBT]
        _write_audit(context, desk, connection, campaign, made, done, reason)
        faults.passing("recover.before_commit")
    faults.passing("recover.committed")
    with desk.transaction() as connection:  # campaigns are locked before messages, or in a transaction of their own
        finishing.settle(connection, desk.now)
        done.counts = proofs.counts(connection, campaign.id)


def _retry(desk: Desk, connection: Connection, campaign: Campaign, made: Plan) -> int:
    """Queue failed messages again: of those planned, the ones that are still what they were. Returns how many."""
    still = set(doubts.failed_ids(connection, campaign.id)) & set(made.failed_ids)
    if made.takes_given_up:
        still |= set(doubts.failed_ids(connection, campaign.id, given_up=True)) & set(made.given_up_ids)
    due = list(claims.by_id(connection, sorted(still)).values())
    return len(due) - len(desk.requeue(connection, due, "retry"))


def _write_audit(
    context: Context, desk: Desk, connection: Connection, campaign: Campaign, made: Plan, done: Recovered, reason: str
) -> None:
    names = ("recorded", "requeued", "proven_sent", "proven_absent", "resent", "skipped", "retried", "in_doubt")
    detail: dict[str, object] = {name: getattr(done, name) for name in names}
    detail |= {"choice": made.choice, "worst_case_duplicates": made.worst_case_duplicates}
    if done.replayed is not None:
        detail |= {"replayed": done.replayed.as_detail()}
    audit.write(
        connection, login=who(context.environ), hostname=context.hostname, action="recover",
        campaign_id=campaign.id, reason=reason, detail=detail, now=desk.now,
    )  # fmt: skip
