"""What becomes of messages that are due, and must not be sent now: asked in the transaction that would claim them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from sendctl.calendar import Calendar
from sendctl.passes import ending, timing
from sendctl.passes.deciding import Desk
from sendctl.passes.ending import End
from sendctl.passes.remembered import recalled, settle
from sendctl.states import EnrollmentStatus
from sendctl.store import claims, doubts, effects, places, receipts, replay
from sendctl.store.claims import Due
from sendctl.store.holds import Why
from sendctl.store.ledger import move
from sendctl.store.places import Fate, Over

_FATES = ("go", "suppress", "cancel", "ended", "drop", "expire", "known", "overtake", "unpaid", "later")
_MOVES = {"suppress": "suppress", "cancel": "cancel", "ended": "cancel", "expire": "expire", "drop": "cancel"}
_ENDS: dict[str, Fate] = {"suppress": "suppressed", "drop": "dropped", "expire": "expired"}
OVERTAKEN = "a later step was due before it was tried again"
_OF_PLACES = (*_ENDS, "known", "ended")  # those that may end a place


def sift(desk: Desk, connection: Connection, calendar: Calendar, picked: Sequence[Due]) -> list[Due]:
    """Move aside what must not be sent now, with its enrollment; returns the rest in order."""
    suppressed = claims.suppressed(connection, [due.recipient_key for due in picked])
    remembered = recalled(desk, connection, calendar.definition, picked)
    ended = _ended(connection, calendar, picked)
    repeated = had_before(connection, calendar, picked)
    overtaken = doubts.overtaken(connection, [due.id for due in picked if due.transient], desk.now)
    groups: dict[str, list[Due]] = {fate: [] for fate in _FATES}
    for due in picked:
        groups[_fate(desk, due, calendar, suppressed, remembered, ended, repeated, overtaken)].append(due)
    if len(calendar.definition.channels) > 1:
        _leave_held(connection, groups)
    now = desk.now
    for fate, name in _MOVES.items():
        move(connection, name, [{"id": due.id} for due in groups[fate]], claimed=False, now=now)
    desk.conclude(connection, [Over(due, now, fate) for name, fate in _ENDS.items() for due in groups[name]])
    effects.stop(connection, {due.enrollment_id: ended[due.enrollment_id].type for due in groups["ended"]}, now)
    _leave_overtaken(desk, connection, groups["overtake"])
    for due in groups["known"]:
        settle(desk, connection, due, remembered[due.key])
    timing.wait_for_share(connection, groups["unpaid"], now)
    timing.wait_for_opening(connection, calendar, groups["later"], now)
    return groups["go"]


def _ended(connection: Connection, calendar: Calendar, picked: Sequence[Due]) -> dict[int, End]:
    """Enrollments that something has ended, by what is known. Not asked of a first message, nor of a step under way.

    An event stops an enrollment that goes on, in its own transaction; one that is completed stays so, and what comes
    back of it is asked about here. So is each reminder: nobody is reminded of what they have done.
    """
    reminders = calendar.definition.reminders
    asked = [
        due for due in picked
        if due.step_index in reminders or due.copy or due.enrollment_status != EnrollmentStatus.ACTIVE
    ]  # fmt: skip
    return ending.known(connection, asked[0].campaign_id, calendar.definition, asked) if asked else {}


def had_before(connection: Connection, calendar: Calendar, picked: Sequence[Due]) -> set[int]:
    """Messages of a step that is back, where it is known since that their people have had it by an earlier number.

    Not copies: an operator wants these.
    """
    back = {number for number, _ in calendar.definition.earlier}
    asked = [due for due in picked if due.step_index in back and not due.copy]
    had = receipts.had(connection, [due.enrollment_id for due in asked], calendar.definition)
    return {due.id for due in asked if had.get(due.enrollment_id, {}).get(due.step_index, 0) > due.occurrence}


def _leave_held(connection: Connection, groups: dict[str, list[Due]]) -> None:
    """Leave for the next turn what ends a place of which somebody else records the other message at this moment.

    This turn holds the places whose outcomes it has recorded: to wait for others could make a ring.
    """
    free = places.hold_free(connection, [due.enrollment_id for name in _OF_PLACES for due in groups[name]])
    for name in _OF_PLACES:
        groups[name] = [due for due in groups[name] if due.enrollment_id in free]


def _leave_overtaken(desk: Desk, connection: Connection, dues: Sequence[Due]) -> None:
    """Let messages be failed again that were to be tried again by themselves, and would come after a later step."""
    said = {"failed_at": desk.now, "transient": 0, "error_class": "overtaken", "last_error": OVERTAKEN}
    move(connection, "overtake", [{"id": due.id} | said for due in dues], claimed=False, now=desk.now)


def _fate(
    desk: Desk, due: Due, calendar: Calendar, suppressed: set[str], remembered: dict[str, replay.Proven],
    ended: Mapping[int, End], repeated: set[int], overtaken: set[int],
) -> str:  # fmt: skip
    over = due.enrollment_status in (EnrollmentStatus.STOPPED, EnrollmentStatus.CANCELLED)
    fates = (
        ("known", due.key in remembered),
        ("suppress", due.recipient_key in suppressed),
        ("cancel", over),
        ("ended", due.enrollment_id in ended),
        ("drop", is_dropped(due, calendar) or due.id in repeated),
        ("expire", timing.is_too_late(calendar, due, desk.now)),
        ("overtake", due.id in overtaken),
        ("unpaid", due.error_class == Why.ALLOWANCE),
        ("later", calendar.is_bounded and calendar.opening(desk.now, due.timezone) > desk.now),
    )
    return next((fate for fate, holds in fates if holds), "go")


def is_dropped(due: Due, calendar: Calendar) -> bool:
    """Whether its step was removed while it was away.

    A copy has no place: that of what was accepted has its contents still, another those of the step, if that is back.
    """
    definition, step = calendar.definition, due.step_index
    is_there = due.revision or definition.has_step(step) if due.copy else definition.has_place(step, due.occurrence)
    return not is_there
