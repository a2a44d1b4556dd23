"""What becomes of messages that are due, and must not be sent now: asked in the transaction that would claim them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.engine import Connection

from sendctl.calendar import Calendar
from sendctl.passes import timing
from sendctl.passes.deciding import Desk
from sendctl.passes.remembered import settle
from sendctl.states import EnrollmentStatus, EventType
from sendctl.store import claims, effects, places, receipts, replay
from sendctl.store.claims import Due
from sendctl.store.holds import Why
from sendctl.store.ledger import move
from sendctl.store.places import Fate, Over

_FATES = ("go", "suppress", "cancel", "answered", "drop", "expire", "known", "unpaid", "later")
_MOVES = {"suppress": "suppress", "cancel": "cancel", "answered": "cancel", "expire": "expire", "drop": "cancel"}
_ENDS: dict[str, Fate] = {"suppress": "suppressed", "drop": "dropped", "expire": "expired"}
_OF_PLACES = (*_ENDS, "known", "answered")  # those that may end a place


def sift(desk: Desk, connection: Connection, calendar: Calendar, picked: Sequence[Due]) -> list[Due]:
    """Move aside what must not be sent now, with its enrollment; returns the rest in order."""
    suppressed = claims.suppressed(connection, [due.recipient_key for due in picked])
    remembered = replay.remembered(connection, [due.key for due in picked])
    answered = _answered(connection, calendar, picked)
    repeated = had_before(connection, calendar, picked)
    groups: dict[str, list[Due]] = {fate: [] for fate in _FATES}
    for due in picked:
        groups[_fate(desk, due, calendar, suppressed, remembered, answered, repeated)].append(due)
    if len(calendar.definition.channels) > 1:
        _leave_held(connection, groups)
    now = desk.now
    for fate, name in _MOVES.items():
        move(connection, name, [{"id": due.id} for due in groups[fate]], claimed=False, now=now)
    desk.conclude(connection, [Over(due, now, fate) for name, fate in _ENDS.items() for due in groups[name]])
    effects.stop(connection, {due.enrollment_id: EventType.SUBMITTED for due in groups["answered"]}, now)
    for due in groups["known"]:
        settle(desk, connection, due, remembered[due.key])
    timing.wait_for_share(connection, groups["unpaid"], now)
    timing.wait_for_opening(connection, calendar, groups["later"], now)
    return groups["go"]


def _answered(connection: Connection, calendar: Calendar, picked: Sequence[Due]) -> set[int]:
    """Messages that would remind somebody of what they have done. Asked of reminders alone.

    The event has ended the enrollment, where the campaign had reminders then and sendctl knew of them.
    """
    reminding = [due for due in picked if due.step_index in calendar.definition.reminders]
    if not reminding:
        return set()
    done = effects.submitted(connection, [due.enrollment_id for due in reminding])
    return {due.id for due in reminding if due.enrollment_id in done}


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


def _fate(
    desk: Desk, due: Due, calendar: Calendar, suppressed: set[str], remembered: dict[str, replay.Proven],
    answered: set[int], repeated: set[int],
) -> str:  # fmt: skip
    ended = due.enrollment_status in (EnrollmentStatus.STOPPED, EnrollmentStatus.CANCELLED)
    fates = (
        ("known", due.key in remembered),
        ("suppress", due.recipient_key in suppressed),
        ("cancel", ended),
        ("answered", due.id in answered),
        ("drop", is_dropped(due, calendar) or due.id in repeated),
        ("expire", timing.is_too_late(calendar, due, desk.now)),
        ("unpaid", due.error_class == Why.ALLOWANCE),
        ("later", calendar.is_bounded and calendar.opening(desk.now, due.timezone) > desk.now),
    )
    return next((fate for fate, holds in fates if holds), "go")


def is_dropped(due: Due, calendar: Calendar) -> bool:
    """Whether its step was removed while it was away. A copy of what was accepted has its contents still."""
    says_what_was_sent = bool(due.copy and due.revision)
    return not says_what_was_sent and not calendar.definition.has_place(due.step_index, due.occurrence)
