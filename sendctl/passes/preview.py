"""`preview`: one message as it would look, from the files alone. Opens no store and sends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sendctl.addresses import parse_email
from sendctl.definition import Definition
from sendctl.errors import BadInput, ExitCode, UsageError
from sendctl.inputs.campaign_file import load_campaign
from sendctl.inputs.campaign_places import CampaignFile
from sendctl.inputs.contacts import BadRow, ContactRow, open_contacts
from sendctl.passes.campaign_faults import at_fault, compiled, undefined, without_source
from sendctl.rendering.failures import RenderError, UndefinedError
from sendctl.rendering.message import Frozen, Recipient, StepRenderer

TOKEN = "preview" * 5
KEY = "0" * 32
SOMEONE = "someone@recipient.example"


@dataclass(frozen=True, slots=True)
class PreviewReport:
    """One rendered message. `sample` means that nobody's data were given, and names stand for values."""

    campaign: str
    step: str
    recipient: str
    sample: bool
    subject: str
    text: str
    html: str
    headers: str
    size_bytes: int

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.DONE


def run(
    campaign_file: Path, *, contacts: Path | Literal["-"] | None, row: int | None, to: str | None, step: str | None,
    now: datetime,
) -> PreviewReport:  # fmt: skip
    """Render a step (the first) for one record (the first). Raises BadInput, UsageError."""
    if contacts is None and (row is not None or to is not None):
        raise UsageError("--row and --to choose from a contacts file", hint="name it with --contacts.")
    campaign = load_campaign(campaign_file)
    index = _step_index(campaign.definition, step)
    if campaign.definition.channel != "email":
        place = campaign.key_place("campaign", "channel")
        raise BadInput(f"channel {campaign.definition.channel!r} cannot be previewed yet", place=place)
    letter = _Letter(campaign, index, compiled(campaign)[index], now)
    if contacts is None:
        return letter.for_one(_sample(letter.renderer.references()), SOMEONE, sample=True)
    found = _find(contacts, row, to)
    if found.email is None:
        raise BadInput("this record has no e-mail address", place=f"{contacts}:{found.line}")
    return letter.for_one(found.attributes, found.email.address, sample=False)


def _step_index(definition: Definition, name: str | None) -> int:
    for index, step in enumerate(definition.steps):
        if name in (None, step.name):
            return index
    names = ", ".join(step.name for step in definition.steps)
    raise UsageError(f"campaign {definition.name} has no step {name}", hint=f"its steps: {names}.")


@dataclass(frozen=True, slots=True)
class _Letter:
    """One step of a campaign, as of a moment."""

    campaign: CampaignFile
    step_index: int
    renderer: StepRenderer
    now: datetime

    def for_one(self, contact: Mapping[str, Any], address: str, *, sample: bool) -> PreviewReport:
        """The message for a person. Raises BadInput."""
        recipient = Recipient(contact=contact, token=TOKEN)
        frozen = Frozen(
            message_id=0, attempt=1, key=KEY, provider="preview", recipient=address, composed_at=self.now
        )  # fmt: skip
        try:
            shown = self.renderer.preview(recipient, frozen)
            size = len(self.renderer.render(recipient, frozen).content)
        except UndefinedError as error:
            raise self._lacking(self.renderer.missing(recipient) or [error.name], address) from None
        except RenderError as error:
            whose = "" if sample else address
            raise at_fault(self.campaign, self.step_index, error, whose=whose) from None
        definition = self.campaign.definition
        return PreviewReport(
            definition.name, definition.steps[self.step_index].name, address, sample, shown.subject, shown.text,
            shown.html, shown.headers, size,
        )  # fmt: skip

    def _lacking(self, missing: Sequence[str], address: str) -> BadInput:
        nobodys = without_source(missing, self.renderer, None)
        if nobodys:
            found = [(self.step_index, name) for name in nobodys]
            return undefined(self.campaign, found, address, (), every_row=False)
        place = self.campaign.mention(missing[0], self.step_index)
        return BadInput(f"the record of {address} lacks what the template uses: {', '.join(missing)}", place=place)


def _find(contacts: Path | Literal["-"], row: int | None, to: str | None) -> ContactRow:
    """The record with that number (from 1, without the header), or that address, or the first."""
    wanted = _key(to) if to is not None else None
    with open_contacts(contacts) as file:
        for number, record in enumerate(file.rows(), start=1):
            if wanted is not None:
                if isinstance(record, ContactRow) and record.email is not None and record.email.key == wanted:
                    return record
            elif number == (row or 1):
                if isinstance(record, BadRow):
                    raise file.error(record)
                return record
    what = f"no record for {to}" if to is not None else f"no record {row or 1}"
    raise UsageError(f"{file.name} has {what}")


def _key(address: str) -> str:
    try:
        return parse_email(address).key
    except ValueError as error:
        raise UsageError(f"--to {address}: {error}") from None


def _sample(references: frozenset[str]) -> Mapping[str, Any]:
    """A contact whose every value is the name that the template uses, in brackets."""
    contact: dict[str, Any] = {}
    for name in sorted(references):
        first, *rest = name.split(".")
        if first == "contact" and rest:
            _place(contact, rest, f"[{'.'.join(rest)}]")
    return {"email": SOMEONE} | contact


def _place(data: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        inner = data.get(part)
        data[part] = inner if isinstance(inner, dict) else {}
        data = data[part]
    if not isinstance(data.get(path[-1]), dict):
        data[path[-1]] = value
