"""What a changed campaign file says of orders, of doubt and of providers, and whom that reaches: in words alone.

Nobody is moved for it: what is planned asks these keys when it is claimed or settled, or never again.
"""

from __future__ import annotations

from sqlalchemy.engine import Connection

from sendctl.definition import Definition
from sendctl.passes.new_hours import people
from sendctl.states import State
from sendctl.store import proofs, replanning

_OF_ORDERS = {"email": "email", "phone": "phone", "delay_s": "delay"}  # read once, when somebody is enrolled
_OF_EVENTS = {"event": "event", "where": "where", "cancel_on": "cancel_on"}  # asked of each event: these also end


def notes(connection: Connection, campaign_id: int, before: Definition, after: Definition) -> list[str]:
    """One line for each key that has changed, with numbers. The caller holds the campaign."""
    found = _of_trigger(connection, campaign_id, before, after)
    if before.in_doubt != after.in_doubt:
        doubt = _messages(proofs.counts(connection, campaign_id)[State.IN_DOUBT])
        found.append(f"in_doubt is {after.in_doubt} instead of {before.in_doubt}: also for {doubt} in doubt now")
    if before.providers != after.providers:
        was, now = (", ".join(one.providers) or "those of [send]" for one in (before, after))
        waiting = _messages(proofs.counts(connection, campaign_id)[State.QUEUED])
        found.append(f"providers is {now} instead of {was}: also for {waiting} queued, from the next pass on")
    return found


def _of_trigger(connection: Connection, campaign_id: int, before: Definition, after: Definition) -> list[str]:
    of_orders, of_events = (_changed(keys, before, after) for keys in (_OF_ORDERS, _OF_EVENTS))
    if not of_orders and not of_events:
        return []
    under_way = people(sum(replanning.count_at(connection, campaign_id, number) for number in after.numbers))
    found = []
    if of_orders:
        found.append(f"{', '.join(of_orders)} of [trigger]: for the orders to come; not for {under_way} under way")
    if of_events:
        found.append(f"{', '.join(of_events)} of [trigger]: for the events to come, also about {under_way} under way")
    return found


def _changed(keys: dict[str, str], before: Definition, after: Definition) -> list[str]:
    was, now = before.trigger, after.trigger
    return [key for name, key in keys.items() if getattr(was, name, None) != getattr(now, name, None)]


def _messages(number: int) -> str:
    return "1 message" if number == 1 else f"{number:,} messages"
