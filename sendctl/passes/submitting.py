"""S(k): render and submit what was claimed, over lanes that live as long as the pass. No transaction is open meanwhile.

One bad recipient, template or reply never stops the others; a provider that is down, a Halt, a broken journal or
a drain leaves the rest untouched, and that is said of each message.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sendctl import faults
from sendctl.clock import Clock, Deadline, Lease
from sendctl.definition import Definition, fingerprint
from sendctl.errors import SendctlError
from sendctl.journal.writer import AttemptMark, JournalWriter
from sendctl.passes.claiming import Claimed, Done, Window
from sendctl.passes.rendered import Press
from sendctl.providers.base import ClaimExpired, Job, Outcome, Outgoing, Phase, Provider, Scope, Streaming
from sendctl.states import AttemptOutcome

log = logging.getLogger("sendctl")
PROVIDER_DEFERRALS_TO_STOP = 3
_UNTOUCHED = Outcome(AttemptOutcome.UNTOUCHED, Phase.UNTOUCHED)


class _Entry(NamedTuple):
    """One claimed message that waits for a lane."""

    claimed: Claimed
    definition: Definition
    contents: str  # definition.fingerprint
    lease: Lease


@dataclass
class _Line:
    """What waits for one provider, the lanes that serve it, and those of them that have nothing to do."""

    provider: Provider
    queue: deque[_Entry] = field(default_factory=deque)
    lanes: list[asyncio.Task[None]] = field(default_factory=list)
    hungry: deque[asyncio.Future[None]] = field(default_factory=deque)
    feeds: list[_Feed] = field(default_factory=list)

    def wake(self, most: int) -> int:
        """Let so many lanes look again; returns how many there were."""
        count = min(most, len(self.hungry))
        for _ in range(count):
            self.hungry.popleft().set_result(None)
        return count


@dataclass
class Submitter:
    """Submits for one worker. `draining` may be set from outside: begin nothing more."""

    clock: Clock
    journal: JournalWriter
    providers: Mapping[str, Provider]
    press: Press
    deadline_s: float
    draining: bool = False
    in_flight: int = 0  # messages that a provider has taken and not ended
    _done: list[Done] = field(default_factory=list)
    _lines: dict[str, _Line] = field(default_factory=dict)
    _shut: set[str] = field(default_factory=set)
    _deferrals: Counter[str] = field(default_factory=Counter)
    _halted: set[int] = field(default_factory=set)  # campaigns
    _failure: BaseException | None = None  # that ended a lane, and ends the pass
    _waiter: asyncio.Future[None] | None = None
    _ahead: int | None = None
    _closed: bool = False

    def add(self, window: Window, definitions: Mapping[int, Definition]) -> None:
        """Have the messages of a window submitted. `definitions` by revision."""
        if not self.busy:  # what is under way may be of a campaign or provider that was stopped just now
            self._shut, self._deferrals, self._halted = set(), Counter(), set()
        contents = {revision: fingerprint(definition) for revision, definition in definitions.items()}
        assert window.lease is not None
        for claimed in window.messages:
            entry = _Entry(claimed, definitions[claimed.revision], contents[claimed.revision], window.lease)
            line = self._lines.get(claimed.provider)
            if line is None:
                line = self._lines[claimed.provider] = _Line(self.providers[claimed.provider])
            line.queue.append(entry)
        for line in self._lines.values():
            wanted = len(line.queue) - line.wake(len(line.queue))
            for _ in range(min(line.provider.connections - len(line.lanes), wanted)):
                line.lanes.append(asyncio.create_task(self._lane(line)))

    @property
    def busy(self) -> bool:
        """Whether something was added of which the outcome is not known."""
        return self.in_flight > 0 or self.waiting > 0

    @property
    def waiting(self) -> int:
        """How many wait for a lane."""
        return sum(len(line.queue) for line in self._lines.values())

    @property
    def ended(self) -> int:
        """Of how many messages `collect` would tell."""
        return len(self._done)

    def under_way(self) -> list[Claimed]:
        """The messages in flight, and of those that wait for a lane one for each claim: it has them all or none."""
        lines = self._lines.values()
        waiting = {entry.claimed.claim_id: entry.claimed for line in lines for entry in line.queue}
        return [claimed for line in lines for feed in line.feeds for claimed in feed.open()] + list(waiting.values())

    def collect(self) -> list[Done]:
        """What came of messages since it was last asked, in order of completion."""
        done, self._done = self._done, []
        return done

    async def progress(self, *, ahead: int | None) -> None:
        """Wait until nothing is under way; given `ahead`, and nothing going wrong, until so few wait and one has ended.

        Raises what ended a lane: a defect, or a journal that cannot be written.
        """
        self._ahead = ahead
        while not self._may_go_on():  # again: more may have ended between the wake-up and here
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
            self._waiter = None
        if self._failure is not None:
            raise self._failure

    async def finish(self) -> None:
        """Begin nothing more, and wait for what is in flight. Never raises for what ended a lane."""
        self.draining = self._closed = True
        lanes = [lane for line in self._lines.values() for lane in line.lanes]
        for line in self._lines.values():
            line.wake(len(line.hungry))
        if lanes:
            await asyncio.wait(lanes)

    # -- lanes ----------------------------------------------------------------------------------------------------

    async def _lane(self, line: _Line) -> None:
        feed = _Feed(self, line)
        line.feeds.append(feed)
        try:
            if isinstance(line.provider, Streaming):
                await line.provider.stream(feed)
            else:
                await _one_by_one(line.provider, feed)
        except BaseException as failure:
            self._failure = self._failure or failure
            self.draining = True
        self._changed()

    def _may_go_on(self) -> bool:
        if self._failure is not None:
            return True
        if self._ahead is None or self.draining or self._shut or self._halted or self.journal.broken:
            return not self.busy
        return self.waiting <= self._ahead and self.ended > 0

    def _changed(self) -> None:
        if self._waiter is not None and not self._waiter.done() and self._may_go_on():
            self._waiter.set_result(None)

    def may_begin(self, claimed: Claimed) -> bool:
        """Whether nothing forbids that this message begins, or goes on to its body."""
        shut = claimed.provider in self._shut or claimed.due.campaign_id in self._halted
        return not (self.draining or shut or self.journal.broken)

    def taken(self) -> None:
        """A lane has taken a message."""
        self.in_flight += 1
        self._changed()

    def over(self, claimed: Claimed, outcome: Outcome, *, taken: bool) -> None:
        """A message has ended."""
        self.in_flight -= taken
        if outcome.phase is not Phase.UNTOUCHED:
            self.journal.outcome(claimed.due.id, claimed.number, outcome)
            faults.passing("journal.outcome")
        self._done.append(Done(claimed, outcome, self.clock.boot_s()))
        if outcome.kind is not AttemptOutcome.ACCEPTED:
            self._heed(claimed, outcome)
        self._changed()

    def _heed(self, claimed: Claimed, outcome: Outcome) -> None:
        """What an outcome means for the rest."""
        if outcome.scope is Scope.CAMPAIGN and outcome.kind is AttemptOutcome.HALTED:
            self._halted.add(claimed.due.campaign_id)
        if outcome.scope is not Scope.PROVIDER:
            return
        self._deferrals[claimed.provider] += 1
        stopping = outcome.kind in (AttemptOutcome.HALTED, AttemptOutcome.UNTOUCHED)
        if stopping or outcome.retry_after_s or self._deferrals[claimed.provider] >= PROVIDER_DEFERRALS_TO_STOP:
            self._shut.add(claimed.provider)

    async def wait_for_more(self, line: _Line) -> bool:
        """Wait until something may wait for a lane of this line; False when nothing ever will."""
        if self._closed:
            return False
        waiting = asyncio.get_running_loop().create_future()
        line.hungry.append(waiting)
        await waiting
        return not self._closed


async def _one_by_one(provider: Provider, feed: _Feed) -> None:
    """The lane of a provider that takes a message when the last one is answered."""
    while True:
        job = feed.take()
        if job is None:
            if not await feed.more():
                return
            continue
        try:
            outcome = await provider.submit(*job)
        except Exception as error:  # what the mark raised, or a defect of an adapter
            feed.fail(job, error)
        else:
            feed.end(job, outcome)


class _Feed:
    """What one lane is given, and what it says of it; see the Feed protocol."""

    def __init__(self, submitter: Submitter, line: _Line) -> None:
        self._submitter = submitter
        self._line = line
        self._taken: dict[int, tuple[Claimed, AttemptMark]] = {}  # by message, not ended yet

    def take(self) -> Job | None:
        submitter, queue = self._submitter, self._line.queue
        while queue:
            entry = queue.popleft()
            claimed = entry.claimed
            if not submitter.may_begin(claimed):
                submitter.over(claimed, _UNTOUCHED, taken=False)
                continue
            outgoing = self._rendered(entry)
            if outgoing is None:
                continue
            ends_s = min(submitter.clock.boot_s() + submitter.deadline_s, entry.lease.at_boot_s)
            deadline = Deadline(ends_s, submitter.clock)
            mark = AttemptMark(
                submitter.journal, message_id=claimed.due.id, number=claimed.number, claim_id=claimed.claim_id,
                key=claimed.due.key, provider=claimed.provider, contents=entry.contents,
                composed_at=claimed.composed_at.timestamp(), deadline=deadline, lease=entry.lease,
                deadline_s=submitter.deadline_s,
            )  # fmt: skip
            self._taken[claimed.due.id] = claimed, mark
            submitter.taken()
            return Job(outgoing, deadline, mark)
        return None

    async def more(self) -> bool:
        return await self._submitter.wait_for_more(self._line)

    def goes_on(self, job: Job) -> bool:
        # Its time began with its envelope: with little of it left, a slow answer would be doubt.
        enough = job.deadline.remaining_s() >= self._submitter.deadline_s / 2
        return enough and self._submitter.may_begin(self._taken[job.message.message_id][0])

    def open(self) -> list[Claimed]:
        """What this lane has taken and not ended."""
        return [claimed for claimed, _ in self._taken.values()]

    def _rendered(self, entry: _Entry) -> Outgoing | None:
        """The message, or None when it cannot be made, which is its outcome."""
        claimed = entry.claimed
        try:
            return self._submitter.press.render(entry.definition, claimed)
        except SendctlError as error:
            text, error_class = str(error)[:500], "render"
        except Exception:  # damaged data, or a defect of ours: this message's own, never the others'
            log.exception("message %s cannot be rendered", claimed.due.id)
            text, error_class = "sendctl failed while rendering; see the log", "internal"
        refused = Outcome(AttemptOutcome.REFUSED, Phase.UNTOUCHED, text=text, error_class=error_class)
        self._submitter.over(claimed, refused, taken=False)
        return None

    def end(self, job: Job, outcome: Outcome) -> None:
        claimed, _ = self._taken.pop(job.message.message_id)
        self._submitter.over(claimed, outcome, taken=True)

    def fail(self, job: Job, error: Exception) -> None:
        claimed, mark = self._taken.pop(job.message.message_id)
        if isinstance(error, ClaimExpired):
            text = self._submitter.journal.broken or "the claim or the deadline was over before the last byte left"
            outcome = Outcome(AttemptOutcome.UNTOUCHED, mark.phase, text=text)
        else:  # a defect of ours in an adapter: the phase still says what may be assumed
            log.error("provider %s failed on message %s", claimed.provider, claimed.due.id, exc_info=error)
            outcome = defect(mark.phase)
        self._submitter.over(claimed, outcome, taken=True)


def defect(phase: Phase) -> Outcome:
    """What may be assumed of a message when an adapter failed that had got so far with it."""
    text = "sendctl failed while submitting; see the log"
    kind = AttemptOutcome.UNKNOWN if phase is Phase.DOTTED else AttemptOutcome.DEFERRED
    return Outcome(kind, phase, text=text, error_class="internal")
