"""What is due and must wait: for the campaign's window, for quiet hours, for a share of its account.

A changed window, or changed quiet hours, reach what is planned already here, at its claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from sendctl.calendar import Calendar
from sendctl.store import claims, holds, replanning
from sendctl.store.claims import Due
from sendctl.store.holds import Held, Why
from sendctl.store.replanning import Moved

SHARE_WAIT_S = 60.0  # until the next pass, which shares out what is left before it claims


def is_too_late(calendar: Calendar, due: Due, now: datetime) -> bool:
    """Whether a message is past its expiry, which counts from a moment at which it may be sent."""
    if due.expires_at is None or due.expires_at > now:
        return False
    expires_at = calendar.kept(due.due_at, due.expires_at, due.timezone).expires_at
    return expires_at is not None and expires_at <= now


def wait_for_opening(connection: Connection, calendar: Calendar, dues: Sequence[Due], now: datetime) -> None:
    """Let messages wait until the campaign may send to their people.

    One that was planned for a moment that is closed by now is planned anew: it expires so much later.
    """
    moved, held, put_off = list[Moved](), list[Held](), list[tuple[int, datetime]]()
    for due in dues:
        slot, opens = calendar.kept(due.due_at, due.expires_at, due.timezone), calendar.opening(now, due.timezone)
        if slot.due_at > now:
            moved.append(Moved(due.id, due.enrollment_id, *slot))
        if calendar.is_quiet(now, due.timezone):
            held.append(_quiet(calendar, due, max(slot.due_at, opens)))
        elif slot.due_at <= now:
            put_off.append((due.id, opens))
    replanning.move(connection, moved, now)
    claims.postpone(connection, put_off, now)
    holds.hold(connection, held, now)


def _quiet(calendar: Calendar, due: Due, until: datetime) -> Held:
    hours = calendar.quiet
    said = f" ({hours.start:%H:%M}-{hours.end:%H:%M})" if hours is not None else ""
    return Held(due.id, until, Why.QUIET_HOURS, f"held by quiet hours{said} until {until:%Y-%m-%d %H:%M}Z")


def wait_for_share(connection: Connection, dues: Sequence[Due], now: datetime) -> None:
    """What has no share of its account is not sent. Its mark stays, and whether it was asked for it."""
    until = now + timedelta(seconds=SHARE_WAIT_S)
    claims.postpone(connection, [(due.id, until) for due in dues], now)
