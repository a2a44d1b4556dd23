"""`preview`: one message as it would look, from the files alone. Opens no store and sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sendctl.addresses import Email, address_key, parse_email
from sendctl.definition import Definition
from sendctl.errors import BadInput, ExitCode, UsageError
from sendctl.inputs.campaign_file import load_campaign
from sendctl.inputs.campaign_places import CampaignFile
from sendctl.inputs.contact_rows import ValueProblem
from sendctl.inputs.contacts import BadRow, ContactRow, open_contacts
from sendctl.inputs.letter_file import LetterFile, is_letter, load_letter
from sendctl.inputs.orders import OrderEvent, OrderFile, open_orders
from sendctl.passes.campaign_faults import at_fault, check_source, compiled, undefined, without_source
from sendctl.passes.order_checks import Eligible, OrderReader
from sendctl.passes.row_checks import address_lacking
from sendctl.rendering.failures import RenderError, UndefinedError
from sendctl.rendering.message import Frozen, Recipient
from sendctl.rendering.segments import Length, length_of
from sendctl.rendering.steps import Renderer

TOKEN = "preview" * 5
KEY = "0" * 32
Source = Path | Literal["-"]
SOMEONE = "someone@recipient.example"
NUMBER = "+12025550100"  # nobody's: 555-01XX is kept for fiction in North America


@dataclass(frozen=True, slots=True)
class PreviewReport:
    """What one person gets at a step: an e-mail, a text, or both; what they do not get is empty.

    `sample` means that nobody's data were given, and names stand for values. `of_orders`: the campaign has a [trigger],
    and is fed by order events.
    """

    campaign: str
    step: str
    recipient: str
    sample: bool
    subject: str
    text: str
    html: str
    headers: str
    size_bytes: int  # of the e-mail
    of_orders: bool
    channel: str  # of the campaign
    phone: str  # whom the text goes to
    sms: str
    providers: tuple[str, ...]  # that the campaign names

    @property
    def sms_length(self) -> Length | None:
        """How long the text is, if there is one."""
        return length_of(self.sms) if self.sms else None

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.DONE


class Person(NamedTuple):
    """Where somebody can be reached."""

    email: Email | None
    phone: str | None

    def on(self, channel: str) -> str:
        """The address of a channel, or of both the first."""
        by_email = self.email.address if self.email is not None else ""
        return (self.phone or "") if channel == "sms" else by_email or self.phone or ""


_SOMEBODY = Person(parse_email(SOMEONE), NUMBER)


class Chosen(NamedTuple):
    """Whose data a message is made of; `row` where they are a record of a contacts file."""

    recipient: Recipient
    person: Person
    row: ContactRow | None = None


def run(
    campaign_file: Path, *, contacts: Source | None, orders: Source | None = None, row: int | None, to: str | None,
    step: str | None, now: datetime,
) -> PreviewReport:  # fmt: skip
    """Render a step (the first) for one record or eligible item (the first). Raises BadInput, UsageError."""
    if contacts is None and orders is None and (row is not None or to is not None):
        raise UsageError(
            "--row and --to choose from a contacts file, or from orders", hint="name it with --contacts or --orders."
        )
    if is_letter(campaign_file):
        return _of_letter(load_letter(campaign_file), now, other=contacts or orders or step)
    campaign = load_campaign(campaign_file)
    check_source(campaign, contacts=contacts is not None, orders=orders is not None)
    index = step_index(campaign.definition, step)
    letter = _Letter(campaign, index, compiled(campaign)[index], now)
    if contacts is None and orders is None:
        return letter.for_one(sample(letter.renderer.references(), TOKEN), _SOMEBODY, sample=True)
    found = chosen(campaign, contacts=contacts, orders=orders, row=row, to=to, token=TOKEN)
    if found.row is not None:
        lacking = address_lacking(found.row, [letter.renderer])
        if lacking is not None:
            what = "e-mail address" if lacking.column == "email" else "phone number"
            raise BadInput(f"this record has no {what}", place=f"{contacts}:{found.row.line}")
    return letter.for_one(found.recipient, found.person, sample=False)


def chosen(
    campaign: CampaignFile, *, contacts: Source | None, orders: Source | None, row: int | None, to: str | None,
    token: str,
) -> Chosen:  # fmt: skip
    """The record, or eligible item, with that number (from 1) or address, else the first.

    Raises BadInput, UsageError.
    """
    if orders is not None:
        item = _find_item(campaign, orders, row, to)
        return Chosen(item.recipient(token), Person(item.email, item.phone))
    assert contacts is not None
    found = _find(contacts, row, to)
    return Chosen(Recipient(found.attributes, token), Person(found.email, found.phone), found)


def _of_letter(letter: LetterFile, now: datetime, *, other: object) -> PreviewReport:
    """A letter names its reader itself. It is read from its file: what is sealed in a store is not shown."""
    if other is not None:
        raise UsageError("this is a letter: it has one reader and one text")
    row = letter.contact.row
    assert row.email is not None  # a letter file names one
    shown = _Letter(letter.campaign, 0, compiled(letter.campaign)[0], now)
    return shown.for_one(Recipient(row.attributes, TOKEN), Person(row.email, None), sample=False)


def step_index(definition: Definition, name: str | None) -> int:
    """The place of a step among a campaign's; of the first without a name. Raises UsageError."""
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
    renderer: Renderer
    now: datetime

    def for_one(self, recipient: Recipient, person: Person, *, sample: bool) -> PreviewReport:
        """What a person gets. Raises BadInput."""
        address = person.on(self.renderer.channel)
        frozen = Frozen(
            message_id=0, attempt=1, key=KEY, provider="preview", recipient=address, composed_at=self.now
        )  # fmt: skip
        try:
            shown = self.renderer.preview(recipient, frozen)
        except UndefinedError as error:
            raise self._lacking(self.renderer.missing(recipient) or [error.name], address) from None
        except RenderError as error:
            whose = "" if sample else address
            raise at_fault(self.campaign, self.step_index, error, whose=whose) from None
        definition = self.campaign.definition
        return PreviewReport(
            definition.name, definition.steps[self.step_index].name, address, sample, shown.subject, shown.text,
            shown.html, shown.headers, shown.size_bytes, definition.trigger is not None, definition.channel,
            (person.phone or "") if shown.sms else "", shown.sms, definition.providers,
        )  # fmt: skip

    def _lacking(self, missing: Sequence[str], address: str) -> BadInput:
        nobodys = without_source(missing, self.renderer, None)
        if self.campaign.definition.trigger is not None:
            nobodys = [name for name in nobodys if name.partition(".")[0] not in ("order", "item")]
        if nobodys:
            found = [(self.step_index, name) for name in nobodys]
            return undefined(self.campaign, found, address, (), every_row=False)
        place = self.campaign.mention(missing[0], self.step_index)
        return BadInput(f"the record of {address} lacks what the template uses: {', '.join(missing)}", place=place)


def _find(contacts: Source, row: int | None, to: str | None) -> ContactRow:
    """The record with that number (from 1, without the header), or that address, or the first."""
    wanted = _key(to) if to is not None else None
    with open_contacts(contacts) as file:
        for number, record in enumerate(file.rows(), start=1):
            if wanted is not None:
                if isinstance(record, ContactRow) and wanted in (record.key, record.phone):
                    return record
            elif number == (row or 1):
                if isinstance(record, BadRow):
                    raise file.error(record)
                return record
    what = f"no record for {to}" if to is not None else f"no record {row or 1}"
    raise UsageError(f"{file.name} has {what}")


def _key(address: str) -> str:
    try:
        return address_key(address)
    except ValueError as error:
        raise UsageError(f"--to {address}: {error}") from None


def _find_item(
    campaign: CampaignFile, orders: Source, row: int | None, to: str | None
) -> Eligible:  # fmt: skip
    """The first eligible item: of the event with that number (from 1), or for that address, or of all."""
    wanted = _key(to) if to is not None else None
    reader = OrderReader(campaign)
    if orders != "-" and orders.is_dir():
        raise UsageError(f"{orders} is a folder", hint="name one of its files.")
    with open_orders(orders) as file:
        for number, event in enumerate(file.events(), start=1):
            if row is not None and number != row:
                continue
            found = _eligible(file, event, reader)
            for item in found:
                if wanted is None or wanted in (item.key, item.phone):
                    return item
    what = f"no eligible item for {to}" if to is not None else "no eligible item"
    raise UsageError(f"{file.name} has {what}" if row is None else f"event {row} of {file.name} has {what}")


def _eligible(file: OrderFile, event: OrderEvent | BadRow, reader: OrderReader) -> list[Eligible]:
    if isinstance(event, BadRow):
        raise file.error(event)
    try:
        return reader.meaning(event).eligible
    except (ValueProblem, RenderError) as error:
        name = error.name if isinstance(error, ValueProblem) else None
        raise file.error(file.reject(event, name, str(error))) from None


def sample(references: frozenset[str], token: str) -> Recipient:
    """Someone whose every value is the name that the template uses, in brackets."""
    data: dict[str, dict[str, Any]] = {"contact": {}, "order": {}, "item": {}}
    for name in sorted(references):
        first, *rest = name.split(".")
        if first in data and rest:
            _place(data[first], rest, f"[{'.'.join(rest)}]")
    contact = {"email": SOMEONE, "phone": NUMBER} | data["contact"]
    return Recipient(contact, token, data["order"] or None, data["item"] or None)


def _place(data: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        inner = data.get(part)
        data[part] = inner if isinstance(inner, dict) else {}
        data = data[part]
    if not isinstance(data.get(path[-1]), dict):
        data[path[-1]] = value
