"""Copies: messages that an operator has sent once more, beside the one that the campaign planned."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.calendar import Slot
from sendctl.store import campaigns
from sendctl.store.claims import Due
from sendctl.store.enrollments import next_message
from sendctl.store.holds import Why
from sendctl.store.ids import take_ids
from sendctl.store.tables import messages


def plan(
    connection: Connection, campaign: str, due: Due, slot: Slot, *, copy: int, frozen: tuple[int, datetime] | None,
    unpaid: bool, secret: str, now: datetime,
) -> int:  # fmt: skip
    """Write the message that is the copy of `due`; returns its number. The caller holds the campaign.

    `unpaid`: it has still to get a share of its account. `frozen` is the revision whose contents it has and the moment
    in its Date header; else both are those of its claim.
    """
    (message_id,) = take_ids(connection, "messages", 1)
    row = next_message(
        campaign, due, (due.step_index, due.occurrence), slot,
        step=campaigns.step_name(connection, due.campaign_id, due.step_index), secret=secret, message_id=message_id,
        now=now, copy=copy,
    )  # fmt: skip
    if frozen is not None:
        row |= {"revision": frozen[0], "composed_at": frozen[1]}
    row["error_class"] = Why.ALLOWANCE if unpaid else None
    connection.execute(sa.insert(messages), [row])
    return message_id


def count(connection: Connection, campaign_id: int) -> int:
    """How many of a campaign's messages are copies: from their own index, which has no others."""
    statement = sa.select(sa.func.count()).where(messages.c.campaign_id == campaign_id, messages.c.copy > 0)
    return connection.execute(statement).scalar_one()
