"""What order events mean for a campaign, and checking a file of them before anything is written.

An event that cannot be judged, or an eligible item that the templates do not fit, makes its line a bad one. What is
wrong with the campaign ends the command instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sendctl.addresses import Email
from sendctl.definition import Trigger
from sendctl.errors import BadInput
from sendctl.inputs.campaign_places import CampaignFile
from sendctl.inputs.contact_rows import BadRow, ValueProblem, contact_row
from sendctl.inputs.orders import OrderEvent, OrderFile
from sendctl.inputs.skip_file import SkipFile
from sendctl.passes.campaign_faults import undefined
from sendctl.passes.row_checks import ANY_TOKEN, SHOWN_PROBLEMS, Checked, Problem, Progress, problem_for
from sendctl.rendering.expressions import Entry, TriggerFault, TriggerRules, WholeOrder, whole_key
from sendctl.rendering.failures import RenderError
from sendctl.rendering.message import Recipient
from sendctl.rendering.steps import Renderer

PROGRESS_EVENTS = 500
OTHER_TYPE, WHERE, NO_ENTRIES = "other type", "where", "no entries"


class Eligible(NamedTuple):
    """An order, or an entry of one, that becomes an enrollment unless something is known of its key."""

    line: int
    subject_key: str
    at: datetime  # of the event
    email: Email | None
    phone: str | None
    timezone: str | None
    external_id: str | None
    contact: dict[str, Any]
    order: dict[str, Any]
    item: Any
    order_key: str  # of the order as a whole; "" if it has no `id`

    @property
    def key(self) -> str:
        """Who it is, as with a contact: the e-mail address as compared, else the number."""
        return self.email.key if self.email is not None else self.phone or ""

    @property
    def address(self) -> str:
        """Where to reach them, to be shown."""
        return self.email.address if self.email is not None else self.phone or ""

    def recipient(self, token: str) -> Recipient:
        """What its templates see."""
        return Recipient(self.contact, token, self.order, self.item)


class Stop(NamedTuple):
    """An event that ends a subject: it is in `cancel_on`, or `where` is no longer true."""

    subject_key: str
    at: datetime
    type: str


class WholeStop(NamedTuple):
    """An event of `cancel_on` that lists nothing: it ends each entry of its order."""

    order: WholeOrder
    at: datetime
    type: str


class Meaning(NamedTuple):
    """What one event means; `not_eligible` counts why entries, or the event as a whole, become no enrollment."""

    eligible: list[Eligible]
    stops: list[Stop]
    not_eligible: Counter[str]
    whole: Sequence[WholeStop] = ()


class OrderReader:
    """Reads events as a campaign's [trigger] says."""

    def __init__(self, campaign: CampaignFile) -> None:
        """Raises BadInput with the place of a key of [trigger] that is wrong whatever the orders are."""
        trigger = campaign.definition.trigger
        assert trigger is not None
        self.trigger: Trigger = trigger
        self._campaign = campaign
        try:
            self._rules = TriggerRules(trigger)
        except TriggerFault as fault:
            raise self._at_fault(fault) from None

    def _at_fault(self, fault: TriggerFault) -> BadInput:
        place = self._campaign.key_place("trigger", fault.key)
        return BadInput(str(fault), place=place, hint="docs/orders.md explains [trigger].")

    def meaning(self, event: OrderEvent) -> Meaning:
        """Raises ValueProblem or RenderError if the event cannot be judged, BadInput if [trigger] is to blame."""
        try:
            return self._meaning(event)
        except TriggerFault as fault:
            raise self._at_fault(fault) from None

    def _meaning(self, event: OrderEvent) -> Meaning:
        if event.type in self.trigger.cancel_on:
            entries = self._rules.entries(event.order)
            if not entries:
                return Meaning([], [], Counter({NO_ENTRIES: 1}), [self._whole(event)])
            keys = [self._rules.key(entry) for entry in entries]
            return Meaning([], [Stop(key, event.occurred_at, event.type) for key in keys], Counter())
        if event.type != self.trigger.event:
            return Meaning([], [], Counter({OTHER_TYPE: 1}))
        found = Meaning([], [], Counter())
        entries = self._rules.entries(event.order)
        if not entries:
            found.not_eligible[NO_ENTRIES] += 1
        for entry in entries:
            key = self._rules.key(entry)
            if self._rules.is_eligible(entry):
                found.eligible.append(self._eligible(event, key, entry))
            else:
                found.not_eligible[WHERE] += 1
                found.stops.append(Stop(key, event.occurred_at, event.type))
        return found

    def _whole(self, event: OrderEvent) -> WholeStop:
        """Raises ValueProblem where nobody can say which enrollments are of the order."""
        order = self._rules.whole(event.order)
        if order is None:
            raise ValueProblem(
                f"order.{self.trigger.each}",
                f"{event.type} lists nothing, and what is of this order cannot be told: that takes an order.id, and a"
                " `key` that begins with something of the order. List what it ends",
            )
        return WholeStop(order, event.occurred_at, event.type)

    def _check_reachable(self, address: str, number: str) -> None:
        """Raises ValueProblem for an order that gives nothing to reach its buyer by on the campaign's channel."""
        channel = self._campaign.definition.channel
        if channel == "email" and not address:
            raise ValueProblem("email", "the order gives no address")
        if channel == "sms" and not number:
            raise ValueProblem("phone", "the order gives no number")
        if not address and not number:
            raise ValueProblem("email", "the order gives neither an address nor a number")

    def _eligible(self, event: OrderEvent, key: str, entry: Entry) -> Eligible:
        texts = "sms" in self._campaign.definition.channels
        address, number = self._rules.email(entry).strip(), self._rules.phone(entry).strip() if texts else ""
        self._check_reachable(address, number)
        customer = event.order.get("customer")
        known = customer if isinstance(customer, dict) else {}
        contact = {name: value for name, value in known.items() if isinstance(value, str | int | float)}
        contact |= {"email": address} if address else {}
        contact |= {"phone": number} if number else {}
        name = contact.get("id")
        try:
            row = contact_row(event.line, (address, number, _text(name), _zone(contact)), contact)
        except ValueProblem as problem:
            where = problem.name if problem.name in ("email", "phone") else f"order.customer.{problem.name}"
            raise ValueProblem(where, str(problem)) from None
        return Eligible(
            event.line, key, event.occurred_at, row.email, row.phone, row.timezone, row.external_id, contact,
            event.order, entry.item, whole_key(event.order),
        )  # fmt: skip


def _text(name: object) -> str | None:
    return None if name is None or isinstance(name, bool | float) else str(name)


def _zone(contact: dict[str, Any]) -> str | None:
    zone = contact.get("timezone")
    if zone is not None and not isinstance(zone, str):
        raise ValueProblem("timezone", f"must be a text, is {zone!r}"[:60])
    return zone


@dataclass
class CheckedOrders(Checked):
    """How many events are good and how many bad, and how many items of the good ones are eligible."""

    eligible: int = 0
    misfits: int = 0  # bad events that the campaign's templates or expressions do not fit: these may be to blame


def check_orders(
    file: OrderFile, campaign: CampaignFile, reader: OrderReader, renderers: Sequence[Renderer],
    keep: SkipFile | None, progress: Progress | None,
) -> CheckedOrders:  # fmt: skip
    """Look at each event; bad ones are written to `keep`. Raises BadInput for what is wrong with the campaign."""
    checked = CheckedOrders()
    for number, event in enumerate(file.events()):
        if progress is not None and number % PROGRESS_EVENTS == 0:
            progress("checking", file.position_bytes(), file.size_bytes)
        eligible, bad = _judged(file, event, campaign, reader, renderers, checked)
        if bad is None:
            checked.good += 1
            checked.eligible += eligible
            continue
        checked.bad += 1
        if keep is not None:
            keep.write(bad)
        if len(checked.problems) < SHOWN_PROBLEMS:
            checked.problems.append(bad)
    return checked


def _judged(
    file: OrderFile, event: OrderEvent | BadRow, campaign: CampaignFile, reader: OrderReader,
    renderers: Sequence[Renderer], checked: CheckedOrders,
) -> tuple[int, BadRow | None]:  # fmt: skip
    """How many of the event's items are eligible; or the bad row that it is."""
    if isinstance(event, BadRow):
        return 0, event
    try:
        found = reader.meaning(event).eligible
    except ValueProblem as error:
        return 0, file.reject(event, error.name, str(error))
    except RenderError as error:
        checked.misfits += 1
        return 0, file.reject(event, None, str(error))
    for item in found:
        problem = problem_for(item.recipient(ANY_TOKEN), renderers)
        if problem is not None:
            refuse_for_all(problem, campaign, renderers, file.name, reader.trigger)
            checked.misfits += 1
            return 0, file.reject(event, None, _said(problem))
    return len(found), None


def _said(problem: Problem) -> str:
    if problem.missing:
        return f"the template uses {', '.join(problem.missing)}, which this order lacks"
    return str(problem.error)


def refuse_for_all(
    problem: Problem, campaign: CampaignFile, renderers: Sequence[Renderer], source: str, trigger: Trigger
) -> None:
    """Raises BadInput for a variable that no order can give."""
    names = renderers[problem.step_index].references()
    nobodys = [
        name for name in problem.missing if name in names and name.partition(".")[0] not in ("contact", "order", "item")
    ]
    items = [name for name in problem.missing if name.partition(".")[0] == "item"]
    if items and not trigger.each:
        place = campaign.mention(items[0], problem.step_index)
        raise BadInput(f"the templates use {items[0]}, and [trigger] has no `each`", place=place)
    if nobodys:
        raise undefined(campaign, [(problem.step_index, name) for name in nobodys], source, (), every_row=False)


def fits(found: Meaning, renderers: Sequence[Renderer]) -> bool:
    """Whether the templates can be filled for all eligible items."""
    return all(problem_for(item.recipient(ANY_TOKEN), renderers) is None for item in found.eligible)
