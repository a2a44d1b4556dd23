"""Where an enrollment stands, in words: what comes next and when, or why nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sendctl.cli.wording import ago, clean, utc
from sendctl.states import CampaignStatus, EnrollmentStatus, State

if TYPE_CHECKING:
    from datetime import datetime

    from sendctl.store.standing import Place


def stands(place: Place, now: datetime) -> str:
    """One clause: what its person waits for, or why they go no further."""
    match place.status:
        case EnrollmentStatus.ACTIVE:
            return _waits(place, now)
        case EnrollmentStatus.COMPLETED if place.ended_for == "expired":
            return "the last step came too late and was not sent; nothing is left"
        case EnrollmentStatus.COMPLETED:
            return "every step is over"
        case EnrollmentStatus.FAILED:
            why = clean(place.last_error or "no reason recorded")
            retry = f"`sendctl recover --campaign {place.campaign} --failed` takes it up"
            return f"goes no further: message {place.message_id} failed ({why}); {retry}"
        case EnrollmentStatus.STOPPED:
            return f"goes no further: {clean(place.ended_for or 'stopped')}"
        case _:
            return "goes no further: the campaign was cancelled"


def _waits(place: Place, now: datetime) -> str:
    if place.message_status is State.IN_DOUBT:
        return (
            f"held: message {place.message_id} is in doubt; `sendctl recover --campaign {place.campaign}` settles that"
        )
    if place.message_status is State.SENDING:
        return f"message {place.message_id} is on its way at this moment"
    if place.message_status is not State.QUEUED or place.next_attempt_at is None:
        return "no message of it is planned: `sendctl reconcile` says more"
    due = place.next_attempt_at
    waits = f"message {place.message_id} is due {utc(due)} ({ago(due, now)})"
    if place.campaign_status is CampaignStatus.PAUSED:
        return f"held: the campaign is paused; {waits}"
    return waits
