"""Settling doubt by asking the service that was handed a message: what it has, it has accepted.

A few are asked about at a time, and what is found is recorded before more are: a kill forgets the answers of a few.
A service over the network is asked at a pace that all hosts share, and not for ever. What it cannot tell of today
must not keep it from being asked about the others, so that they come in no order.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.engine import Connection

from sendctl import faults
from sendctl.errors import SendctlError
from sendctl.passes import absence, evidence
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.evidence import Evidence
from sendctl.passes.handed_over import UNKNOWN_CONTENTS, as_handed_over
from sendctl.passes.rendered import Press
from sendctl.providers.base import Lookup, Outcome, Phase, Sought
from sendctl.providers.facts import FACTS, can_tell
from sendctl.providers.registry import build_provider
from sendctl.sealing import CannotOpen
from sendctl.states import AttemptOutcome
from sendctl.store import claims, limits, rivals
from sendctl.store.doubts import Doubt, Held

AT_ONCE = 20
ASK_FOR_S = 60.0  # of one service in one pass
PLANNED_MOST = 100  # a plan only shows what can be expected, and takes nothing of the pace
RIVALS_WITHIN = timedelta(hours=3)  # services are asked for an hour around an attempt, and clocks differ
_IN_A_ROW = 3  # so many failures mean that the service is away


def ask(context: Context, wanted: Sequence[Doubt], *, record: bool) -> tuple[Evidence, list[Doubt]]:
    """What services say of these, and the doubts about which none can be asked.

    `record` writes what is proven, and asks all that the pace allows; without it nothing is written.
    """
    found, left = Evidence(), list[Doubt]()
    for name in sorted({doubt.provider for doubt in wanted}):
        mine = [doubt for doubt in wanted if doubt.provider == name]
        try:
            provider = _lookup(context, name)
        except SendctlError as error:  # a secret is not at hand: the others are asked all the same
            for doubt in mine:
                found.cannot_tell(f"provider {name} cannot be asked: {error}")
                found.unanswered.add(doubt.held)
            continue
        if provider is None:
            left += mine
        else:
            _Inquiry(context, name, provider, found, record=record).ask(mine)
    return found, left


def _lookup(context: Context, name: str) -> Any:
    """The provider, if it can be asked; else None, without asking for its secrets. Raises SendctlError."""
    table = context.settings.providers.get(name)
    if table is None or (table.type in FACTS and not can_tell(table.type)):
        return None
    one = build_provider(table, context.environ)
    return one if isinstance(one, Lookup) and one.capabilities.lookup else None


@dataclass
class _Inquiry:
    """All that one provider is asked in one pass."""

    context: Context
    name: str
    provider: Any  # a Lookup
    found: Evidence
    record: bool
    press: Press = field(default_factory=Press)
    asked: int = 0
    until_s: float = 0.0  # of the boot-time clock
    failures: int = 0  # one after the other
    reason: str = ""  # of the last

    def ask(self, wanted: list[Doubt]) -> None:
        if self._is_paced():
            random.shuffle(wanted)
        self.until_s = self.context.clock.boot_s() + ASK_FOR_S
        while wanted and self.failures < _IN_A_ROW:
            some = wanted[: self._granted(min(len(wanted), AT_ONCE))]
            if not some:
                break
            self._settle(some)
            wanted = wanted[len(some) :]
        for doubt in wanted:
            self._leave(doubt, self.found)

    def _leave(self, doubt: Doubt, proof: Evidence) -> None:
        """For the next pass."""
        if self.failures >= _IN_A_ROW:
            self._leave_unanswered(doubt, proof)
        else:
            proof.cannot_tell(f"provider {self.name} is asked about more of them in the next pass")
            proof.unasked.add(doubt.held)

    def _leave_unanswered(self, doubt: Doubt, proof: Evidence) -> None:
        proof.cannot_tell(self.reason)
        if self._is_paced():  # a service may answer the next time; a file that cannot be read is for a person to mend
            proof.unanswered.add(doubt.held)

    def _is_paced(self) -> bool:
        return self.provider.capabilities.lookup_pace is not None

    def _is_over(self) -> bool:
        return self.failures >= _IN_A_ROW or (self._is_paced() and self.context.clock.boot_s() >= self.until_s)

    def _granted(self, most: int) -> int:
        """How many may be asked about now, of so many at the most."""
        pace = self.provider.capabilities.lookup_pace
        if pace is None:
            return most
        if not self.record:
            return min(most, PLANNED_MOST - self.asked)
        if self._is_over():
            return 0
        with self.context.store.write() as connection:
            scope, now = f"lookup:{self.name}", self.context.store.now(connection)
            granted = min(most, limits.tokens_at_hand(connection, scope, pace, now))
            limits.spend(connection, scope, granted)
        return granted

    def _settle(self, some: Sequence[Doubt]) -> None:
        desk = Desk(self.context)
        with self.context.store.read() as connection:
            sought, now = list(self._sought(desk, connection, some)), self.context.store.now(connection)
        proof = Evidence()
        for doubt, it in sought:
            self._ask(doubt, it, proof, now)
        if self.record:
            asked = {doubt.held: doubt for doubt, _ in sought}
            evidence.record(self.context, proof, partial(self._leave_out_rivals, asked))
        self.found.add(proof)

    def _leave_out_rivals(self, asked: Mapping[Held, Doubt], connection: Connection, proof: Evidence) -> None:
        """Another message may have been handed over since we looked, and what was found may be that one's.

        Its claim was committed before the service got it. Rivals first: one that is none any more has its id by then.
        """
        if not self.provider.capabilities.lookup_by_content:
            return
        for held, outcome in list(proof.accepted.items()):
            doubt = asked[held]
            if self._has_rivals(connection, doubt):
                self._tell_rivals(doubt, proof)
            elif rivals.is_anothers(connection, outcome.provider_message_id, doubt):
                proof.cannot_tell(f"provider {self.name} has nothing like it but what is another message's")
                proof.unasked.add(held)  # the next pass asks for one that is not that
            else:
                continue
            del proof.accepted[held]
            proof.asked.discard(held)

    def _has_rivals(self, connection: Connection, doubt: Doubt) -> bool:
        tables = self.context.settings.providers
        kind = tables[self.name].type
        return rivals.has_rivals(
            connection, doubt, RIVALS_WITHIN, [name for name, table in tables.items() if table.type != kind]
        )

    def _tell_rivals(self, doubt: Doubt, proof: Evidence) -> None:
        proof.unanswered.add(doubt.held)  # the other one may be in flight, or be proven soon
        proof.cannot_tell(
            f"provider {self.name} would be asked by the contents, and another message to the same address"
            " was handed over about then, of which it is not known either"
        )

    def _sought(self, desk: Desk, connection: Connection, some: Sequence[Doubt]) -> Iterator[tuple[Doubt, Sought]]:
        by_content = self.provider.capabilities.lookup_by_content
        dues = claims.by_id(connection, [doubt.message_id for doubt in some]) if by_content else {}
        for doubt in some:
            it = evidence.sought(desk, connection, doubt)
            if not by_content:
                yield doubt, it
                continue
            due = dues[doubt.message_id]
            if self._has_rivals(connection, doubt):
                self._tell_rivals(doubt, self.found)
                continue
            if due.revision is None or due.composed_at is None:
                self.found.cannot_tell(UNKNOWN_CONTENTS)
                continue
            try:
                content = as_handed_over(desk, connection, self.press, doubt, due).content
            except (SendctlError, CannotOpen) as error:
                self.found.cannot_tell(f"it cannot be rendered as it was: {error}", "render")
                continue
            yield doubt, it._replace(content=content, is_another=partial(self._is_anothers, doubt))

    def _is_anothers(self, doubt: Doubt, known: str) -> bool:
        with self.context.store.read() as connection:
            return rivals.is_anothers(connection, known, doubt)

    def _ask(self, doubt: Doubt, it: Sought, proof: Evidence, now: datetime) -> None:
        if self._is_over():
            self._leave(doubt, proof)
            return
        self.asked += 1
        try:
            known = self.provider.find(it)
            faults.passing("lookup.answered")
            silent = "" if known is not None else absence.unproven(self.context, doubt, self.provider, now)
        except OSError as error:
            self.failures += 1
            self.reason = f"provider {self.name} cannot be asked: {error.strerror}"
            self._leave_unanswered(doubt, proof)
            return
        self.failures = 0
        if silent:
            proof.cannot_tell(f"provider {self.name} {silent}")
            proof.later |= {doubt.held} if absence.may_be_proven(self.context, doubt, now) else set()
            return
        proof.asked.add(doubt.held)
        if known is None:
            text = f"provider {self.name} does not have it"
            proof.absent[doubt.held] = Outcome(
                AttemptOutcome.DEFERRED, Phase.DOTTED, text=text, error_class="not_there"
            )
            return
        if doubt.again_at is not None:  # taken then, or at first: whatever keeps a distance from it takes the later one
            proof.again_at[doubt.held] = doubt.again_at
        proof.accepted[doubt.held] = Outcome(
            AttemptOutcome.ACCEPTED, Phase.REPLIED, text=f"provider {self.name} has it", provider_message_id=known
        )
