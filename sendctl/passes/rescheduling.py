"""`reschedule`: move a letter, or a campaign of which nothing was tried, to another time.

One transaction with the campaign held: a pass that claims goes before all of it or after all of it. So whoever comes
second knows it, and there is no moment at which a letter is planned for neither time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.engine import Connection

from sendctl import faults
from sendctl.definition import Definition
from sendctl.errors import ExitCode, TooLate, UsageError
from sendctl.passes import accounts
from sendctl.passes.context import Context
from sendctl.passes.control import locked, write_audit
from sendctl.passes.letter_fates import refuse_row
from sendctl.passes.letters import refuse_past
from sendctl.states import CampaignStatus, State
from sendctl.store import audit, campaigns, late, letters, outcomes
from sendctl.store.campaigns import Campaign

When = Callable[[Definition, datetime], datetime | Literal["now"]]


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """What a reschedule did: `moved` messages are due at `due_at` (the first of them) instead of `before`."""

    campaign: str
    is_letter: bool
    status: CampaignStatus
    moved: int
    before: datetime | None
    due_at: datetime | None

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.DONE


def run(context: Context, name: str, when: When, reason: str = "") -> Rescheduled:
    """Move what is planned. `when` reads the moment, given the campaign and now.

    Raises TooLate, UsageError, and BadInput for a moment that is past.
    """
    with locked(context, name) as (connection, campaign, now):
        definition = campaigns.definition_of(connection, campaign.id, campaign.revision)
        _check(connection, campaign, definition)
        wanted = when(definition, now)
        start_at = now if wanted == "now" else wanted
        refuse_past(start_at, now, "--at")
        before = letters.first_due(connection, campaign.id)
        moved = _move(context, connection, campaign, definition, start_at, now)
        due_at = letters.first_due(connection, campaign.id)
        report = Rescheduled(name, definition.is_letter, campaign.status, moved, before, due_at)
        # A letter goes back to it when its hours change, also where it opens at the same moment as before.
        if moved or (definition.is_letter and audit.moment_named(connection, campaign.id) != start_at):
            detail = {"before": before, "after": due_at, "moved": moved, "named": start_at}
            write_audit(context, connection, campaign, "reschedule", reason, detail, now)
        faults.passing("reschedule.before_commit")
    faults.passing("reschedule.committed")
    return report


def _check(connection: Connection, campaign: Campaign, definition: Definition) -> None:
    """Raises TooLate, UsageError for what cannot be moved."""
    name = campaign.name
    if campaign.status in (CampaignStatus.CANCELLED, CampaignStatus.ARCHIVED):
        raise UsageError(f"campaign {name} is {campaign.status}: there is nothing to move")
    if definition.letter is not None and definition.letter.about:
        raise UsageError(f"campaign {name} tells what became of letter {definition.letter.about}: it goes at once")
    if definition.trigger is not None:
        raise UsageError(
            f"campaign {name} has a [trigger]: its messages are due by their orders' own times",
            hint="change `delay` in its file, for the orders to come.",
        )
    if definition.is_letter:
        _check_letter(connection, campaign)
    elif tried := letters.tried(connection, campaign.id):
        raise TooLate(
            f"campaign {name} cannot be moved: {tried:,} of its messages were tried or are over; nothing was changed",
            hint=f"`sendctl pause {name}` holds the rest.",
        )


def _check_letter(connection: Connection, campaign: Campaign) -> None:
    row = letters.of_campaign(connection, campaign.id)
    assert row is not None  # a letter is written with its message
    refuse_row(row, campaign.name, "moved")
    if row.status is State.FAILED:
        decided = " --in-doubt resend" if late.was_abandoned(connection, row.id) else ""
        raise UsageError(
            f"letter {campaign.name} has failed: there is nothing to move",
            hint=f"`sendctl recover --campaign {campaign.name} --failed{decided}` queues it again, and then it can be"
            " moved.",
        )
    if row.status is not State.QUEUED:
        raise UsageError(f"letter {campaign.name} is {row.status}: there is nothing to move")


def _move(
    context: Context, connection: Connection, campaign: Campaign, definition: Definition, start_at: datetime,
    now: datetime,
) -> int:  # fmt: skip
    """Plan each person's message in their own hours from there; returns how many are due at another moment now."""
    calendar, wanted = context.calendar(definition), start_at + timedelta(seconds=definition.steps[0].after_s)
    shares = accounts.shares(context, definition, now)
    moved = 0
    for zone in letters.zones(connection, campaign.id):
        slot = calendar.slot(wanted, zone)
        moved += letters.move(
            connection, campaign.id, zone, slot.due_at, slot.expires_at, now, span=shares.span(slot.due_at)
        )
    # What was tried and certainly not accepted is dated anew: its Date would be that of the first try.
    outcomes.unfreeze_campaign(connection, campaign.id)
    accounts.check_room(context, connection, definition.account, now)
    return moved
