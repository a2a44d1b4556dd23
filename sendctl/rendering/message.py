"""One step's messages: compiled and checked once, then per recipient only what differs.

`StepRenderer.render` gives an `Outgoing` whose bytes depend on nothing but the definition, the step, the recipient
and what was frozen at the first claim, so a replay is byte-identical. Never asks the clock or the store.

Fields left out on purpose, with the reasons in docs/templates.md: a name in To, Precedence, Auto-Submitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sendctl.addresses import Mailbox, parse_email, parse_mailbox
from sendctl.definition import Definition, Step
from sendctl.errors import BadInput
from sendctl.providers.base import Outgoing
from sendctl.rendering import data, headers, mime
from sendctl.rendering.failures import RenderError, checked
from sendctl.rendering.letter import Check, Filled, Letter
from sendctl.rendering.names import message_id_at
from sendctl.rendering.templates import Template

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")  # left part of Message-ID (RFC 5322 section 3.6.4) and of a boundary
_SUBTYPES = {"text": "plain", "html": "html"}  # plainest first (RFC 2046 section 5.1.4)
_ONE_CLICK = "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


class Recipient(NamedTuple):
    """What varies from person to person; frozen with the enrollment. `contact` has the columns of the contacts file."""

    contact: Mapping[str, object]
    token: str
    order: Mapping[str, object] | None = None
    item: object = None  # an entry of one of the order's lists, as JSON has it


class Frozen(NamedTuple):
    """What is fixed at the first claim. `recipient` is the address as the contact gave it; `composed_at` is UTC."""

    message_id: int
    attempt: int
    key: str
    provider: str
    recipient: str
    composed_at: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """A message for human eyes: `headers` as they travel, with LF line ends; a part that the step lacks is empty."""

    subject: str
    text: str
    html: str
    headers: str
    size_bytes: int = 0  # of the whole e-mail
    sms: str = ""


class StepRenderer:
    """Everything that the e-mails of one step of one campaign revision have in common for all their recipients."""

    channel = "email"

    def __init__(self, definition: Definition, step: Step) -> None:
        """Compile and check. Raises BadInput naming step, part and the template's line."""
        self._owner = f"step {step.name!r}"
        if not step.subject or not (step.text or step.html):
            raise BadInput(f"{self._owner}: an e-mail needs a subject and at least one of text and html")
        self._sender = self._mailbox("from", definition.sender)
        fields = [headers.mailbox_field("From", self._sender)]
        if definition.reply_to:
            fields.append(headers.mailbox_field("Reply-To", self._mailbox("reply_to", definition.reply_to)))
        self._static = "".join(f"{field}\r\n" for field in fields)
        self._one_click = definition.purpose == "marketing"
        self._campaign = campaign_variables(definition)
        self._links = self._compile(link=definition.link, unsubscribe_url=definition.unsubscribe_url)
        self._parts = self._compile(subject=step.subject, text=step.text, html=step.html)
        self._letter = self._simple_letter()

    def references(self) -> frozenset[str]:
        """Every variable that the templates mention, dotted as in `contact.first_name`; also guarded ones."""
        names = frozenset[str]().union(*(each.references for each in (*self._links.values(), *self._parts.values())))
        return names - self._links.keys()

    def missing(self, recipient: Recipient) -> list[str]:
        """Undefined variables of this recipient, sorted; names behind `is defined` or `default` do not count.

        Raises RenderError if the row cannot be rendered for another reason, such as a line break in the subject.
        """
        only_contact = recipient.order is None and recipient.item is None
        if self._letter is not None and only_contact and self._letter.surely_knows(recipient.contact, recipient.token):
            return []
        scope = self._scope(recipient)
        if self._letter is not None and self._letter.known(scope) is not None:
            return []
        absent = {name for template in self._links.values() for name in template.missing(scope)}
        if absent:
            return sorted(absent)
        scope |= self._rendered_links(scope)
        absent = {name for template in self._parts.values() for name in template.missing(scope)}
        if not absent:
            checked(headers.subject, self._parts["subject"].render(scope), "subject")
        return sorted(absent)

    def surely_fits(self, columns: Set[str], token: str, most_characters: int) -> bool:
        """Whether `missing` finds nothing for any contact with these columns and this token.

        The values are printable text, and those of one contact have `most_characters` together at most. Asked once for
        many contacts; if False, ask `missing` about each.
        """
        return self._letter is not None and self._letter.surely_knows_all(columns, token, most_characters)

    def render(self, recipient: Recipient, frozen: Frozen) -> Outgoing:
        """The message, ready to hand over. Raises RenderError."""
        scope = self._scope(recipient)
        contents = self._letter.filled(scope) if self._letter is not None else None
        return self._compose(contents or self._filled(scope), frozen)

    def preview(self, recipient: Recipient, frozen: Frozen) -> Preview:
        """The same message for `sendctl preview`. Raises RenderError."""
        content = self.render(recipient, frozen).content
        head, _, _ = content.partition(b"\r\n\r\n")
        scope = self._scope(recipient)
        subject, text, html = self._texts(scope | self._rendered_links(scope))
        return Preview(subject, text, html, head.decode().replace("\r\n", "\n") + "\n", len(content))

    def _mailbox(self, key: str, text: str) -> Mailbox:
        try:
            return parse_mailbox(text)
        except ValueError as problem:
            raise BadInput(f"{self._owner}: `{key}` of the campaign: {problem}") from None

    def _compile(self, **sources: str) -> dict[str, Template]:
        return {part: Template(part, source, owner=self._owner) for part, source in sources.items() if source}

    def _scope(self, recipient: Recipient) -> dict[str, Any]:
        return scope_of(recipient, self._campaign)

    def _rendered_links(self, scope: dict[str, Any]) -> dict[str, str]:
        return {
            name: checked(self._link_check(name), template.render(scope), name)
            for name, template in self._links.items()
        }

    def _link_check(self, name: str) -> Check:
        announced = self._one_click and name == "unsubscribe_url"
        return headers.https_url if announced else headers.single_line

    def _texts(self, scope: dict[str, Any]) -> tuple[str, str, str]:
        """Subject, text and HTML; a part that the step lacks is empty."""
        parts = {name: template.render(scope) for name, template in self._parts.items()}
        return (
            checked(headers.subject, parts["subject"], "subject"),
            checked(mime.canonical, parts["text"], "text") if "text" in parts else "",
            checked(mime.canonical, parts["html"], "html") if "html" in parts else "",
        )

    def _filled(self, scope: dict[str, Any]) -> Filled:
        links = self._rendered_links(scope)
        subject, text, html = self._texts(scope | links)
        bodies = [mime.body(subtype, text) for subtype, text in (("plain", text), ("html", html)) if text]
        return Filled(subject, links.get("unsubscribe_url", ""), bodies)

    def _simple_letter(self) -> Letter | None:
        """For a step whose templates are all bare and plain enough."""
        templates = self._links | self._parts
        bare = {part: template.bare for part, template in templates.items() if template.bare is not None}
        if len(bare) < len(templates):
            return None
        links = {name: (bare[name], self._link_check(name)) for name in self._links}
        bodies = {subtype: bare[part] for part, subtype in _SUBTYPES.items() if part in bare}
        try:
            return Letter(links, bare["subject"], bodies)
        except ValueError:
            return None

    def _compose(self, contents: Filled, frozen: Frozen) -> Outgoing:
        if not _KEY.fullmatch(frozen.key):
            raise RenderError(f"message {frozen.message_id}: key {frozen.key!r} does not fit a Message-ID")
        recipient = checked(_address, frozen.recipient, "recipient:")
        head = (
            f"Date: {headers.date(frozen.composed_at)}\r\n{self._static}To: {recipient}\r\n"
            f"{headers.text_field('Subject', contents.subject)}\r\n"
            f"Message-ID: {message_id_at(self._sender, frozen.key)}\r\n"
        )
        if self._one_click and contents.unsubscribe_url:
            # Unfolded, and both present, or mailbox providers show no button (RFC 8058 section 3.1).
            head += f"List-Unsubscribe: <{contents.unsubscribe_url}>\r\n{_ONE_CLICK}"
        not_ascii = not head.isascii()
        return Outgoing(
            message_id=frozen.message_id,
            attempt=frozen.attempt,
            key=frozen.key,
            provider=frozen.provider,
            sender=self._sender.address,
            recipient=recipient,
            content=head.encode() + mime.entity(contents.bodies, frozen.key),
            eight_bit=not_ascii,
            smtputf8=not_ascii,  # only an address can be: all else is encoded
        )


def _address(text: str) -> str:
    return parse_email(text).address


def scope_of(recipient: Recipient, campaign: Any) -> dict[str, Any]:
    """What the templates of a step see of a recipient. Raises RenderError."""
    scope = {"contact": data.frozen(recipient.contact, "contact"), "campaign": campaign}
    scope["token"] = data.frozen(recipient.token, "token")
    if recipient.order is not None:
        scope["order"] = data.frozen(recipient.order, "order")
    if recipient.item is not None:
        scope["item"] = data.frozen(recipient.item, "item")
    return scope


def campaign_variables(definition: Definition) -> Any:
    """What templates see as `campaign`."""
    known = {
        "name": definition.name,
        "purpose": definition.purpose,
        "from": definition.sender,
        "reply_to": definition.reply_to or None,
        "timezone": definition.timezone,
    }
    return data.frozen(known, "campaign")
