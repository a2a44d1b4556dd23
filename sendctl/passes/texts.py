"""How long the text messages of an enqueue would be: what they cost is counted in segments. Only looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sendctl.definition import Definition
from sendctl.inputs.contact_rows import BadRow, ContactRow, ValueProblem
from sendctl.inputs.contacts import ContactFile
from sendctl.passes.order_checks import fits
from sendctl.passes.order_files import Orders
from sendctl.passes.rendered import recipient_of
from sendctl.passes.row_checks import ANY_TOKEN, rows_of, sendable
from sendctl.rendering.failures import RenderError
from sendctl.rendering.message import Recipient
from sendctl.rendering.segments import UCS2, length_of
from sendctl.rendering.sms import SmsRenderer
from sendctl.rendering.steps import Renderer


@dataclass
class StepTexts:
    """The texts of one step to all people of a file: how many, their segments in all, and the longest one's."""

    step: str
    texts: int = 0
    segments: int = 0
    most_segments: int = 0
    ucs2: int = 0  # texts with characters that GSM-7 does not have

    def add(self, text: str) -> None:
        length = length_of(text)
        self.texts, self.segments = self.texts + 1, self.segments + length.segments
        self.most_segments = max(self.most_segments, length.segments)
        self.ucs2 += length.encoding == UCS2


def of_contacts(definition: Definition, file: ContactFile, renderers: Sequence[Renderer]) -> list[StepTexts]:
    """Of the good rows of a contacts file that have a number."""
    rows = (row for part in file.parts() for row in rows_of(part))
    good = (row for row in rows if isinstance(row, ContactRow) and row.phone and sendable(row, renderers))
    return _measured(definition, (recipient_of(row.attributes, ANY_TOKEN) for row in good))


def of_orders(definition: Definition, orders: Orders, renderers: Sequence[Renderer]) -> list[StepTexts]:
    """Of the eligible items of order events that give a number."""
    return _measured(definition, _buyers(orders, renderers))


def _buyers(orders: Orders, renderers: Sequence[Renderer]) -> Iterator[Recipient]:
    for file in orders.files():
        for event in file.events():
            if isinstance(event, BadRow):
                continue
            try:
                meaning = orders.reader.meaning(event)
            except (ValueProblem, RenderError):  # a bad line, which the first reading has named
                continue
            if fits(meaning, renderers):
                yield from (item.recipient(ANY_TOKEN) for item in meaning.eligible if item.phone)


def _measured(definition: Definition, recipients: Iterable[Recipient]) -> list[StepTexts]:
    steps = [(SmsRenderer(definition, step), StepTexts(step.name)) for step in definition.steps]
    for recipient in recipients:
        for renderer, found in steps:
            found.add(renderer.text(recipient))
    return [found for _, found in steps]
