"""`recover --campaign`: identify what is not where it should be, de-duplicate it against evidence, queue it again.

A plan (planning.py) is made first and changes nothing; it says what will happen, why, and how many duplicates it can
cost at worst. Applying it is a row of compare-and-sets: what has moved meanwhile stays. Recover never sends, but for
the same again under its key (key_replay.py), and not that either when it replays journals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.engine import Connection

from sendctl import faults
from sendctl.errors import ExitCode, StoreRewound, UsageError
from sendctl.passes import ending, hosts, remembered, replaying, settling
from sendctl.passes.accounts import share_out
from sendctl.passes.context import Context, who
from sendctl.passes.deciding import Desk
from sendctl.passes.importing import expire_foreign, import_dead_runs
from sendctl.passes.key_replay import AFTER_REPLAY
from sendctl.passes.planning import Plan
from sendctl.passes.replaying import Replayed
from sendctl.passes.startup import declare_rewound, take_over
from sendctl.states import State
from sendctl.store import audit, campaigns, doubts, finishing, proofs
from sendctl.store.campaigns import Campaign


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
    unasked: int = 0  # of those, what its service is asked about the next time
    no_proof: dict[str, int] = field(default_factory=dict)  # reasons, by how many they left without proof
    counts: dict[State, int] = field(default_factory=dict)
    waiting_for_hosts: str = ""  # after a rewind: who must still replay, in words

    @property
    def exit_code(self) -> ExitCode:
        twice = self.replayed is not None and self.replayed.contradicted
        return ExitCode.NEEDS_PERSON if self.in_doubt or twice else ExitCode.DONE


# -- apply --------------------------------------------------------------------------------------------------------


def apply(
    context: Context, made: Plan, *, reason: str, expected: int | None = None, lost_hosts: Sequence[str] = ()
) -> Recovered:
    """Carry a plan out and record who did and why. Raises UsageError when `expected` is not the plan's number.

    `expected` is the number of messages in doubt that the operator agreed to resend or skip. `lost_hosts` are hosts
    whose journals are gone for good: after a rewind nobody waits for them any more.
    """
    if expected is not None and expected != made.at_stake:
        what = "are in doubt or may have left since" if made.forgotten else "are in doubt"
        raise UsageError(
            f"--expect {expected}, but {made.at_stake} messages {what}",
            hint="look at the plan again with --dry-run; nothing was changed.",
        )
    done = Recovered()
    if lost_hosts:
        hosts.give_up(context, lost_hosts, reason)
    _take_over(context, made, done, with_what_is_left=bool({context.hostname, context.home.host_id} & set(lost_hosts)))
    _settle(context, made, done, reason)
    if not done.waiting_for_hosts:
        share_out(context)  # what was proven sent has a next step, and what failed again gives its share back
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
    if done.replayed is not None:
        done.recorded += done.replayed.recorded
        done.requeued += done.replayed.requeued
    expire_foreign(context)
    # What was in flight in the backup is queued again by now: what journals know of a later attempt settles it.
    for name in remembered.campaigns_waiting(context):
        taken = remembered.take_up(context, name)
        if name == made.campaign:
            done.proven_sent += taken.sent


def _settle(context: Context, made: Plan, done: Recovered, reason: str) -> None:
    desk = Desk(context)
    with context.store.read() as connection:
        campaign = campaigns.find(connection, made.campaign)
        assert campaign is not None
        found = doubts.in_doubt(connection, campaign.id)
    # Whoever gives doubt up does not want it sent any more. In a store that was put back it is not known yet who has
    # complained since: an operator takes that in before anything is sent.
    given_up, replayed = made.choice == "skip", bool(made.rewound)
    proof = settling.settle(
        context, found, again=not (given_up or replayed), because=AFTER_REPLAY if replayed and not given_up else ""
    )
    done.proven_sent += proof.sent
    done.proven_absent += proof.queued
    done.unasked, done.no_proof = len(proof.unasked), proof.reasons
    with desk.transaction() as connection:
        # Nobody has sent once more what is queued again here, nor the other way round.
        campaigns.lock(connection, {campaign.id}, ())
        # A later attempt's doubt is not what was agreed to, and what can still be asked about is not guessed at.
        planned = set(made.doubtful) - proof.unasked
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
    due = ending.still_wanted(connection, sorted(still))
    return len(due) - len(desk.requeue(connection, due, "retry", by_operator=True))


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
