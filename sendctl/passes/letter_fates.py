"""What cannot be done to a letter any more, and what can be done instead. The caller holds its campaign.

A window holds the campaign too while it claims: whoever gets it second sees what the first one did.
"""

from __future__ import annotations

from sqlalchemy.engine import Connection

from sendctl.errors import TooLate
from sendctl.states import State
from sendctl.store import campaigns, letters
from sendctl.store.campaigns import Campaign
from sendctl.store.letters import LetterRow


def letter_of(connection: Connection, campaign: Campaign) -> LetterRow | None:
    """The message of a letter; None for a campaign that is none."""
    definition = campaigns.definition_of(connection, campaign.id, campaign.revision)
    return letters.of_campaign(connection, campaign.id) if definition.is_letter else None


def refuse_row(row: LetterRow, name: str, deed: str) -> None:
    """Raises TooLate for a letter that somebody has, or may have, or gets at this moment. `deed`: "cancelled"."""
    cannot = f"letter {name} cannot be {deed}:"
    match row.status:
        case State.SENDING:
            hint = f"`sendctl show {row.id}` says what comes of it."
            raise TooLate(f"{cannot} it is being sent at this moment; nothing was changed", hint=hint)
        case State.SENT | State.BOUNCED:
            at = f" at {row.sent_at:%Y-%m-%d %H:%M:%S} UTC" if row.sent_at is not None else ""
            raise TooLate(f"{cannot} it was sent{at}; nothing was changed", hint=f"`sendctl show {row.id}` has more.")
        case State.IN_DOUBT:
            raise TooLate(
                f"{cannot} it is in doubt, so perhaps it was sent; nothing was changed",
                hint=f"`sendctl reconcile` looks for proof; `sendctl recover --campaign {name} --in-doubt skip` gives"
                " it up: it is never sent again then.",
            )
