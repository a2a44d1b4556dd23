"""What a step sends, whatever its channels: the one renderer of a channel, or those of both behind one face.

The only place that knows every kind of renderer.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import replace
from typing import Protocol

from sendctl.definition import Definition, Step
from sendctl.providers.base import Outgoing
from sendctl.rendering.message import Frozen, Preview, Recipient, StepRenderer
from sendctl.rendering.sms import SmsRenderer


class Renderer(Protocol):
    """What a check asks of a step, as of `StepRenderer`. `channel` is the campaign's, so it may be "both"."""

    channel: str

    def references(self) -> frozenset[str]: ...
    def missing(self, recipient: Recipient) -> list[str]: ...
    def surely_fits(self, columns: Set[str], token: str, most_characters: int) -> bool: ...
    def preview(self, recipient: Recipient, frozen: Frozen) -> Preview: ...


class ChannelRenderer(Renderer, Protocol):
    """What makes the messages of a step for one channel."""

    def render(self, recipient: Recipient, frozen: Frozen) -> Outgoing: ...


class BothRenderer:
    """The e-mails and the texts of one step. Who has no address for one of them needs only what the other uses."""

    channel = "both"

    def __init__(self, definition: Definition, step: Step) -> None:
        """Raises BadInput as the renderers do."""
        self.email, self.sms = StepRenderer(definition, step), SmsRenderer(definition, step)

    def references(self) -> frozenset[str]:
        return self.email.references() | self.sms.references()

    def missing(self, recipient: Recipient) -> list[str]:
        return sorted({name for one in self._for(recipient) for name in one.missing(recipient)})

    def surely_fits(self, columns: Set[str], token: str, most_characters: int) -> bool:
        return False  # as for each text

    def preview(self, recipient: Recipient, frozen: Frozen) -> Preview:
        """What this recipient gets: `frozen` is for the e-mail; a text is shown without its number."""
        wanted = list(self._for(recipient))
        shown = self.email.preview(recipient, frozen) if self.email in wanted else Preview("", "", "", "")
        return replace(shown, sms=self.sms.text(recipient)) if self.sms in wanted else shown

    def _for(self, recipient: Recipient) -> Iterator[StepRenderer | SmsRenderer]:
        if recipient.contact.get("email"):
            yield self.email
        if recipient.contact.get("phone"):
            yield self.sms


def renderer_of(definition: Definition, step: Step) -> StepRenderer | SmsRenderer | BothRenderer:
    """What checks and previews a step. Raises BadInput."""
    match definition.channel:
        case "both":
            return BothRenderer(definition, step)
        case "sms":
            return SmsRenderer(definition, step)
    return StepRenderer(definition, step)


def channel_renderer(definition: Definition, step: Step, channel: str) -> ChannelRenderer:
    """What makes a step's messages for a channel. Raises BadInput."""
    return SmsRenderer(definition, step) if channel == "sms" else StepRenderer(definition, step)
