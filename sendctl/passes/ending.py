"""Whom an event or their order has ended: the one question of a claim, a retry, a copy and a recovery alike.

It is asked of what came in, and not of an enrollment's status alone: one that is completed stays so. `apply` is for a
changed campaign file that meets what is known already; what a file says no longer, has ended those whom it has ended.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.engine import Connection

from sendctl.definition import Definition
from sendctl.states import EnrollmentStatus, EventType
from sendctl.store import campaigns, claims, doubts, effects, events, notices, subjects
from sendctl.store.claims import Due
from sendctl.store.ledger import move

CHUNK = 1000


class End(NamedTuple):
    """The type of the event that has ended somebody, and when it was; `of_order` says that it was their order's."""

    type: str
    at: datetime
    of_order: bool = False


def known(
    connection: Connection, campaign_id: int, definition: Definition, dues: Sequence[Due]
) -> dict[int, End]:  # fmt: skip
    """Those of the enrollments of these messages that have ended by what is known, the earliest for each.

    Of a campaign and what it says now. Two statements at most, by index.
    """
    if not dues:
        return {}
    ends: dict[int, End] = {}
    if definition.trigger is not None:
        for_what = subjects.known(connection, campaign_id, {due.subject_key for due in dues})
        for due in dues:
            subject = for_what.get(due.subject_key)
            if subject is not None and subject.stopped_at and subject.is_over(definition.trigger.event):
                ends[due.enrollment_id] = End(subject.stop_type or "", subject.stopped_at, of_order=True)
    types = [kind for kind in EventType if definition.ends_on(kind)]
    for one in events.of_enrollments(connection, {due.enrollment_id for due in dues}, types):
        end = End(one.type, one.occurred_at)
        ends[one.enrollment_id] = min(end, ends.get(one.enrollment_id, end), key=lambda some: (some.at, some.type))
    return ends


def still_wanted(connection: Connection, message_ids: Iterable[int]) -> list[Due]:
    """Those of these messages, of any campaigns, whose people may get something more, in order of id."""
    groups: dict[int, list[Due]] = defaultdict(list)
    for due in claims.by_id(connection, message_ids).values():
        if due.enrollment_status not in (EnrollmentStatus.STOPPED, EnrollmentStatus.CANCELLED):
            groups[due.campaign_id].append(due)
    wanted = list[Due]()
    for campaign_id, dues in groups.items():
        campaign = campaigns.by_id(connection, campaign_id)
        definition = campaigns.definition_of(connection, campaign_id, campaign.revision)
        ends = known(connection, campaign_id, definition, dues)
        wanted += [due for due in dues if due.enrollment_id not in ends]
    return sorted(wanted)


def retriable(
    connection: Connection, failed_before: datetime | None, max_attempts: int, now: datetime,
    campaign_id: int | None = None,
) -> list[Due]:  # fmt: skip
    """Messages that failed for a passing cause and are tried again by themselves (doubts.retriable_ids)."""
    return still_wanted(connection, doubts.retriable_ids(connection, failed_before, max_attempts, now, campaign_id))


def tell_ended(connection: Connection, max_attempts: int, now: datetime, campaign_id: int | None = None) -> None:
    """Have it told of letters that failed for a passing cause and are not tried again, because an event has ended them.

    Also after a first copy was sent: the enrollment is completed then, and stays so.
    """
    failed = notices.known(connection, doubts.retriable_ids(connection, None, max_attempts, now, campaign_id))
    wanted = {due.id for due in still_wanted(connection, failed)}
    notices.of_messages(connection, "failed", [one for one in failed if one not in wanted], now)


def apply(
    connection: Connection, campaign_id: int, before: Definition, after: Definition, now: datetime
) -> Counter[str]:  # fmt: skip
    """End enrollments that have events of types which end one from now on, each for the earliest that does.

    The caller holds the campaign: no pass is between two messages of an enrollment. Returns how many, by type; a type
    that ended nobody is there with 0.
    """
    types = [kind for kind in EventType if after.ends_on(kind) and not before.ends_on(kind)]
    stopped: Counter[str] = Counter(dict.fromkeys(types, 0))
    found = effects.with_events(connection, campaign_id, types) if types else []
    for start in range(0, len(found), CHUNK):
        some = found[start : start + CHUNK]
        first: dict[int, tuple[datetime, str]] = {}
        for one in events.of_enrollments(connection, some):
            if after.ends_on(one.type):
                moment = (one.occurred_at, one.type)
                first[one.enrollment_id] = min(first.get(one.enrollment_id, moment), moment)
        waiting = [{"id": message_id} for message_id in effects.queued_of(connection, some)]
        move(connection, "cancel", waiting, claimed=False, now=now)
        reasons = {enrollment_id: kind for enrollment_id, (_, kind) in first.items()}
        stopped.update(reasons[enrollment_id] for enrollment_id in effects.stop(connection, reasons, now))
    return stopped
