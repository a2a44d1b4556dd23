"""S(k): render and submit one claimed window. No transaction is open while the network is in use.

One bad recipient, template or reply never stops the others; a provider that is down, a Halt, a broken journal or
a drain leaves the rest of the window untouched, and that is said of each message.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from sendctl import faults
from sendctl.clock import Clock, Deadline
from sendctl.definition import Definition, fingerprint
from sendctl.errors import SendctlError
from sendctl.journal.writer import AttemptMark, JournalWriter
from sendctl.passes.claiming import Claimed, Done, Window
from sendctl.passes.rendered import Press
from sendctl.providers.base import ClaimExpired, Outcome, Phase, Provider, Scope
from sendctl.states import AttemptOutcome

log = logging.getLogger("sendctl")
PROVIDER_DEFERRALS_TO_STOP = 3


@dataclass
class Submitter:
    """Submits windows for one worker. `draining` is set from outside: begin nothing more."""

    clock: Clock
    journal: JournalWriter
    providers: Mapping[str, Provider]
    press: Press
    deadline_s: float
    draining: bool = False
    _shut: set[str] = field(default_factory=set)
    _deferrals: Counter[str] = field(default_factory=Counter)
    _campaign_halted: bool = False
    _fingerprints: dict[int, tuple[Definition, str]] = field(default_factory=dict)  # by the definition's id()

    async def submit(self, window: Window, definitions: Mapping[int, Definition]) -> list[Done]:
        """What came of each message of the window, in order of completion. `definitions` by revision."""
        self._shut, self._deferrals, self._campaign_halted = set(), Counter(), False
        queues: dict[str, deque[Claimed]] = {}
        for claimed in window.messages:
            queues.setdefault(claimed.provider, deque()).append(claimed)
        done: list[Done] = []
        lanes = [
            self._lane(self.providers[name], queue, window, definitions, done)
            for name, queue in queues.items()
            for _ in range(min(self.providers[name].connections, len(queue)))
        ]
        await asyncio.gather(*lanes)
        untouched = Outcome(AttemptOutcome.UNTOUCHED, Phase.UNTOUCHED)
        now = self.clock.boot_s()
        return done + [Done(claimed, untouched, now) for queue in queues.values() for claimed in queue]

    def _may_begin(self, provider: str) -> bool:
        return not (self.draining or self._campaign_halted or self.journal.broken or provider in self._shut)

    async def _lane(
        self, provider: Provider, queue: deque[Claimed], window: Window, definitions: Mapping[int, Definition],
        done: list[Done],
    ) -> None:  # fmt: skip
        while queue and self._may_begin(provider.name):
            claimed = queue.popleft()
            outcome = await self._one(provider, claimed, window, definitions[claimed.revision])
            if outcome.phase is not Phase.UNTOUCHED:
                self.journal.outcome(claimed.due.id, claimed.number, outcome)
                faults.passing("journal.outcome")
            done.append(Done(claimed, outcome, self.clock.boot_s()))
            self._heed(provider.name, outcome)

    def _heed(self, provider: str, outcome: Outcome) -> None:
        """What an outcome means for the rest of the window."""
        if outcome.scope is Scope.CAMPAIGN and outcome.kind is AttemptOutcome.HALTED:
            self._campaign_halted = True
        if outcome.scope is not Scope.PROVIDER:
            return
        self._deferrals[provider] += 1
        stopping = outcome.kind in (AttemptOutcome.HALTED, AttemptOutcome.UNTOUCHED)
        if stopping or self._deferrals[provider] >= PROVIDER_DEFERRALS_TO_STOP:
            self._shut.add(provider)

    async def _one(self, provider: Provider, claimed: Claimed, window: Window, definition: Definition) -> Outcome:
        try:
            outgoing = self.press.render(definition, claimed)
        except SendctlError as error:
            return Outcome(AttemptOutcome.REFUSED, Phase.UNTOUCHED, text=str(error)[:500], error_class="render")
        except Exception:  # damaged data, or a defect of ours: this message's own, never the others'
            log.exception("message %s cannot be rendered", claimed.due.id)
            text = "sendctl failed while rendering; see the log"
            return Outcome(AttemptOutcome.REFUSED, Phase.UNTOUCHED, text=text, error_class="internal")
        assert window.lease is not None
        ends = min(self.clock.boot_s() + self.deadline_s, window.lease.at_boot_s)
        deadline = Deadline(ends, self.clock)
        mark = AttemptMark(
            self.journal, message_id=claimed.due.id, number=claimed.number, claim_id=claimed.claim_id,
            key=claimed.due.key, provider=provider.name, contents=self._fingerprint(definition),
            composed_at=claimed.composed_at.timestamp(), deadline=deadline, lease=window.lease,
            deadline_s=self.deadline_s,
        )  # fmt: skip
        try:
            return await provider.submit(outgoing, deadline, mark)
        except ClaimExpired:
            text = self.journal.broken or "the claim or the deadline was over before the last byte left"
            return Outcome(AttemptOutcome.UNTOUCHED, mark.phase, text=text)
        except Exception:  # a defect of ours in an adapter: the phase still says what may be assumed
            log.exception("provider %s failed on message %s", provider.name, claimed.due.id)
            return _defect(mark)

    def _fingerprint(self, definition: Definition) -> str:
        """Of one that lives as long as this entry: definitions are kept, and hashing one takes longer than a lookup."""
        known = self._fingerprints.get(id(definition))
        if known is None or known[0] is not definition:
            known = self._fingerprints[id(definition)] = (definition, fingerprint(definition))
        return known[1]


def _defect(mark: AttemptMark) -> Outcome:
    text = "sendctl failed while submitting; see the log"
    kind = AttemptOutcome.UNKNOWN if mark.phase is Phase.DOTTED else AttemptOutcome.DEFERRED
    return Outcome(kind, mark.phase, text=text, error_class="internal")
