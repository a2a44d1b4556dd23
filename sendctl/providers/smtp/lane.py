"""Messages one after the other on one connection at a time, each begun while the last one's answer is under way.

The next envelope leaves behind a message's dot, in the same bytes (RFC 2920 section 3.1), so that a message costs one
round trip. Nothing of the next one can be accepted by that: its body has not left. It never sends a message a second
time, save on a fresh connection when the one that its envelope left on ended before the server answered any of it.
"""

from __future__ import annotations

import asyncio

from sendctl.providers.base import Feed, Outcome, Phase
from sendctl.providers.smtp import classify
from sendctl.providers.smtp.connection import Connection, Dropped
from sendctl.providers.smtp.dialogue import NothingAcknowledged, Submission, envelope, transact, unsendable, unsupported
from sendctl.providers.smtp.handshake import SetupFailed
from sendctl.providers.smtp.pool import Pool
from sendctl.providers.smtp.replies import ProtocolViolation
from sendctl.states import AttemptOutcome

_STOOD_STILL_S = 1.0  # a loop that runs notices a deadline within milliseconds


class Lane:
    """Carries what a feed gives, until it gives no more."""

    def __init__(self, pool: Pool, feed: Feed, reply_timeout_s: float) -> None:
        self._pool = pool
        self._feed = feed
        self._reply_timeout_s = reply_timeout_s
        self._ahead: Submission | None = None  # begun behind the last dot, or found not to fit there
        self._overtaken = False  # whether the message before it used up the time of both

    async def run(self) -> None:
        """End every message that was taken. Raises only what cancels it; its connection is then aborted."""
        async with self._pool.slots:
            while (submission := await self._next()) is not None:
                try:
                    outcome = await self._outcome(submission)
                except Exception as error:  # what the mark raised, or a defect: this message's own
                    self._feed.fail(submission.job, error)
                else:
                    self._feed.end(submission.job, outcome)

    async def _next(self) -> Submission | None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and self._feed.goes_on(ahead.job):
            return ahead
        if ahead is not None:
            self._withdraw(ahead)
        while (submission := self._taken()) is None:
            if not await self._feed.more():
                return None
        return submission

    def _withdraw(self, ahead: Submission) -> None:
        """Its body may not follow: the server is left waiting for it, on a connection that is given up."""
        if ahead.offered_on is not None:
            ahead.offered_on.abort()
        self._overtaken = False
        self._feed.end(ahead.job, classify.withdrawn(ahead.phase))

    def _taken(self) -> Submission | None:
        """The next message that any server could be handed."""
        while (job := self._feed.take()) is not None:
            refusal = unsendable(job.message)
            if refusal is None:
                expires_s = asyncio.get_running_loop().time() + job.deadline.remaining_s()
                return Submission(job, expires_s=expires_s)
            self._feed.end(job, refusal)
        return None

    async def _outcome(self, submission: Submission) -> Outcome:
        overtaken, self._overtaken = self._overtaken, False
        try:
            return await self._deliver(submission)
        except TimeoutError as error:
            if submission.job.deadline.remaining_s() < -_STOOD_STILL_S:
                return classify.stood_still(submission.phase)
            if overtaken and submission.phase is not Phase.DOTTED:
                return classify.overtaken(submission.phase)
            if self._ahead is not None:
                self._overtaken = True
            return classify.broken(submission.phase, error)
        except SetupFailed as failed:
            return _in_phase(failed.outcome, submission.phase)

    async def _deliver(self, submission: Submission) -> Outcome:
        connection = submission.offered_on or await self._pool.idle(submission.expires_s)
        if connection is not None:
            try:
                return await self._carry(connection, submission)
            except NothingAcknowledged:
                submission.offered_on = None
        return await self._carry(await self._pool.open(submission.expires_s), submission)

    async def _carry(self, connection: Connection, submission: Submission) -> Outcome:
        try:
            if submission.offered_on is None:
                refusal = unsupported(submission.job.message, connection.extensions)
                if refusal is not None:
                    self._pool.park(connection)
                    return _in_phase(refusal, submission.phase)
                submission.begin()
                connection.carried += 1
            outcome = await transact(connection, submission, self._reply_timeout_s, self._follow)
        except (Dropped, ProtocolViolation) as failure:
            self._lose(connection)
            return classify.broken(submission.phase, failure)
        except BaseException:
            self._lose(connection)
            raise
        if self._ahead is None or self._ahead.offered_on is None:
            self._pool.give_back(connection, outcome)
        elif outcome.kind is not AttemptOutcome.ACCEPTED:
            # A server that refuses a body may do so before its end, and take the rest for commands.
            self._lose(connection)
        return outcome

    def _lose(self, connection: Connection) -> None:
        """Whatever was begun on a connection without a body goes on elsewhere: nothing of it can be accepted here."""
        connection.abort()
        if self._ahead is not None:
            self._ahead.offered_on = None

    def _follow(self, connection: Connection) -> bytes:
        """The envelope of the next message, to leave behind the dot of this one; empty when there is none."""
        if "PIPELINING" not in connection.extensions or not self._pool.may_carry_another(connection):
            return b""
        self._ahead = self._taken()
        if self._ahead is None or unsupported(self._ahead.job.message, connection.extensions) is not None:
            return b""
        try:
            self._ahead.begin()
        except Exception:  # said again, and heard, in its own turn
            return b""
        connection.carried += 1
        self._ahead.offered_on = connection
        return b"".join(envelope(self._ahead.job.message, connection.extensions))


def _in_phase(outcome: Outcome, phase: Phase) -> Outcome:
    """An outcome of the set-up, said of a message whose MAIL had already left on an older connection."""
    if phase is Phase.UNTOUCHED:
        return outcome
    kind = AttemptOutcome.DEFERRED if outcome.kind is AttemptOutcome.UNTOUCHED else outcome.kind
    return outcome._replace(kind=kind, phase=phase)
