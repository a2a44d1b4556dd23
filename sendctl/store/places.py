"""When the place of an enrollment is over, and what then becomes of it: in the transaction of the outcome that ends it.

A place of a campaign with one channel has one message, and is over with it. With two channels it may have two, and is
over with the later: whoever records one of the two holds the enrollment first, so that of two who do it at the same
moment the second sees what the first has done, and one of them, not both, moves it. The sequence goes on when either
message by itself would let it; it ends when both would end it. docs/channels.md has the rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.calendar import Calendar
from sendctl.states import EnrollmentStatus, State
from sendctl.store import receipts
from sendctl.store.bulk import bound, given
from sendctl.store.claims import Due, OfPlace, of_places
from sendctl.store.enrollments import Passed, advance, end
from sendctl.store.receipts import Before
from sendctl.store.tables import enrollments, messages

Fate = Literal["sent", "dropped", "expired", "failed", "suppressed"]

_FATES: dict[State, Fate] = {
    State.SENT: "sent", State.BOUNCED: "sent", State.CANCELLED: "dropped", State.EXPIRED: "expired",
    State.FAILED: "failed", State.SUPPRESSED: "suppressed",
}  # fmt: skip
_E = enrollments.c


class Over(NamedTuple):
    """A message that is over, since when, and how: `dropped` is one whose step is gone, and nothing counts from it."""

    due: Due
    at: datetime
    fate: Fate


@dataclass(frozen=True, slots=True)
class Advancing:
    """What planning the next step needs: each campaign's calendar, by its current definition, and the secret."""

    calendars: dict[int, Calendar]
    secret: str


def conclude(connection: Connection, overs: Sequence[Over], advancing: Advancing, now: datetime) -> None:
    """Move on, or end, enrollments whose messages were moved in this transaction."""
    overs = [over for over in overs if not over.due.copy]  # sent once more: nobody's way leads over it
    single = [over for over in overs if not _is_double(over, advancing)]
    double = [over for over in overs if _is_double(over, advancing)]
    decided = single + (_together(connection, double) if double else [])
    dropped = _with(decided, "dropped")
    before = receipts.before(connection, dropped) if dropped else {}
    campaigns: dict[int, list[Passed]] = defaultdict(list)
    for over in decided:
        if over.fate in ("sent", "dropped", "expired"):
            campaigns[over.due.campaign_id].append(_passed(over, before.get(over.due.enrollment_id), now))
    for campaign_id, some in campaigns.items():
        advance(connection, some, advancing.calendars[campaign_id], secret=advancing.secret, now=now)
    end(connection, _with(decided, "failed"), EnrollmentStatus.FAILED, now)
    end(connection, _with(decided, "suppressed"), EnrollmentStatus.STOPPED, now, reason="suppressed")


def _passed(over: Over | _Whole, before: Before | None, now: datetime) -> Passed:
    """As if a step that is gone had never been there, but not before now: nor where one of two was sent before."""
    others, half_gone = (over.others, over.half_gone) if isinstance(over, _Whole) else ((), False)
    if over.fate != "dropped":
        return Passed(over.due, over.at, over.fate == "sent", others, earliest=now if half_gone else None)
    at, sent = before or Before(None, sent=False)
    return Passed(over.due, at or over.due.due_at, sent, others, earliest=now)


def _is_double(over: Over, advancing: Advancing) -> bool:
    return len(advancing.calendars[over.due.campaign_id].definition.channels) > 1


def _with(decided: Iterable[Over | _Whole], fate: Fate) -> list[int]:
    return [over.due.enrollment_id for over in decided if over.fate == fate]


# -- two messages -------------------------------------------------------------------------------------------------


class _Whole(NamedTuple):
    """The end of a whole place: one of its messages stands for it, `others` are the rest.

    `half_gone`: a message of it was not sent because its step is gone.
    """

    due: Due
    at: datetime
    fate: Fate
    others: tuple[Due, ...]
    half_gone: bool


def hold(connection: Connection, enrollment_ids: Iterable[int]) -> None:
    """Keep enrollments as they are until commit, taken in order of id. SQLite has one writer, which is lock enough."""
    if connection.dialect.name == "sqlite":
        return
    statement = _chosen(connection).order_by(_E.id).with_for_update(key_share=True)
    connection.execute(statement, bound((one,) for one in sorted(set(enrollment_ids)))).all()


def hold_of(connection: Connection, message_ids: Iterable[int]) -> None:
    """Keep the enrollments of these messages, in order, before any of them is moved.

    For who moves several one after the other: next steps take their ids from a row that others want, too, and whoever
    held that and waited for an enrollment would close a ring.
    """
    if connection.dialect.name == "sqlite":
        return
    rows = given(connection, messages.c.id)
    theirs = sa.select(messages.c.enrollment_id).where(messages.c.id.in_(sa.select(rows.c.id)))
    found = connection.execute(theirs, bound((one,) for one in sorted(set(message_ids)))).scalars().all()
    hold(connection, found)


def hold_free(connection: Connection, enrollment_ids: Iterable[int]) -> set[int]:
    """The same for those that nobody else holds; returns them. For who holds other rows already, and must not wait."""
    wanted = set(enrollment_ids)
    if connection.dialect.name == "sqlite" or not wanted:
        return wanted
    statement = _chosen(connection).with_for_update(key_share=True, skip_locked=True)
    found = connection.execute(statement, bound((one,) for one in wanted))
    return {int(row.id) for row in found}


def _chosen(connection: Connection) -> sa.Select[tuple[int]]:
    return sa.select(_E.id).where(_E.id.in_(sa.select(given(connection, _E.id).c.id)))


def _together(connection: Connection, overs: Sequence[Over]) -> list[_Whole]:
    """The ends of places of which nothing is open any more; a message of a place that was left before ends nothing."""
    hold(connection, (over.due.enrollment_id for over in overs))
    places: dict[int, list[OfPlace]] = defaultdict(list)
    for one in of_places(connection, [over.due.enrollment_id for over in overs]):
        places[one.due.enrollment_id].append(one)
    at: dict[int, list[datetime]] = defaultdict(list)
    for over in overs:
        here = places[over.due.enrollment_id]
        if any(one.due.id == over.due.id for one in here):
            at[over.due.enrollment_id] += [over.at] if over.fate != "dropped" else []
    return [
        _whole(places[enrollment_id], moments)
        for enrollment_id, moments in at.items()
        if all(one.state in _FATES for one in places[enrollment_id])
    ]


def _whole(place: Sequence[OfPlace], at: Sequence[datetime]) -> _Whole:
    """What a place comes to: the best of its messages' fates, since the later of them was over."""
    fates: dict[Fate, OfPlace] = {_FATES[one.state]: one for one in place}
    ranks: tuple[Fate, ...] = ("sent", "dropped", "expired", "failed", "suppressed")
    fate = next(rank for rank in ranks if rank in fates)
    first, *others = [one.due for one in place]
    moments = [moment for one in place for moment in (one.sent_at, one.failed_at) if moment is not None]
    return _Whole(first, max([*at, *moments], default=first.due_at), fate, tuple(others), "dropped" in fates)
