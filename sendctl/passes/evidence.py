"""What is proven of messages in doubt, and the proof that the log of one's own MTA gives.

A Message-ID in the log proves acceptance. Its absence counts only when the provider hands over to that MTA only
([reconcile] mta_providers), the log is complete and settled, and the run is proven dead or gave the message up
itself. A proof is about one attempt: it never settles a later one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, cast

from sqlalchemy.engine import Connection

from sendctl import faults
from sendctl.evidence.model import Absent, Accepted, Finding, Wanted
from sendctl.evidence.search import search
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.providers.base import Outcome, Phase, Sought
from sendctl.providers.facts import FACTS, can_tell, key_window_s
from sendctl.rendering.names import message_id
from sendctl.states import AttemptOutcome
from sendctl.store import places
from sendctl.store.doubts import Doubt, Held


@dataclass
class Evidence:
    """What is proven of each doubt, and why nothing could be concluded of the others."""

    accepted: dict[Held, Outcome] = field(default_factory=dict)
    absent: dict[Held, Outcome] = field(default_factory=dict)
    again_at: dict[Held, datetime] = field(default_factory=dict)  # when it may have been taken, later than at first
    unsettled: dict[str, tuple[str, int]] = field(default_factory=dict)  # by kind: the last reason, how many
    asked: set[Held] = field(default_factory=set)  # settled by asking the provider, not by a log
    keyed: set[Held] = field(default_factory=set)  # whose key the provider still knows
    again: set[Held] = field(default_factory=set)  # ... and what is sent again under it as soon as a plan is applied
    later: set[Held] = field(default_factory=set)  # what time, or the same again under its key, can still settle
    unasked: set[Held] = field(default_factory=set)  # what the next pass asks about, for lack of time or pace now
    unanswered: set[Held] = field(default_factory=set)  # what its provider could not be asked about
    proven: Counter[str] = field(default_factory=Counter)  # what was recorded, by what proves it
    sent: int = 0  # recorded as sent after all
    queued: int = 0  # recorded as queued again

    def settles(self, held: Held) -> bool:
        return held in self.accepted or held in self.absent

    @property
    def reasons(self) -> dict[str, int]:
        """How many doubts each reason leaves open."""
        return dict(self.unsettled.values())

    def add(self, other: Evidence) -> None:
        """What was found besides, in another way: it goes before what this one could not tell."""
        self.accepted |= other.accepted
        self.absent |= other.absent
        self.again_at |= other.again_at
        self.asked |= other.asked
        self.keyed |= other.keyed
        self.again |= other.again
        self.later |= other.later
        self.unasked |= other.unasked
        self.unanswered |= other.unanswered
        self.proven += other.proven
        self.sent += other.sent
        self.queued += other.queued
        for kind, (reason, count) in other.unsettled.items():
            self.unsettled[kind] = (reason, self.unsettled.get(kind, ("", 0))[1] + count)

    def cannot_tell(self, reason: str, kind: str = "") -> None:
        kind = kind or reason
        self.unsettled[kind] = (reason, self.unsettled.get(kind, ("", 0))[1] + 1)


def is_possible(context: Context) -> bool:
    """Whether there is anything that could prove what became of a message."""
    return bool(context.settings.reconcile.mta) or any(
        can_tell(table.type) for table in context.settings.providers.values()
    )


def by_key(context: Context, doubts: Sequence[Doubt]) -> tuple[list[Doubt], list[Doubt]]:
    """Those that are settled by sending the same again under their keys (key_replay.py), and the others."""
    if not doubts:
        return [], []
    with context.store.read() as connection:
        now = context.store.now(connection)
    keyed, others = list[Doubt](), list[Doubt]()
    for doubt in doubts:
        until = known_until(context, doubt)
        (others if until is None or until <= now else keyed).append(doubt)
    return keyed, others


def known_until(context: Context, doubt: Doubt) -> datetime | None:
    """The last moment at which its provider recognises its key, less the time that asking takes; None: never.

    It has known the key since the first attempt that it may have taken: one that it knew already does not renew it.
    Another section of its type may be the same account, and so may one that is not configured any more: this one's
    older name, perhaps.
    """
    tables = context.settings.providers
    table = tables.get(doubt.provider)
    window_s = key_window_s(table.type) if table is not None else 0.0
    if table is None or not window_s:
        return None
    elsewhere = {name for name, one in tables.items() if one.type != table.type}
    first_at = min(at for name, at in doubt.first_by.items() if name not in elsewhere)
    return first_at + timedelta(seconds=window_s - context.settings.send.deadline_s)


def of_logs(context: Context, doubts: Sequence[Doubt]) -> Evidence:
    """What the logs say of messages about which no provider can be asked."""
    evidence = Evidence()
    for doubt in doubts:
        if not _has_message_id(doubt):
            evidence.cannot_tell(f"provider {doubt.provider} cannot be asked about a text, and no log has texts")
    left = [doubt for doubt in doubts if _has_message_id(doubt)]
    if left and not context.settings.reconcile.mta:
        for doubt in left:
            evidence.cannot_tell(_without_log(context, doubt))
    elif left:
        _search_logs(context, left, evidence)
    return evidence


def _without_log(context: Context, doubt: Doubt) -> str:
    table = context.settings.providers.get(doubt.provider)
    if table is None:
        return f"provider {doubt.provider} is not configured here, so that it cannot be asked"
    if table.type in FACTS and FACTS[table.type].capabilities.pulled:
        return f"provider {doubt.provider} cannot be asked for it; an event of it would prove it"
    return "no MTA log is configured: [reconcile] mta, mta_logs and mta_providers"


def _has_message_id(doubt: Doubt) -> bool:
    return doubt.channel == "email"  # a text's sender is a number or a name, and has no domain


def sought(desk: Desk, connection: Connection, doubt: Doubt) -> Sought:
    """A doubt in the words in which a provider is asked."""
    name = _wanted(desk, connection, doubt).key if _has_message_id(doubt) else ""
    return Sought(doubt.provider_key, name, doubt.recipient, doubt.handed_over_at, last_at=doubt.again_at)


def _search_logs(context: Context, doubts: Sequence[Doubt], evidence: Evidence) -> None:
    with context.store.read() as connection:
        desk = Desk(context)
        wanted = {doubt.message_id: _wanted(desk, connection, doubt) for doubt in doubts}
        now = context.store.now(connection)
    settings = context.settings.reconcile
    mta = cast("Literal['postfix', 'exim']", settings.mta)
    findings = search(settings.mta_logs, mta, list(wanted.values()), now=now)
    for doubt in doubts:
        _conclude(
            doubt,
            findings[wanted[doubt.message_id].key],
            evidence,
            own=doubt.provider in settings.mta_providers,
            here=doubt.host_id == context.home.host_id,
        )


def _wanted(desk: Desk, connection: Connection, doubt: Doubt) -> Wanted:
    revision = doubt.revision or desk.campaign(connection, doubt.campaign_id).revision
    definition = desk.definition(connection, doubt.campaign_id, revision)
    name = message_id(definition, doubt.provider_key).strip("<>")
    return Wanted(name, doubt.recipient, begun_at=doubt.handed_over_at, dotted_at=doubt.since)


def _conclude(doubt: Doubt, finding: Finding, evidence: Evidence, *, own: bool, here: bool) -> None:
    """`own`: this provider hands over to the MTA whose log it is, and to no other; `here`: from this host.

    Only both together make silence mean something: with one MTA a host, another host's log would have it.
    """
    match finding:
        case Accepted(queue_id, _, last_status):
            text = f"the MTA's log has it as {queue_id}, last {last_status}"
            evidence.accepted[doubt.held] = Outcome(
                AttemptOutcome.ACCEPTED, Phase.REPLIED, text=text, provider_message_id=queue_id
            )
        case Absent() if doubt.revision is None:
            evidence.cannot_tell(
                "the log does not have it, but its Message-ID may have been another: the store was put back to before"
                " the contents that were sent"
            )
        case Absent() if not own:
            evidence.cannot_tell(f"the log does not have it, but provider {doubt.provider} is not in mta_providers")
        case Absent() if not here:
            evidence.cannot_tell("the log does not have it, but another host handed it over: reconcile there")
        case Absent(reason) if doubt.evidence != "claim_expired":
            evidence.absent[doubt.held] = Outcome(
                AttemptOutcome.DEFERRED, Phase.DOTTED, text=reason, error_class="not_in_log"
            )
        case Absent():
            evidence.cannot_tell("the log does not have it, but its run may still be alive on another host")
        case _:
            evidence.cannot_tell(finding.reason, finding.kind)


def record(
    context: Context, proof: Evidence, look_again: Callable[[Connection, Evidence], None] = lambda *_: None
) -> None:  # fmt: skip
    """Write down what is proven, in a transaction of its own; `sent` and `queued` say of how many it was news.

    `look_again` is asked first, in the same transaction, and takes out of it what is no proof any more.
    """
    if not (proof.accepted or proof.absent):
        return
    desk = Desk(context)
    with desk.transaction() as connection:
        look_again(connection, proof)
        places.hold_of(connection, (message_id for message_id, _ in (*proof.accepted, *proof.absent)))

        def settled(proven: dict[Held, Outcome]) -> Counter[str]:
            return Counter(
                _what_proves(outcome, asked=held in proof.asked)
                for held, outcome in proven.items()
                if desk.resolve(
                    connection, held[0], outcome, evidence="lookup" if held in proof.asked else "mta_log",
                    claim_id=held[1], at=proof.again_at.get(held),
                )
            )  # fmt: skip

        sent, queued = settled(proof.accepted), settled(proof.absent)
        proof.sent, proof.queued, proof.proven = sent.total(), queued.total(), sent + queued
        faults.passing("proof.before_commit")
    faults.passing("proof.committed")


def _what_proves(outcome: Outcome, *, asked: bool) -> str:
    """In words that are the same for many messages: without what was said of this one alone."""
    if not asked:
        taken = outcome.kind is AttemptOutcome.ACCEPTED
        return "the MTA's log has it" if taken else "the MTA's log shows that it was not taken"
    text, refused, _ = outcome.text.partition(" refused: ")
    return text + refused.rstrip(": ")
