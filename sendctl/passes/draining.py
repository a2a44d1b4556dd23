"""A queue of events: what is received is written down, and then taken out. What was not taken out comes again.

A queue belongs to one store: what it has is taken out whether it is about anything here or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sendctl import faults
from sendctl.inputs.events import Event
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.pulled import WAITS_S, Bound, Pulled, may_be_about, read_lines, write_down
from sendctl.passes.whom import account_of
from sendctl.providers.source import Delivery, EventQueue
from sendctl.store import cursors

AT_ONCE = 100  # messages of a queue that go into one transaction
MATCHES_WITHIN_S = 1800  # an event that matches nothing stays for so long: the outcome of its message may be under way


def drain(context: Context, provider: str, queue: EventQueue, report: Pulled) -> None:
    """Take in what the queue has now, within bounds. Raises NoEvents."""
    bound, desk = Bound(context), Desk(context)
    with queue.together():
        while not bound.reached():
            bound.pages -= 1
            received = _received(queue)
            if received:
                queue.take_out(_written_down(desk, provider, received, report))
            if len(received) < AT_ONCE:
                return
    report.more.append(provider)


def _received(queue: EventQueue) -> list[Delivery]:
    found: list[Delivery] = []
    while len(found) < AT_ONCE:
        some = queue.receive()
        if not some:
            break
        found += some
    return found


def _written_down(desk: Desk, provider: str, received: Sequence[Delivery], report: Pulled) -> list[str]:
    """One transaction; returns the receipts of what is done with then."""
    report.pages += 1
    events: list[Event] = []
    kept = set[int]()
    for place, one in enumerate(received):
        good, refused = read_lines(provider, one.lines, place)
        events += good
        if reasons := [*one.unread, *refused]:
            report.note_unread(provider, reasons)
            kept.add(place)  # a person must see it
    with desk.transaction() as connection:
        oldest = cursors.oldest_unsettled(connection, account_of(desk.context.settings, provider))
        applied, unmatched = write_down(desk, connection, events)
        for strange in unmatched:
            if _may_match(desk.now, received[strange.event.line], oldest):
                kept.add(strange.event.line)
            elif not strange.suppresses:
                report.foreign += 1
        faults.passing("pull.before_commit")
    faults.passing("pull.committed")
    report.applied.add(applied)
    return [one.receipt for place, one in enumerate(received) if place not in kept]


def _may_match(now: datetime, one: Delivery, oldest: datetime | None) -> bool:
    """Whether what it is about may be known later: it is young, or an outcome is missing that it may be about."""
    age = now - one.queued_at
    if age < timedelta(seconds=MATCHES_WITHIN_S):
        return True
    return age < timedelta(seconds=WAITS_S) and may_be_about(oldest, one.queued_at)
