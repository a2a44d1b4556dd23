"""What may be put away for good, and what goes with it. Called with the campaign held, in its one transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from sendctl.errors import UsageError
from sendctl.passes import ending
from sendctl.passes.context import Context
from sendctl.states import CampaignStatus, State
from sendctl.store import campaigns, notices, proofs
from sendctl.store.campaigns import Campaign

_OPEN = (State.QUEUED, State.SENDING, State.IN_DOUBT)


def refuse_open(context: Context, connection: Connection, campaign: Campaign, now: datetime) -> None:
    """Raises UsageError where something has still to be settled, tried or told: nobody would look after it."""
    if campaign.status is CampaignStatus.ARCHIVED:
        return
    name, most = campaign.name, context.settings.reconcile.max_total_attempts
    if left := _unsettled(connection, campaign.id):
        raise UsageError(
            f"campaign {name} has messages that are not settled ({left}): it cannot be archived",
            hint="`sendctl reconcile` settles what can be, `sendctl cancel` ends what is queued, and `sendctl recover"
            f" --campaign {name} --in-doubt skip` what is in doubt.",
        )
    if retries := len(ending.retriable(connection, None, most, now, campaign.id)):
        raise UsageError(
            f"campaign {name} has messages that failed for a passing cause and are tried again ({retries:,}): it cannot"
            " be archived",
            hint=f"wait until `sendctl reconcile` has done so, or give them up with `sendctl cancel {name}`.",
        )
    letter = notices.letter_of_teller(connection, campaign.id)
    if letter is not None:
        raise UsageError(
            f"campaign {name} tells somebody what becomes of a letter, which may still come back: it cannot be archived"
            " by itself",
            hint=f"`sendctl archive {letter}` puts away both.",
        )
    _refuse_untold(connection, campaign, most, now)


def _refuse_untold(connection: Connection, campaign: Campaign, most_attempts: int, now: datetime) -> None:
    """Of a letter whose sender does not know yet what became of it."""
    if campaign.status is not CampaignStatus.CANCELLED:  # whoever cancelled it knows
        notices.tell_exhausted(connection, most_attempts, now, campaign.id)
        ending.tell_ended(connection, most_attempts, now, campaign.id)
    teller = notices.teller_of(connection, campaign.id)
    if teller is None:
        return
    untold = _unsettled(connection, teller)
    if not untold and (retries := len(ending.retriable(connection, None, most_attempts, now, teller))):
        untold = f"{retries:,} to be tried again"
    if untold:
        raise UsageError(
            f"the sender of letter {campaign.name} has not been told of everything ({untold}): it cannot be archived",
            hint="`sendctl reconcile` and `sendctl send-due` see to it; to what stays in doubt,"
            f" `sendctl recover --campaign {campaigns.by_id(connection, teller).name} --in-doubt skip`.",
        )


def take_teller_along(connection: Connection, campaign: Campaign, now: datetime) -> None:
    """The campaign that tells of a letter is put away with it: nobody is told of anything after that."""
    teller = notices.teller_of(connection, campaign.id)
    if teller is not None:
        campaigns.set_status(
            connection, teller, set(CampaignStatus) - {CampaignStatus.ARCHIVED}, CampaignStatus.ARCHIVED, now
        )


def _unsettled(connection: Connection, campaign_id: int) -> str:
    """What of a campaign is still open, in words; "" where nothing is."""
    counts = proofs.counts(connection, campaign_id)
    return ", ".join(f"{counts[state]:,} {state.replace('_', ' ')}" for state in _OPEN if counts[state])
