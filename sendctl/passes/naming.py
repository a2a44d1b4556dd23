"""A campaign as an operator names it: by its file, or by the name under which it was enqueued."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sendctl.addresses import parse_mailbox
from sendctl.definition import Definition
from sendctl.errors import UsageError
from sendctl.inputs.campaign_file import load_campaign
from sendctl.inputs.campaign_places import CampaignFile
from sendctl.inputs.letter_file import LetterFile, is_letter, load_letter
from sendctl.passes.context import Context
from sendctl.store import campaigns
from sendctl.store.campaigns import Campaign


@dataclass(frozen=True, slots=True)
class Named:
    """What a campaign says; with its row where it was named by its name, else with its file."""

    definition: Definition
    row: Campaign | None = None
    file: CampaignFile | None = None
    letter: LetterFile | None = None


def is_path(text: str) -> bool:
    """Whether somebody means a file: no name has a dot or a slash."""
    return "." in text or "/" in text


def named(context: Context, text: str) -> Named:
    """The campaign. Raises BadInput for a file, UsageError where no campaign has that name, and what the store raises.

    The store is opened for a name only.
    """
    if is_path(text):
        path = Path(text)
        if is_letter(path):
            letter = load_letter(path)
            return Named(letter.campaign.definition, file=letter.campaign, letter=letter)
        file = load_campaign(path)
        return Named(file.definition, file=file)
    with context.store.read() as connection:
        row = campaigns.find(connection, text)
        if row is None:
            hint = f"the file of that name is ./{text}; " if Path(text).exists() else ""
            raise UsageError(f"there is no campaign {text}", hint=f"{hint}`sendctl status` lists them.")
        return Named(campaigns.definition_of(connection, row.id, row.revision), row=row)


def sender_on(definition: Definition, channel: str) -> str:
    """Whom a campaign's messages come from: an address; for texts a number or name, or "" where it names none."""
    return definition.texts_from if channel == "sms" else parse_mailbox(definition.sender).address
