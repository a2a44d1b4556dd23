"""How long the text messages of an enqueue would be: what they cost is counted in segments. Only looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sendctl.definition import Definition
from sendctl.inputs.contact_rows import BadRow, ContactRow, ValueProblem
from sendctl.inputs.contacts import ContactFile
from sendctl.passes.order_checks import fits
from sendctl.passes.order_files import Orders
from sendctl.passes.rendered import recipient_of
from sendctl.passes.row_checks import ANY_TOKEN, rows_of, sendable
from sendctl.prices import Prices
from sendctl.rendering.failures import RenderError
from sendctl.rendering.message import Recipient
from sendctl.rendering.segments import beyond_gsm, length_of
from sendctl.rendering.sms import SmsRenderer
from sendctl.rendering.steps import Renderer


@dataclass
class StepTexts:
    """The texts of one step to all people of a file, each sent once: how many, their segments, what they cost.

    `beyond`: characters that GSM-7 does not have, and in how many texts they stand. `cost` is in millionths of the
    prices' currency, without the `unpriced` texts, to numbers for which no price is known.
    """

    step: str
    repeat: int = 1  # how often each of them may be sent
    texts: int = 0
    segments: int = 0
    most_segments: int = 0
    ucs2: int = 0  # texts with characters that GSM-7 does not have
    beyond: Counter[str] = field(default_factory=Counter)
    cost: int = 0
    unpriced: int = 0

    def add(self, text: str, price: int | None) -> None:
        length, wide = length_of(text), beyond_gsm(text)
        self.texts, self.segments = self.texts + 1, self.segments + length.segments
        self.most_segments = max(self.most_segments, length.segments)
        self.ucs2 += bool(wide)
        self.beyond.update(wide)
        self.cost += length.segments * (price or 0)
        self.unpriced += price is None


def of_contacts(
    definition: Definition, file: ContactFile, renderers: Sequence[Renderer], prices: Prices | None
) -> list[StepTexts]:  # fmt: skip
    """Of the good rows of a contacts file that have a number."""
    rows = (row for part in file.parts() for row in rows_of(part))
    good = (row for row in rows if isinstance(row, ContactRow) and row.phone and sendable(row, renderers))
    people = ((recipient_of(row.attributes, ANY_TOKEN), row.phone or "") for row in good)
    return _measured(definition, people, prices)


def of_orders(
    definition: Definition, orders: Orders, renderers: Sequence[Renderer], prices: Prices | None
) -> list[StepTexts]:  # fmt: skip
    """Of the eligible items of order events that give a number."""
    return _measured(definition, _buyers(orders, renderers), prices)


def _buyers(orders: Orders, renderers: Sequence[Renderer]) -> Iterator[tuple[Recipient, str]]:
    for file in orders.files():
        for event in file.events():
            if isinstance(event, BadRow):
                continue
            try:
                meaning = orders.reader.meaning(event)
            except (ValueProblem, RenderError):  # a bad line, which the first reading has named
                continue
            if fits(meaning, renderers):
                yield from ((item.recipient(ANY_TOKEN), item.phone) for item in meaning.eligible if item.phone)


def _measured(
    definition: Definition, people: Iterable[tuple[Recipient, str]], prices: Prices | None
) -> list[StepTexts]:  # fmt: skip
    steps = [(SmsRenderer(definition, step), StepTexts(step.name, step.repeat)) for step in definition.steps]
    for recipient, number in people:
        price = prices.of(number) if prices is not None else None
        for renderer, found in steps:
            found.add(renderer.text(recipient), price)
    return [found for _, found in steps]
