"""Settling doubt by sending the very same again, under the same key: for services that answer a key they know with
their first reply, as long as they remember it.

The message stays in doubt until the service has answered: what is killed half-way leaves it as it was, and two that
ask at once hear the same. Nothing is sent again that could not be sent for the first time now: of a campaign that is
not running, to somebody who is suppressed or stopped, too late for its expiry, or beyond the service's memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.engine import Connection

from sendctl.calendar import Calendar
from sendctl.clock import Deadline
from sendctl.errors import SendctlError
from sendctl.passes import evidence, fates, people, timing
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.evidence import Evidence
from sendctl.passes.handed_over import UNKNOWN_CONTENTS, as_handed_over
from sendctl.passes.rendered import Press
from sendctl.providers.base import ClaimExpired, Outcome, Outgoing, Phase, Provider
from sendctl.providers.registry import build_provider
from sendctl.sealing import CannotOpen
from sendctl.states import AttemptOutcome, CampaignStatus, EnrollmentStatus
from sendctl.store import claims, limits
from sendctl.store.claims import Due
from sendctl.store.doubts import Doubt

AT_ONCE = 20  # settled together: a kill forgets the answers of so many, and they are asked for again


class _Again(NamedTuple):
    """One message as it was handed over, and until when the service knows it."""

    doubt: Doubt
    outgoing: Outgoing
    until: datetime


class _Mark:
    """Lets bytes leave until a deadline, and writes no journal: the attempt is in doubt already, and stays so."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def begin(self) -> None:
        self.dot()

    def dot(self) -> None:
        if self._deadline.passed():
            raise ClaimExpired


def settle(context: Context, doubts: Sequence[Doubt]) -> Evidence:
    """Send again what a service can still recognise, and record what it says, a few at a time; returns all of it."""
    found = Evidence()
    if not context.settings.send.enabled:
        for doubt in doubts:
            found.cannot_tell("sending is disabled on this host, so that nothing is sent again under its key")
            found.later.add(doubt.held)
        return found
    for name in sorted({doubt.provider for doubt in doubts}):
        asked = [doubt for doubt in doubts if doubt.provider == name]
        while asked and _settle_some(context, name, asked[:AT_ONCE], found):
            asked = asked[AT_ONCE:]
        for doubt in asked[AT_ONCE:]:
            found.cannot_tell(f"provider {name} is not asked any more in this pass")
            found.later.add(doubt.held)
    return found


def _settle_some(context: Context, name: str, doubts: Sequence[Doubt], found: Evidence) -> bool:
    """One transaction to read, the network, one to record; False when the provider is better left alone now."""
    try:
        provider = build_provider(context.settings.providers[name], context.environ)
    except SendctlError as error:  # a secret is not at hand: what else can be settled is, all the same
        for doubt in doubts:
            found.cannot_tell(f"provider {name} cannot be asked: {error}")
            found.later.add(doubt.held)
        return False
    desk = Desk(context)
    press = Press()
    with desk.transaction() as connection:
        granted = doubts[: _tokens(context, connection, desk.now, name, len(doubts))]
        ready = list(_prepared(context, desk, connection, press, provider, granted, found))
        now = desk.now
    for doubt in doubts[len(granted) :]:
        found.cannot_tell(f"provider {name} is at its rate: it is asked again in the next pass")
        found.later.add(doubt.held)
    outcomes = asyncio.run(_sent_again(context, provider, ready, now))
    proof = Evidence()
    for again, outcome in zip(ready, outcomes, strict=True):
        _conclude(again.doubt, outcome, proof)
    evidence.record(context, proof)
    found.add(proof)
    return len(granted) == len(doubts) and all(map(_is_verdict, outcomes))


def _tokens(context: Context, connection: Connection, now: datetime, name: str, wanted: int) -> int:
    """How many the provider's rate and its breaker let through."""
    breaker = limits.breakers(connection).get(name)
    if breaker is not None and breaker.state != "closed":
        return 0
    rate = context.settings.providers[name].rate
    if rate is None:
        return wanted
    scope = f"provider:{name}"
    count = min(wanted, limits.tokens_at_hand(connection, scope, rate, now))
    limits.spend(connection, scope, count)
    return count


def _prepared(
    context: Context, desk: Desk, connection: Connection, press: Press, provider: Provider, doubts: Sequence[Doubt],
    found: Evidence,
) -> Iterable[_Again]:  # fmt: skip
    dues = claims.by_id(connection, [doubt.message_id for doubt in doubts])
    suppressed = claims.suppressed(connection, [due.recipient_key for due in dues.values()])
    for doubt in doubts:
        due = dues[doubt.message_id]
        calendar = context.calendar(desk.current(connection, doubt.campaign_id))
        until = evidence.known_until(context, doubt)
        if until is None or until <= desk.now:
            found.cannot_tell(f"provider {doubt.provider} does not know keys any more that are as old as this")
            continue
        if due.revision is None or due.composed_at is None:
            found.cannot_tell(UNKNOWN_CONTENTS)
            continue
        reason = _forbidden(due, calendar, suppressed=due.recipient_key in suppressed, now=desk.now)
        passing = reason or _too_early(desk, connection, doubt, due, calendar)
        if passing:
            found.cannot_tell(passing)
            found.later |= set() if reason else {doubt.held}
            continue
        try:
            outgoing = as_handed_over(desk, connection, press, doubt, due)
        except (SendctlError, CannotOpen) as error:
            found.cannot_tell(f"it cannot be rendered as it was: {error}", "render")
            found.later.add(doubt.held)
            continue
        yield _Again(doubt, outgoing, until)


def _forbidden(due: Due, calendar: Calendar, *, suppressed: bool, now: datetime) -> str:
    """Why it may not be sent any more if it was not accepted then; "" when it may. As a claim asks (fates.py)."""
    ended = due.enrollment_status in (EnrollmentStatus.STOPPED, EnrollmentStatus.CANCELLED)
    reasons = (
        (suppressed, "the address is suppressed"),
        (ended, "the enrollment has ended"),
        (fates.is_dropped(due, calendar), "its step was removed"),
        (timing.is_too_late(calendar, due, now), "it has expired"),
    )
    return next((f"it is not sent again under its key: {reason}" for holds, reason in reasons if holds), "")


def _too_early(desk: Desk, connection: Connection, doubt: Doubt, due: Due, calendar: Calendar) -> str:
    """Why it may not be sent at this moment, which may pass; "" when it may."""
    running = desk.campaign(connection, doubt.campaign_id).status is CampaignStatus.RUNNING
    if not running:
        return f"campaign {calendar.definition.name} is not running: nothing of it is sent again under its key"
    if calendar.opening(desk.now, due.timezone) > desk.now:
        return "it is not sent again under its key outside of its hours"
    if not people.is_free(desk, connection, calendar, due):
        return "it is not sent again under its key while [limits] hold what goes to its person"
    return ""


async def _sent_again(
    context: Context, provider: Provider, ready: Sequence[_Again], now: datetime
) -> list[Outcome]:  # fmt: skip
    slots = asyncio.Semaphore(provider.connections)

    async def one(again: _Again) -> Outcome:
        async with slots:
            left_s = min(context.settings.send.deadline_s, (again.until - now).total_seconds())
            deadline = Deadline(context.clock.boot_s() + left_s, context.clock)
            try:
                return await provider.submit(again.outgoing, deadline, _Mark(deadline))
            except ClaimExpired:
                return Outcome(AttemptOutcome.UNTOUCHED, Phase.UNTOUCHED, text="there was no time left")

    try:
        return list(await asyncio.gather(*map(one, ready)))
    finally:
        await provider.close()


def _is_verdict(outcome: Outcome) -> bool:
    return outcome.kind in (AttemptOutcome.ACCEPTED, AttemptOutcome.REFUSED)


def _conclude(doubt: Doubt, outcome: Outcome, proof: Evidence) -> None:
    """An answer about the contents speaks of the first time as well; any other says nothing of it."""
    if outcome.kind is AttemptOutcome.ACCEPTED:
        text = f"sent again under its key: provider {doubt.provider} has it once"
        proof.accepted[doubt.held] = outcome._replace(text=text)
        proof.asked.add(doubt.held)
    elif outcome.kind is AttemptOutcome.REFUSED:
        text = f"sent again under its key, and refused: {outcome.text}"[:500]
        proof.absent[doubt.held] = Outcome(
            AttemptOutcome.DEFERRED, Phase.DOTTED, text=text, error_class=outcome.error_class
        )
        proof.asked.add(doubt.held)
    else:
        proof.cannot_tell(f"provider {doubt.provider}: {outcome.text}", f"{doubt.provider} {outcome.error_class}")
        proof.later.add(doubt.held)
