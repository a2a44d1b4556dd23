"""The ledger's own proof: statements that find nothing as long as every invariant holds."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import CampaignStatus, State
from sendctl.store import accounts
from sendctl.store.tables import campaigns, messages

# Each finds rows that must not exist; the limit keeps a broken ledger readable.
_VIOLATIONS: dict[str, str] = {
    "a sent message without exactly one accepted attempt": """
        SELECT m.id FROM messages m
        WHERE m.campaign_id = :campaign AND m.status IN ('sent', 'bounced')
          AND (SELECT count(*) FROM attempts a WHERE a.message_id = m.id AND a.outcome = 'accepted') <> 1""",
    "an accepted attempt of a message that is not sent": """
        SELECT m.id FROM messages m
        WHERE m.campaign_id = :campaign AND m.status NOT IN ('sent', 'bounced')
          AND EXISTS (SELECT 1 FROM attempts a WHERE a.message_id = m.id AND a.outcome = 'accepted')""",
    "a message in flight without an open attempt of its claim": """
        SELECT m.id FROM messages m
        WHERE m.campaign_id = :campaign AND m.status = 'sending'
          AND NOT EXISTS (SELECT 1 FROM attempts a
                          WHERE a.message_id = m.id AND a.outcome = 'open' AND a.claim_id = m.claim_id)""",
    "a message in doubt without an attempt of unknown outcome": """
        SELECT m.id FROM messages m
        WHERE m.campaign_id = :campaign AND m.status = 'in_doubt'
          AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.message_id = m.id AND a.outcome = 'unknown')""",
    "an attempt left open by a message that is not in flight": """
        SELECT m.id FROM messages m
        WHERE m.campaign_id = :campaign AND m.status <> 'sending'
          AND EXISTS (SELECT 1 FROM attempts a WHERE a.message_id = m.id AND a.outcome = 'open')""",
    "a count of attempts that is not the number of attempts": """
        SELECT m.id FROM messages m
        WHERE m.campaign_id = :campaign
          AND m.attempts <> (SELECT count(*) FROM attempts a WHERE a.message_id = m.id)""",
    "a message in flight without a share of its account": """
        SELECT m.id FROM messages m
        WHERE m.campaign_id = :campaign AND m.status = 'sending' AND m.error_class = 'allowance'""",
    "an active enrollment without a message to come (enrollment id)": """
        SELECT e.id FROM enrollments e
        WHERE e.campaign_id = :campaign AND e.status = 'active'
          AND NOT EXISTS (SELECT 1 FROM messages m
                          WHERE m.enrollment_id = e.id AND m.step_index = e.current_step_index
                            AND m.occurrence = e.current_occurrence AND m.copy = 0
                            AND m.status IN ('queued', 'sending', 'in_doubt'))""",
    "an enrollment that is over and has a message in the queue (enrollment id)": """
        SELECT e.id FROM enrollments e
        WHERE e.campaign_id = :campaign AND e.status IN ('completed', 'stopped', 'cancelled')
          AND EXISTS (SELECT 1 FROM messages m
                      WHERE m.enrollment_id = e.id AND m.status = 'queued'
                        AND (m.copy = 0 OR e.status <> 'completed')  -- what an operator has sent once more
                        AND m.attempts = 0)  -- one that was tried has come back meanwhile: its next claim cancels it
          AND EXISTS (SELECT 1 FROM campaigns c WHERE c.id = e.campaign_id AND c.status = 'running')""",
    "a copy of what was never planned": """
        SELECT m.id FROM messages m
        WHERE m.campaign_id = :campaign AND m.copy > 0
          AND NOT EXISTS (SELECT 1 FROM messages o
                          WHERE o.enrollment_id = m.enrollment_id AND o.step_index = m.step_index
                            AND o.occurrence = m.occurrence AND o.channel = m.channel AND o.copy = m.copy - 1)""",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold, with some of the rows."""

    campaign: str
    what: str
    ids: tuple[int, ...]


def counts(connection: Connection, campaign_id: int) -> dict[State, int]:
    """Messages by state, always all of them. An index scan, no row is read."""
    statement = (
        sa.select(messages.c.status, sa.func.count())
        .where(messages.c.campaign_id == campaign_id)
        .group_by(messages.c.status)
    )
    found = {row[0]: row[1] for row in connection.execute(statement)}
    return {state: found.get(state, 0) for state in State}


def planned(connection: Connection, campaign_id: int) -> int:
    """All messages of a campaign, counted without looking at their state."""
    return connection.execute(
        sa.select(sa.func.count()).select_from(messages).where(messages.c.campaign_id == campaign_id)
    ).scalar_one()


def check(connection: Connection) -> list[Violation]:
    """The accounting identity and every invariant above, for each campaign that is not archived."""
    names = connection.execute(
        sa.select(campaigns.c.id, campaigns.c.name).where(campaigns.c.status != CampaignStatus.ARCHIVED)
    ).all()
    found = []
    for campaign_id, name in names:
        if planned(connection, campaign_id) != sum(counts(connection, campaign_id).values()):
            found.append(Violation(name, "states that do not add up to what was planned", ()))
        for what, query in _VIOLATIONS.items():
            ids = connection.execute(sa.text(f"{query} LIMIT 10"), {"campaign": campaign_id}).scalars().all()
            if ids:
                found.append(Violation(name, what, tuple(ids)))
    return found + _accounts(connection)


def _accounts(connection: Connection) -> list[Violation]:
    """Everything that an account's campaigns have planned is consumed, reserved, waiting or given back."""
    what = "an account whose messages do not add up to what was planned of it"
    found = []
    for name in accounts.names(connection):
        used = accounts.consumed(connection, name) + accounts.in_hand(connection, name)
        used += sum(number for _, number in accounts.queued(connection, name))
        total = accounts.totals(connection, name)
        if used != total.consumed + total.reserved or sum(total) != accounts.planned(connection, name):
            found.append(Violation(name, what, ()))
    return found
