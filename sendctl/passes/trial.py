"""`test-send`: one marked message through the whole path, to an address that somebody names. Nobody's place moves.

It is rendered and submitted as any other, under a key and a token that no planned message can have. The ledger gets one
line of the audit, written before anything leaves, and no other row of any table.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from sendctl.addresses import address_key, parse_email, parse_phone
from sendctl.clock import Deadline
from sendctl.definition import Definition, Step
from sendctl.errors import BadInput, ExitCode, SendingDisabled, UsageError
from sendctl.identity import new_id
from sendctl.passes.campaign_faults import at_fault, check_source
from sendctl.passes.context import Context, who
from sendctl.passes.naming import Named, named
from sendctl.passes.preview import chosen, sample, step_index
from sendctl.passes.rendered import recipient_of
from sendctl.passes.submitting import defect
from sendctl.providers.base import Outcome, Outgoing, Phase, Provider, Scope
from sendctl.providers.registry import build_provider
from sendctl.rendering.failures import RenderError
from sendctl.rendering.message import Frozen, Recipient
from sendctl.rendering.names import message_id
from sendctl.rendering.segments import Length, length_of
from sendctl.rendering.steps import ChannelRenderer, channel_renderer
from sendctl.settings import ProviderTable
from sendctl.states import AttemptOutcome
from sendctl.store import audit, enrollments, limits, suppressions

log = logging.getLogger("sendctl")

# A planned message has 32 hexadecimal digits for a key, and base32 for a token: neither has a dash.
MARK = "test-"
SUBJECT, TEXT = "[test] ", "TEST: "  # brackets would cost a text two septets each
HEADER = "X-Sendctl-Test"
_CODES = {
    AttemptOutcome.ACCEPTED: ExitCode.DONE,
    AttemptOutcome.DEFERRED: ExitCode.UNREACHABLE,
    AttemptOutcome.UNTOUCHED: ExitCode.UNREACHABLE,
}
STOPPED = "stopped"  # the error_class of what a signal cut short


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is sent to whom, and whose data fill its templates: those of a file's record, or of somebody enrolled."""

    to: str
    step: str | None = None
    channel: str | None = None
    provider: str | None = None
    contacts: Path | Literal["-"] | None = None
    orders: Path | Literal["-"] | None = None
    row: int | None = None
    contact: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TrialReport:
    """What came of it. `sample`: names stood for values. `left_alone`: why passes use the provider no more, or ""."""

    campaign: str
    step: str
    channel: str
    to: str
    provider: str
    sample: bool
    message_id: str  # of the e-mail; "" of a text
    key: str
    length: Length | None  # of a text
    outcome: Outcome
    left_alone: str

    @property
    def exit_code(self) -> ExitCode:
        if self.outcome.error_class == STOPPED and self.outcome.kind is AttemptOutcome.UNTOUCHED:
            return ExitCode.STOPPED_EARLY
        return _CODES.get(self.outcome.kind, ExitCode.NEEDS_PERSON)


def run(context: Context, campaign: str, wanted: Wanted) -> TrialReport:
    """Send it. Raises SendingDisabled, UsageError, BadInput, BadConfig, and what the store raises: nothing left."""
    if not context.settings.send.enabled:
        raise SendingDisabled(
            "sending is not enabled on this host",
            hint="for this one message: SENDCTL_SEND_ENABLED=true sendctl test-send ...",
        )
    found = named(context, campaign)
    channel, to = _address(found.definition, wanted)
    table = _provider(context, found.definition, channel, wanted.provider)
    _check_wanted(context, to)
    index = step_index(found.definition, wanted.step)
    letter = _rendered(context, found, index, channel, to, wanted, table.name)
    provider = build_provider(table, context.environ)
    left_alone = _audited(context, found, letter, wanted)
    outcome = _submitted(context, provider, letter.message)
    content = letter.message.content.decode() if channel == "sms" else ""
    return TrialReport(
        found.definition.name, letter.step.name, channel, to, table.name, letter.sample,
        "" if content else message_id(found.definition, letter.message.key), letter.message.key,
        length_of(content) if content else None, outcome, left_alone,
    )  # fmt: skip


# -- whom, and through whom ---------------------------------------------------------------------------------------


def _address(definition: Definition, wanted: Wanted) -> tuple[str, str]:
    """The channel, and the address in its normal form. Raises UsageError."""
    channel = wanted.channel or ("email" if "@" in wanted.to else "sms")
    if channel not in definition.channels:
        carried = {"email": "e-mail", "sms": "texts"}
        raise UsageError(
            f"campaign {definition.name} sends {carried[definition.channels[0]]} only",
            hint="name an address with --to." if channel == "sms" else "name a number with --to, such as +49301234567.",
        )
    try:
        return channel, parse_phone(wanted.to) if channel == "sms" else parse_email(wanted.to).address
    except ValueError as error:
        raise UsageError(f"--to {wanted.to}: {error}") from None


def _provider(context: Context, definition: Definition, channel: str, name: str | None) -> ProviderTable:
    """The one that is named, or the first in the campaign's order. Raises UsageError."""
    settings = context.settings
    carriers = settings.carriers(definition.providers, channel)
    if name is None and not carriers:
        raise UsageError(
            f"no provider on this host carries {'texts' if channel == 'sms' else 'e-mail'} of campaign"
            f" {definition.name}",
            hint="write a section [providers.NAME], or name another one with --provider.",
        )
    if name is not None and name not in settings.providers:
        raise UsageError(
            f"there is no provider {name} on this host", hint=f"configured: {', '.join(settings.providers) or 'none'}."
        )
    if name is not None and not settings.may_carry(name, channel):
        raise UsageError(f"provider {name} does not carry {'texts' if channel == 'sms' else 'e-mail'}")
    return settings.providers[name or carriers[0]]


def _check_wanted(context: Context, to: str) -> None:
    """Whoever must not be contacted gets no test either. Raises UsageError."""
    key = address_key(to)
    with context.store.read() as connection:
        found = suppressions.of(connection, key)
    if found is not None:
        raise UsageError(
            f"{to} must not be contacted: {found.reason}",
            hint=f"name another address; `sendctl suppress --remove {to}` takes it off the list.",
        )


# -- the message --------------------------------------------------------------------------------------------------


class _Letter(NamedTuple):
    """One marked message, and what it was made of."""

    message: Outgoing
    step: Step
    sample: bool


def _rendered(
    context: Context, found: Named, index: int, channel: str, to: str, wanted: Wanted, provider: str
) -> _Letter:  # fmt: skip
    """Raises BadInput, UsageError."""
    definition, step = found.definition, found.definition.steps[index]
    if definition.is_sealed and found.letter is None:
        raise UsageError(f"{definition.name} is an encrypted letter: what it says is sealed", hint="name its file.")
    marked = replace(step, subject=SUBJECT + step.subject, sms=TEXT + step.sms)
    renderer = channel_renderer(definition, marked, channel)
    recipient, made_up = _data(context, found, wanted, renderer)
    frozen = Frozen(0, 1, MARK + new_id(), provider, to, context.clock.utc_now())
    try:
        message = renderer.render(recipient, frozen)
    except RenderError as error:
        if found.file is not None:
            raise at_fault(found.file, index, error, whose=wanted.contact or "") from None
        raise BadInput(f"step {step.name!r}: {error}") from None
    if channel == "email":
        head = f"{HEADER}: campaign={definition.name}\r\n".encode()
        message = message._replace(content=head + message.content)
    return _Letter(message, step, made_up)


def _data(context: Context, found: Named, wanted: Wanted, renderer: ChannelRenderer) -> tuple[Recipient, bool]:
    """Whose data fill the templates, under a token that nobody has; and whether names stand for values."""
    token = MARK + new_id()
    picks = wanted.row is not None or wanted.contact is not None
    files = wanted.contacts is not None or wanted.orders is not None
    if found.letter is not None:
        if picks or files or wanted.step:
            raise UsageError("this is a letter: it has one reader and one text")
        return Recipient(found.letter.contact.row.attributes, token), False
    if found.row is not None:
        if files or wanted.row is not None:
            raise UsageError(
                "this campaign is in the store", hint="--contact ADDRESS takes somebody's data from there."
            )
        if wanted.contact is not None:
            return _enrolled(context, found, wanted.contact, token), False
    elif files:
        assert found.file is not None
        check_source(found.file, contacts=wanted.contacts is not None, orders=wanted.orders is not None)
        picked = chosen(
            found.file, contacts=wanted.contacts, orders=wanted.orders, row=wanted.row, to=wanted.contact, token=token
        )
        return picked.recipient, False
    elif picks:
        raise UsageError(
            "--row and --contact choose from a contacts file, or from orders",
            hint="name it with --contacts or --orders.",
        )
    return sample(renderer.references(), token), True


def _enrolled(context: Context, found: Named, address: str, token: str) -> Recipient:
    """The data of somebody who is in the campaign, as they were frozen. Raises UsageError."""
    assert found.row is not None
    try:
        key = address_key(address)
    except ValueError as error:
        raise UsageError(f"--contact {address}: {error}") from None
    with context.store.read() as connection:
        data = enrollments.latest_data(connection, found.row.id, key)
    if data is None:
        raise UsageError(
            f"{address} is not in campaign {found.definition.name}",
            hint=f"`sendctl messages --campaign {found.definition.name}` lists who is.",
        )
    snapshot, subject_key = data
    return recipient_of(json.loads(snapshot), token, subject_key)


# -- the submission -----------------------------------------------------------------------------------------------


def _audited(context: Context, found: Named, letter: _Letter, wanted: Wanted) -> str:
    """Write down who sends what to whom; returns why passes leave the provider alone now, or ""."""
    message = letter.message
    detail = {"step": letter.step.name, "to": message.recipient, "provider": message.provider, "key": message.key}
    with context.store.write() as connection:
        now = context.store.now(connection)
        audit.write(
            connection, login=who(context.environ), hostname=context.hostname, action="test-send",
            campaign_id=found.row.id if found.row is not None else None, reason=wanted.reason,
            detail={"campaign": found.definition.name, **detail}, now=now,
        )  # fmt: skip
        breaker = limits.breakers(connection).get(message.provider)
    return "" if breaker is None or breaker.lets_through(now) else breaker.reason or "it failed"


@dataclass
class _Mark:
    """How far the one message got."""

    phase: Phase = Phase.UNTOUCHED

    def begin(self) -> None:
        self.phase = Phase.BEGUN

    def dot(self) -> None:
        self.phase = Phase.DOTTED


def _submitted(context: Context, provider: Provider, message: Outgoing) -> Outcome:
    """What came of it; of a submission that a signal cut short, what may be assumed."""
    mark, known = _Mark(), list[Outcome]()

    async def handed_over() -> None:
        deadline = Deadline(context.clock.boot_s() + context.settings.send.deadline_s, context.clock)
        try:
            known.append(await provider.submit(message, deadline, mark))
        finally:
            await provider.close()

    try:
        asyncio.run(handed_over())
    except KeyboardInterrupt:
        return known[0] if known else _cut_short(mark.phase)
    except Exception as error:  # a defect of an adapter: the phase still says what may be assumed
        log.error("provider %s failed", message.provider, exc_info=error)
        return known[0] if known else defect(mark.phase)
    return known[0]


def _cut_short(phase: Phase) -> Outcome:
    if phase is Phase.DOTTED:
        text = "stopped after the last byte may have left, and before the reply: it may have been accepted"
        return Outcome(AttemptOutcome.UNKNOWN, phase, Scope.PROVIDER, text=text, error_class=STOPPED)
    text = "stopped before the last byte left: it was not sent"
    return Outcome(AttemptOutcome.UNTOUCHED, phase, Scope.PROVIDER, text=text, error_class=STOPPED)
