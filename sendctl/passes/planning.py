"""What `recover` would do to one campaign, and why: a plan. Made without changing anything, agreed to by a person.

Its numbers are those of what applying it does: also what journals will put back into a store that was rewound, and
what a dead run left of other campaigns. Only what comes into doubt by it may be fewer: proof is looked for then.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.engine import Connection

from sendctl.errors import UsageError
from sendctl.journal import home as homes
from sendctl.journal.home import RunNote
from sendctl.passes import ending, evidence, hosts, replaying, settling
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.importing import traces_of, verdict
from sendctl.passes.replaying import Foreseen
from sendctl.passes.startup import rewound_reason
from sendctl.states import AttemptOutcome, CampaignStatus, State
from sendctl.store import campaigns, doubts, meta, proofs, runs
from sendctl.store.campaigns import Campaign
from sendctl.store.doubts import Failure, Held
from sendctl.store.runs import OpenAttempt, RunRow

CHOICES = ("hold", "resend", "skip")


@dataclass
class DeadRun:
    """A run that died, and where its journal sends the messages that it left in flight.

    Applying a plan settles those of other campaigns as well: `others` counts them, and so do the other numbers.
    """

    run: RunRow
    recorded: int = 0
    requeued: int = 0
    in_doubt: list[Held] = field(default_factory=list)  # of this campaign
    others: int = 0


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
    replayed: Foreseen = field(default_factory=Foreseen)  # what replaying them will find
    behind: list[str] = field(default_factory=list)  # hosts that must recover too before anything is sent
    forgotten: int = 0  # queued messages that may have left since: the journals here do not reach that far
    hosts: list[str] = field(default_factory=list)  # after a rewind of Postgres: those that are known to have run here
    dead_runs: list[DeadRun] = field(default_factory=list)
    alive: list[RunRow] = field(default_factory=list)  # runs of this host that go on: left alone
    elsewhere: list[RunRow] = field(default_factory=list)  # runs in flight whose journals are not here
    expired_claims: int = 0  # of other hosts' runs: in doubt from now on, also in other campaigns
    in_flight: int = 0  # claimed by runs that may be alive: left alone
    doubtful: list[Held] = field(default_factory=list)  # what evidence does not settle
    unlooked: int = 0  # of the doubtful, those that proof is looked for only when the plan is applied
    keyed: int = 0  # of the doubtful, those that are sent again under their keys: their provider has each once
    proof: evidence.Evidence = field(default_factory=evidence.Evidence)
    failed: list[Failure] = field(default_factory=list)
    failed_ids: list[int] = field(default_factory=list)  # certainly not accepted
    given_up_ids: list[int] = field(default_factory=list)  # failed too, and perhaps accepted: someone gave them up
    ended: int = 0  # failed messages of people who get nothing more: left as they are

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
    def at_stake(self) -> int:
        """The number that an operator agrees to: people whom nobody knows to have been reached, and who decides."""
        return self.forgotten + self.at_risk

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
        return bool(self.rewound or self.dead_runs or self.expired_claims or self.keyed or proven or chosen or failed)


def plan(
    context: Context, name: str, *, in_doubt: str | None = None, failed: bool = False, lost_hosts: Sequence[str] = ()
) -> Plan:
    """Make a plan; reads only. `in_doubt` None means the campaign's own policy. Raises UsageError.

    `lost_hosts` are those that applying it will give up: whom they alone know of may be sent to again.
    """
    rewound = replaying.needed(context) or rewound_reason(context)
    with context.store.read() as connection:
        campaign = campaigns.find(connection, name)
        if campaign is None:
            raise UsageError(f"there is no campaign {name}", hint=_where_is_it(context))
        choice = _choice(context, connection, campaign, in_doubt, failed=failed)
        made = Plan(
            name, campaign.status, context.store.now(connection), choice, failed, proofs.counts(connection, campaign.id)
        )
        made.rewound = rewound
        _find_runs(context, connection, campaign, made)
        found = doubts.in_doubt(connection, campaign.id)
        made.failed = doubts.failures(connection, campaign.id)
        _find_failed(connection, campaign, made)
        row = meta.read(connection)
        made.behind = [name for name in meta.hosts_behind(connection, row.epoch) if not _is_here(context, name)]
    if made.rewound:
        made.replayed = replaying.foresee(context, campaign.id)
        made.doubtful += made.replayed.in_doubt
    if lost_hosts or (made.rewound and replaying.journals_miss(context)):
        made.forgotten = made.counts[State.QUEUED]
    made.hosts = hosts.known(context) if made.rewound and not context.store.sqlite else []
    made.proof = settling.look_up(context, found)
    if evidence.is_possible(context):
        made.unlooked = (
            len(made.doubtful) + len(made.proof.unasked) + sum(len(dead.in_doubt) for dead in made.dead_runs)
        )
    made.keyed = len(made.proof.again) if choice != "skip" else 0
    made.doubtful += [doubt.held for doubt in found if not made.proof.settles(doubt.held)]
    made.doubtful += [held for dead in made.dead_runs for held in dead.in_doubt]
    return made


def _find_failed(connection: Connection, campaign: Campaign, made: Plan) -> None:
    """What has failed, but for people who have ended: to them nothing goes again."""
    for given_up, ids in ((False, made.failed_ids), (True, made.given_up_ids)):
        failed = doubts.failed_ids(connection, campaign.id, given_up=given_up)
        ids += [due.id for due in ending.still_wanted(connection, failed)]
        made.ended += len(failed) - len(ids)


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
    """Sort what is in flight by what is known of its run: over here, alive here, or another host's."""
    mine = {row.id: row for row in runs.unfinished(connection) if row.host_id == context.home.host_id}
    expired_before = made.made_at - timedelta(seconds=context.settings.send.deadline_s)
    every = runs.open_attempts(connection)
    opened = {row.message_id for row in runs.open_attempts(connection, campaign_id=campaign.id)}
    left = [row for row in every if row.run_id not in mine]
    for run_id in mine.keys() & {row.run_id for row in every}:
        held = [row for row in every if row.run_id == run_id]
        match _fate_of(context, run_id, meta.read(connection).store_id, rewound=bool(made.rewound)):
            case "taken":
                continue
            case "alive":
                made.alive += [mine[run_id]] if opened & {row.message_id for row in held} else []
            case "elsewhere":
                left += held
            case note:
                made.dead_runs.append(_judged(context, note, mine[run_id], held, opened))
    expired = [row for row in left if row.claim_expires_at < expired_before]
    made.expired_claims = len(expired)
    made.elsewhere = list(runs.find(connection, {row.run_id for row in left if row.message_id in opened}).values())
    made.doubtful += [(row.message_id, row.claim_id) for row in expired if row.message_id in opened]
    alive = {row.id for row in made.alive}
    made.in_flight = sum(row.message_id in opened for row in every if row.run_id in alive) + sum(
        row.message_id in opened for row in left if row not in expired
    )


def _fate_of(
    context: Context, run_id: str, store_id: str, *, rewound: bool
) -> RunNote | Literal["alive", "elsewhere", "taken"]:
    """The note of a run of this host that is over.

    One whose end was confirmed here is known to the store, unless that was put back: another command takes it up now.
    """
    note = homes.note_of(context.home, run_id)
    if note is None or note.store_id != store_id:
        return "elsewhere"
    if run_id not in context.home.pending():
        return note if rewound else "taken"
    with homes.dead_run(context.home, run_id) as dead:
        return note if dead else "alive"


def _judged(context: Context, note: RunNote, run: RunRow, held: Sequence[OpenAttempt], opened: Set[int]) -> DeadRun:
    """Where the journal of a run that is over sends what it left; `opened` are this campaign's messages in flight."""
    traces, intact = traces_of(context.home, note)
    found = DeadRun(run, others=sum(row.message_id not in opened for row in held))
    for row in held:
        outcome, _ = verdict(traces.get((row.message_id, row.number)), proves_absence=row.worker in intact)
        if outcome.kind is AttemptOutcome.UNKNOWN:
            found.in_doubt += [(row.message_id, row.claim_id)] if row.message_id in opened else []
        elif outcome.kind is AttemptOutcome.UNTOUCHED:
            found.requeued += 1
        else:
            found.recorded += 1
    return found


def _is_here(context: Context, shown: str) -> bool:
    return shown == context.hostname or context.home.host_id in shown
