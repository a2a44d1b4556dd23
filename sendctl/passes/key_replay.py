"""Settling doubt by sending the very same again, under the same key: for services that answer a key they know with
their first reply, as long as they remember it.

That it goes again is written down before it leaves. The message stays in doubt until the service has answered: what is
killed half-way leaves it as it was, and two that ask at once hear the same. Nothing is sent again that could not be
sent for the first time now: of a campaign that is not running, to somebody who is suppressed or stopped, too late for
its expiry, or beyond the service's memory; and nothing at all where nothing may be claimed (standstill.py).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.engine import Connection

from sendctl.calendar import Calendar
from sendctl.clock import Deadline
from sendctl.errors import SendctlError
from sendctl.passes import ending, evidence, fates, people, standstill, timing
from sendctl.passes.consequences import Breakers
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.evidence import Evidence
from sendctl.passes.handed_over import UNKNOWN_CONTENTS, as_handed_over
from sendctl.passes.rendered import Press
from sendctl.passes.startup import rewound_reason
from sendctl.providers.base import ClaimExpired, Outcome, Outgoing, Phase, Provider, Scope
from sendctl.providers.registry import build_provider
from sendctl.sealing import CannotOpen
from sendctl.states import AttemptOutcome, CampaignStatus, EnrollmentStatus
from sendctl.store import again, claims, limits
from sendctl.store.claims import Due
from sendctl.store.doubts import Doubt, Held
from sendctl.store.limits import Breaker

AT_ONCE = 20  # settled together: a kill forgets the answers of so many, and they are asked for again
CONFLICT = 409  # it is there, and speaks of what it has under this one key (RFC 9110 section 15.5.10)
_NOT_TAKEN = (AttemptOutcome.DEFERRED, AttemptOutcome.HALTED, AttemptOutcome.UNTOUCHED)
KEPT = "nothing is sent again under its key"
AFTER_REPLAY = f"{KEPT} by the command that replays journals: the next reconcile does that"
DISABLED = "sending is disabled on this host, so that nothing is sent again under its key"


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
        leave(doubts, DISABLED, found)
        return found
    for name in sorted({doubt.provider for doubt in doubts}):
        asked, why = [doubt for doubt in doubts if doubt.provider == name], ""
        random.shuffle(asked)  # those that never get a verdict keep no others from theirs
        while asked and not why:
            waiting, why = _settle_some(context, name, asked[:AT_ONCE], found)
            asked = waiting + asked[AT_ONCE:]
        leave(asked, why, found)
    return found


def foresee(context: Context, doubts: Sequence[Doubt]) -> Evidence:
    """What `settle` would send again now (`again`), and why not the others. Writes and sends nothing."""
    found = Evidence()
    if not doubts:
        return found
    desk = Desk(context)
    kept = "" if context.settings.send.enabled else DISABLED
    kept = kept or _rewound(context)
    with context.store.read() as connection:
        desk.now = context.store.now(connection)
        kept = kept or _kept(context, connection, desk.now)
        if kept:
            leave(doubts, kept, found)
            return found
        going = [doubt for doubt, _, _ in _allowed(context, desk, connection, doubts, found)]
        breakers = limits.breakers(connection)
    for doubt in going:
        breaker = breakers.get(doubt.provider, Breaker(doubt.provider))
        if breaker.lets_through(desk.now):
            found.cannot_tell(f"provider {doubt.provider} tells when the same is sent again under its key")
            found.again.add(doubt.held)
        else:
            leave([doubt], _left_alone(breaker), found)
    return found


def leave(doubts: Iterable[Doubt], reason: str, found: Evidence) -> None:
    """Send none of these again now, and say why."""
    for doubt in doubts:
        found.cannot_tell(reason)
        found.later.add(doubt.held)


def _settle_some(
    context: Context, name: str, doubts: Sequence[Doubt], found: Evidence
) -> tuple[list[Doubt], str]:  # fmt: skip
    """One transaction to read, the network, one to record; returns what still waits, and why nothing more is asked."""
    try:
        provider = build_provider(context.settings.providers[name], context.environ)
    except SendctlError as error:  # a secret is not at hand: what else can be settled is, all the same
        return list(doubts), f"provider {name} cannot be asked: {error}"
    desk = Desk(context)
    with desk.transaction() as connection:
        if kept := _kept(context, connection, desk.now):
            return list(doubts), kept
        before = again.hold(connection, [doubt.held for doubt in doubts])
        doubts = [doubt for doubt in doubts if doubt.held in before]  # the others are settled by now
        ready = list(_prepared(context, desk, connection, doubts, found))
        going, why = _let_through(context, desk, connection, name, ready)
        again.mark(connection, [one.doubt.held for one in going], desk.now)
        marked_at = desk.now
    if kept := _rewound(context):  # as after a claim
        return [one.doubt for one in ready], kept
    outcomes = asyncio.run(_sent_again(context, provider, going, marked_at))
    proof = Evidence(again_at=dict.fromkeys((one.doubt.held for one in going), marked_at))
    for one, outcome in zip(going, outcomes, strict=True):
        _conclude(one.doubt, outcome, proof)
    evidence.record(context, proof)
    untaken = [one.doubt.held for one, outcome in zip(going, outcomes, strict=True) if outcome.kind in _NOT_TAKEN]
    _note(desk, name, outcomes, {held: before[held] for held in untaken}, marked_at)
    found.add(proof)
    if outcomes and not any(map(_is_verdict, outcomes)):
        why = f"provider {name} is not asked any more in this pass"
    return [one.doubt for one in ready if one not in going], why


def _kept(context: Context, connection: Connection, now: datetime) -> str:
    """What keeps everything on this host, as it keeps claims from being made; "" when nothing does."""
    still = standstill.at_present(context, connection, now)
    return f"{KEPT}: {still.reason}" if still is not None else ""


def _rewound(context: Context) -> str:
    """Whether the store has forgotten what this host's journals know, of which it need not know yet."""
    reason = rewound_reason(context)
    return f"{KEPT}: the store was rewound: {reason}" if reason else ""


def _let_through(
    context: Context, desk: Desk, connection: Connection, name: str, ready: list[_Again]
) -> tuple[list[_Again], str]:
    """Those that the provider's breaker and its rate let through now, and why nothing goes after them.

    As in a claim, one message finds out whether a provider that was left alone is back; any one, so that a message of
    which the provider never tells does not keep the others waiting.
    """
    if not ready:
        return [], ""
    breakers = Breakers()
    breakers.read(connection, (), desk.now)
    breaker = breakers.of(name)
    if not breaker.lets_through(desk.now):
        return [], _left_alone(breaker)
    going = ready if breaker.state == "closed" else [random.choice(ready)]  # noqa: S311  guards nothing
    rate, why = context.settings.providers[name].rate, ""
    if rate is not None:
        scope = f"provider:{name}"
        count = min(len(going), limits.tokens_at_hand(connection, scope, rate, desk.now))
        limits.spend(connection, scope, count)
        why = f"provider {name} is at its rate: it is asked again in the next pass" if count < len(going) else ""
        going = going[:count]
    if going and breaker.state != "closed":
        limits.probe(connection, breaker, desk.now, context.settings.send.claim_s)
    return going, why


def _left_alone(breaker: Breaker) -> str:
    until = f" until {breaker.retry_at:%Y-%m-%d %H:%M}Z" if breaker.retry_at is not None else ""
    return f"provider {breaker.provider} is left alone{until}, and nothing is sent again there: {breaker.reason}"


def _note(
    desk: Desk, name: str, outcomes: Sequence[Outcome], untaken: Mapping[Held, datetime | None], marked_at: datetime
) -> None:
    """What is learned of the provider here counts for sending too: one that answers is left alone no longer.

    `untaken` were certainly not taken: when they had been handed over again before.
    """
    if not outcomes:
        return
    outcomes = [
        outcome._replace(scope=Scope.RECIPIENT) if outcome.kind is AttemptOutcome.UNKNOWN and outcome.code == CONFLICT
        else outcome for outcome in outcomes
    ]  # fmt: skip
    with desk.transaction() as connection:
        again.take_back(connection, untaken, marked_at)
        breakers = Breakers()
        breakers.read(connection, ((name, outcome) for outcome in outcomes), desk.now)
        breakers.note(connection, name, outcomes, desk.now)


def _prepared(
    context: Context, desk: Desk, connection: Connection, doubts: Sequence[Doubt], found: Evidence
) -> Iterable[_Again]:
    """What is sent again, as it was handed over."""
    press = Press()
    for doubt, due, until in _allowed(context, desk, connection, doubts, found):
        try:
            outgoing = as_handed_over(desk, connection, press, doubt, due)
        except (SendctlError, CannotOpen) as error:
            found.cannot_tell(f"it cannot be rendered as it was: {error}", "render")
            found.later.add(doubt.held)
            continue
        yield _Again(doubt, outgoing, until)


def _allowed(
    context: Context, desk: Desk, connection: Connection, doubts: Sequence[Doubt], found: Evidence
) -> Iterable[tuple[Doubt, Due, datetime]]:
    """What may be sent again, each with its row and until when; of the others `found` says why not."""
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
        ended = bool(ending.known(connection, doubt.campaign_id, calendar.definition, [due]))
        reason = _forbidden(due, calendar, suppressed=due.recipient_key in suppressed, ended=ended, now=desk.now)
        if not reason and fates.had_before(connection, calendar, [due]):
            reason = "its step was removed and is back, and its person has had it before"
        passing = reason or _too_early(desk, connection, doubt, due, calendar)
        if passing:
            found.cannot_tell(passing)
            found.later |= set() if reason else {doubt.held}
            continue
        yield doubt, due, until


def _forbidden(due: Due, calendar: Calendar, *, suppressed: bool, ended: bool, now: datetime) -> str:
    """Why it may not be sent any more if it was not accepted then; "" when it may. As a claim asks (fates.py)."""
    ended = ended or due.enrollment_status in (EnrollmentStatus.STOPPED, EnrollmentStatus.CANCELLED)
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

    async def one(going: _Again) -> Outcome:
        async with slots:
            left_s = min(context.settings.send.deadline_s, (going.until - now).total_seconds())
            deadline = Deadline(context.clock.boot_s() + left_s, context.clock)
            try:
                return await provider.submit(going.outgoing, deadline, _Mark(deadline))
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
