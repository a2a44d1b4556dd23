"""What a changed campaign file says of orders, of doubt and of providers, and whom that reaches: in words alone.

Nobody is moved for it: what is planned asks these keys when it is claimed or settled, or never again.
"""

from __future__ import annotations

from sqlalchemy.engine import Connection

from sendctl.definition import Definition
from sendctl.passes.new_hours import people
from sendctl.states import State
from sendctl.store import proofs, replanning

_OF_ORDERS = {"event": "event", "where": "where", "email": "email", "phone": "phone", "delay_s": "delay",
              "cancel_on": "cancel_on"}  # fmt: skip


def notes(connection: Connection, campaign_id: int, before: Definition, after: Definition) -> list[str]:
    """One line for each key that has changed, with numbers. The caller holds the campaign."""
    found = _of_trigger(connection, campaign_id, before, after)
    counts = proofs.counts(connection, campaign_id)
    if before.in_doubt != after.in_doubt:
        doubt = _messages(counts[State.IN_DOUBT])
        found.append(f"in_doubt is {after.in_doubt} instead of {before.in_doubt}: also for {doubt} in doubt now")
    if before.providers != after.providers:
        was, now = (", ".join(one.providers) or "those of [send]" for one in (before, after))
        waiting = _messages(counts[State.QUEUED])
        found.append(f"providers is {now} instead of {was}: also for {waiting} queued, from the next pass on")
    return found


def _of_trigger(connection: Connection, campaign_id: int, before: Definition, after: Definition) -> list[str]:
    was, now = before.trigger, after.trigger
    keys = [key for name, key in _OF_ORDERS.items() if getattr(was, name, None) != getattr(now, name, None)]
    if not keys:
        return []
    under_way = people(sum(replanning.count_at(connection, campaign_id, number) for number in after.numbers))
    return [f"{', '.join(keys)} of [trigger]: for the orders to come; not for {under_way} under way"]


def _messages(number: int) -> str:
    return "1 message" if number == 1 else f"{number:,} messages"
