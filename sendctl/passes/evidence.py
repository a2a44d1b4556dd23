"""Settling doubt by proof: a provider that can be asked, or the log of one's own MTA.

A Message-ID in the log proves acceptance. Its absence counts only when the provider hands over to that MTA only
([reconcile] mta_providers), the log is complete and settled, and the run is proven dead or gave the message up
itself. A proof is about one attempt: it never settles a later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from sqlalchemy.engine import Connection

from sendctl.evidence.model import Absent, Accepted, Finding, Wanted
from sendctl.evidence.search import search
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.providers.base import Lookup, Outcome, Phase, ProvesAbsence, Sought
from sendctl.providers.facts import can_tell, settles_by_key
from sendctl.providers.registry import build_provider
from sendctl.rendering.names import message_id
from sendctl.states import AttemptOutcome
from sendctl.store import places
from sendctl.store.doubts import Doubt, Held


@dataclass
class Evidence:
    """What is proven of each doubt, and why nothing could be concluded of the others."""

    accepted: dict[Held, Outcome] = field(default_factory=dict)
    absent: dict[Held, Outcome] = field(default_factory=dict)
    unsettled: dict[str, tuple[str, int]] = field(default_factory=dict)  # by kind: the last reason, how many
    asked: set[Held] = field(default_factory=set)  # settled by asking the provider, not by a log
    later: set[Held] = field(default_factory=set)  # what the same again under its key can still settle

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
        self.asked |= other.asked
        self.later |= other.later
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


def is_keyed(context: Context, doubt: Doubt) -> bool:
    """Whether this doubt is settled by sending the same again (key_replay.py)."""
    table = context.settings.providers.get(doubt.provider)
    return table is not None and settles_by_key(table.type)


def look_up(context: Context, doubts: Sequence[Doubt]) -> Evidence:
    """Ask providers that can tell, and search the logs, for messages in doubt. Writes and sends nothing."""
    evidence = Evidence()
    keyed = [doubt for doubt in doubts if is_keyed(context, doubt)]
    for doubt in keyed:
        evidence.cannot_tell(f"provider {doubt.provider} tells when the same is sent again under its key")
    left = _ask_providers(context, [doubt for doubt in doubts if doubt not in keyed], evidence)
    for doubt in left:
        if not _has_message_id(doubt):
            evidence.cannot_tell(f"provider {doubt.provider} cannot be asked about a text, and no log has texts")
    left = [doubt for doubt in left if _has_message_id(doubt)]
    if left and not context.settings.reconcile.mta:
        for _ in left:
            evidence.cannot_tell("no MTA log is configured: [reconcile] mta, mta_logs and mta_providers")
    elif left:
        _search_logs(context, left, evidence)
    return evidence


def _ask_providers(context: Context, doubts: Sequence[Doubt], evidence: Evidence) -> list[Doubt]:
    """Returns the doubts about which no provider could be asked."""
    tables = context.settings.providers
    providers = {name: build_provider(tables[name], context.environ) for name in {one.provider for one in doubts}
                 if name in tables}  # fmt: skip
    asked = {name: one for name, one in providers.items() if isinstance(one, Lookup) and one.capabilities.lookup}
    left = [doubt for doubt in doubts if doubt.provider not in asked]
    with context.store.read() as connection:
        desk = Desk(context)
        sought = [(doubt, _sought(desk, connection, doubt)) for doubt in doubts if doubt.provider in asked]
    for doubt, it in sought:
        provider = asked[doubt.provider]
        try:
            found = provider.find(it)
            silent = "" if found is not None else _absence_unproven(context, doubt, provider)
        except OSError as error:
            evidence.cannot_tell(f"provider {doubt.provider} cannot be asked: {error.strerror}")
            continue
        if silent:
            evidence.cannot_tell(f"provider {doubt.provider} {silent}")
        elif found is None:
            evidence.asked.add(doubt.held)
            evidence.absent[doubt.held] = Outcome(
                AttemptOutcome.DEFERRED, Phase.DOTTED, text=f"provider {doubt.provider} does not have it",
                error_class="not_there",
            )  # fmt: skip
        else:
            evidence.asked.add(doubt.held)
            evidence.accepted[doubt.held] = Outcome(
                AttemptOutcome.ACCEPTED, Phase.REPLIED, text=f"provider {doubt.provider} has it",
                provider_message_id=found,
            )  # fmt: skip
    return left


def _has_message_id(doubt: Doubt) -> bool:
    return doubt.channel == "email"  # a text's sender is a number or a name, and has no domain


def _sought(desk: Desk, connection: Connection, doubt: Doubt) -> Sought:
    name = _wanted(desk, connection, doubt).key if _has_message_id(doubt) else ""
    return Sought(doubt.provider_key, name, doubt.recipient, doubt.handed_over_at)


def _absence_unproven(context: Context, doubt: Doubt, provider: Lookup) -> str:
    """Why it proves nothing that a provider does not have a message, as what follows its name; "" if it proves it.

    Raises OSError.
    """
    if not isinstance(provider, ProvesAbsence):  # who reads a mail may also delete it
        return "does not have it, or has it no more"
    if doubt.host_id != context.home.host_id:  # a file of that name there is another one
        return "does not have it, but another host handed it over: reconcile there"
    if doubt.evidence == "claim_expired":
        return "does not have it, but its run may still be alive"
    reason = provider.absence_unproven(doubt.handed_over_at)
    return f"does not have it, which proves nothing: {reason}" if reason else ""


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


def settle(desk: Desk, connection: Connection, evidence: Evidence) -> tuple[int, int]:
    """Record what is proven; returns how many are sent after all, and how many are queued again."""

    places.hold_of(connection, (message_id for message_id, _ in (*evidence.accepted, *evidence.absent)))

    def settled(proven: dict[Held, Outcome]) -> int:
        return sum(
            desk.resolve(
                connection,
                held[0],
                outcome,
                evidence="lookup" if held in evidence.asked else "mta_log",
                claim_id=held[1],
            )
            for held, outcome in proven.items()
        )

    return settled(evidence.accepted), settled(evidence.absent)
