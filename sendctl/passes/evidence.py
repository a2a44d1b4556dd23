"""Settling doubt from the log of one's own MTA: a Message-ID in it proves acceptance, its absence only sometimes.

Absence counts when the provider hands over to that MTA only ([reconcile] mta_providers), the log is complete and
settled, and the run is proven dead or gave the message up itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from sqlalchemy.engine import Connection

from sendctl.evidence.model import Absent, Accepted, CannotTell, Finding, Wanted
from sendctl.evidence.search import search
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.providers.base import Outcome, Phase
from sendctl.rendering.names import message_id
from sendctl.states import AttemptOutcome
from sendctl.store.doubts import Doubt


@dataclass
class Evidence:
    """What the logs say, by message id. `reasons` counts why nothing could be concluded."""

    accepted: dict[int, Outcome] = field(default_factory=dict)
    absent: dict[int, Outcome] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    def cannot_tell(self, reason: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


def look_up(context: Context, doubts: Sequence[Doubt]) -> Evidence:
    """Search the logs for messages in doubt. Reads files and the store; writes nothing."""
    evidence = Evidence()
    if not doubts:
        return evidence
    if not context.settings.reconcile.mta:
        evidence.reasons["no MTA log is configured: [reconcile] mta, mta_logs and mta_providers"] = len(doubts)
        return evidence
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
    return evidence


def _wanted(desk: Desk, connection: Connection, doubt: Doubt) -> Wanted:
    definition = desk.definition(connection, doubt.campaign_id, doubt.revision)
    name = message_id(definition, doubt.provider_key).strip("<>")
    return Wanted(name, doubt.recipient, begun_at=doubt.handed_over_at, dotted_at=doubt.since)


def _conclude(doubt: Doubt, finding: Finding, evidence: Evidence, *, own: bool, here: bool) -> None:
    """`own`: this provider hands over to the MTA whose log it is, and to no other; `here`: from this host.

    Only both together make silence mean something: with one MTA a host, another host's log would have it.
    """
    match finding:
        case Accepted(queue_id, _, last_status):
            text = f"the MTA's log has it as {queue_id}, last {last_status}"
            evidence.accepted[doubt.message_id] = Outcome(
                AttemptOutcome.ACCEPTED, Phase.REPLIED, text=text, provider_message_id=queue_id
            )
        case Absent() if not own:
            evidence.cannot_tell(f"the log does not have it, but provider {doubt.provider} is not in mta_providers")
        case Absent() if not here:
            evidence.cannot_tell("the log does not have it, but another host handed it over: reconcile there")
        case Absent(reason) if doubt.evidence != "claim_expired":
            evidence.absent[doubt.message_id] = Outcome(
                AttemptOutcome.DEFERRED, Phase.DOTTED, text=reason, error_class="not_in_log"
            )
        case Absent():
            evidence.cannot_tell("the log does not have it, but its run may still be alive on another host")
        case CannotTell(reason):
            evidence.cannot_tell(reason)


def settle(desk: Desk, connection: Connection, evidence: Evidence) -> tuple[int, int]:
    """Record what the logs prove; returns how many are sent after all, and how many are queued again."""
    sent = sum(
        desk.resolve(connection, number, outcome, evidence="mta_log") for number, outcome in evidence.accepted.items()
    )
    queued = sum(
        desk.resolve(connection, number, outcome, evidence="mta_log") for number, outcome in evidence.absent.items()
    )
    return sent, queued
