"""One step's text messages: the counterpart of `message.StepRenderer` for the channel sms.

What it gives depends on nothing but the definition, the step, the recipient and what was frozen at the first claim, so
a replay is the same to the byte. Never shortens a text: one that is too long is an error that says so.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

from sendctl.addresses import parse_phone
from sendctl.definition import Definition, Step
from sendctl.errors import BadInput
from sendctl.providers.base import Outgoing
from sendctl.rendering import headers
from sendctl.rendering.failures import checked
from sendctl.rendering.message import Frozen, Preview, Recipient, campaign_variables, scope_of
from sendctl.rendering.segments import length_of
from sendctl.rendering.templates import Template

# What services take at once: Twilio 1,600 characters, ten segments of GSM-7. More is a mistake that costs money.
MOST_SEGMENTS = 10
_STOP = re.compile(r"\bSTOP\b")
# C0 without line feed, DEL, C1, and the separators that Unicode adds: no telephone shows them.
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class SmsRenderer:
    """Everything that the texts of one step of one campaign revision have in common."""

    channel = "sms"

    def __init__(self, definition: Definition, step: Step) -> None:
        """Compile and check. Raises BadInput naming step, part and the template's line."""
        self._owner = f"step {step.name!r}"
        if not step.sms:
            raise BadInput(f"{self._owner}: a text message needs sms or sms_file")
        self._sender = definition.texts_from
        self._campaign = campaign_variables(definition)
        sources = {"link": definition.link, "unsubscribe_url": definition.unsubscribe_url}
        self._links = {part: Template(part, text, owner=self._owner) for part, text in sources.items() if text}
        self._text = Template("sms", step.sms, owner=self._owner)
        if definition.purpose == "marketing" and not self._says_how_to_end(step.sms):
            raise BadInput(
                f"{self._owner}: sms: a marketing text says how to end it: with {{{{ unsubscribe_url }}}}, or the word"
                " STOP"
            )

    def _says_how_to_end(self, source: str) -> bool:
        return "unsubscribe_url" in self._text.references or _STOP.search(source) is not None

    def references(self) -> frozenset[str]:
        """Every variable that the templates mention, as `StepRenderer.references`."""
        used = [each for part, each in self._links.items() if part in self._text.references]
        return frozenset[str]().union(*(each.references for each in (*used, self._text))) - self._links.keys()

    def missing(self, recipient: Recipient) -> list[str]:
        """Undefined variables of this recipient, sorted. Raises RenderError if the text cannot be made otherwise."""
        scope = self._scope(recipient)
        absent = {name for part in self._used() for name in self._links[part].missing(scope)}
        if absent:
            return sorted(absent)
        scope |= self._rendered_links(scope)
        absent = set(self._text.missing(scope))
        if not absent:
            checked(_text, self._text.render(scope), "sms")
        return sorted(absent)

    def surely_fits(self, columns: Set[str], token: str, most_characters: int) -> bool:
        """Never sure: how long a text is depends on every character of the values. Ask `missing` about each."""
        return False

    def text(self, recipient: Recipient) -> str:
        """The text as it is sent. Raises RenderError."""
        scope = self._scope(recipient)
        return checked(_text, self._text.render(scope | self._rendered_links(scope)), "sms")

    def render(self, recipient: Recipient, frozen: Frozen) -> Outgoing:
        """The message, ready to hand over; its content is the text in UTF-8. Raises RenderError."""
        return Outgoing(
            message_id=frozen.message_id, attempt=frozen.attempt, key=frozen.key, provider=frozen.provider,
            sender=self._sender, recipient=checked(parse_phone, frozen.recipient, "recipient:"),
            content=self.text(recipient).encode(),
        )  # fmt: skip

    def preview(self, recipient: Recipient, frozen: Frozen) -> Preview:
        """The same for `sendctl preview`. Raises RenderError."""
        return Preview("", "", "", "", sms=self.render(recipient, frozen).content.decode())

    def _used(self) -> list[str]:
        return [part for part in self._links if part in self._text.references]

    def _scope(self, recipient: Recipient) -> dict[str, Any]:
        return scope_of(recipient, self._campaign)

    def _rendered_links(self, scope: dict[str, Any]) -> dict[str, str]:
        """Only those that the text mentions: others cost nothing and cannot fail."""
        return {part: checked(headers.single_line, self._links[part].render(scope), part) for part in self._used()}


def _text(text: str) -> str:
    """A rendered text as it is sent: LF line ends, nothing blank around it. Raises ValueError."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise ValueError("is empty")
    control = _CONTROL.search(text)
    if control:
        raise ValueError(f"holds the control character U+{ord(control[0]):04X}")
    length = length_of(text)
    if length.segments > MOST_SEGMENTS:
        took = f"{length.segments} segments ({length.units} units of {length.encoding})"
        raise ValueError(f"takes {took}, the limit is {MOST_SEGMENTS}")
    return text
