"""The provider: a few connections kept open, and one message carried on one of them at a time.

It never sends a message a second time, save once on a fresh connection when an idle one had been closed by the
server before it answered MAIL: then nothing of the message was accepted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

from sendctl.clock import Deadline
from sendctl.providers.base import Capabilities, Outcome, Outgoing, Phase, PhaseMark
from sendctl.providers.smtp import classify
from sendctl.providers.smtp.connection import Connection, Dropped
from sendctl.providers.smtp.dialogue import (
    NothingAcknowledged,
    Submission,
    clear_refused,
    transact,
    unsendable,
    unsupported,
)
from sendctl.providers.smtp.handshake import SetupFailed, open_connection, tls_context
from sendctl.providers.smtp.replies import ProtocolViolation
from sendctl.providers.smtp.settings import SmtpSettings, settings_from_table
from sendctl.states import AttemptOutcome

_CLOSE_WAIT_S = 2.0
_STOOD_STILL_S = 1.0  # a loop that runs notices a deadline within milliseconds


class SmtpProvider:
    """One relay. Belongs to the event loop that first uses it.

    SMTP has no idempotency key and no lookup (RFC 5321 knows neither): the relay's own log is the evidence.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self.name = settings.name
        self.capabilities = Capabilities()
        self.connections = settings.connections
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[Connection] = []
        self._leaving: set[Connection] = set()
        self._tls: ssl.SSLContext | None = None

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        """Hand over one message within `deadline`; see the Provider protocol.

        Raises only what `mark` raises, and cancellation: in both cases the connection it concerned is aborted.
        """
        refusal = unsendable(message)
        if refusal is not None:
            return refusal
        expires_s = asyncio.get_running_loop().time() + deadline.remaining_s()
        submission = Submission(message, deadline, mark, expires_s=expires_s)
        try:
            async with self._slots:
                return await self._deliver(submission)
        except TimeoutError as error:
            if deadline.remaining_s() < -_STOOD_STILL_S:
                return classify.stood_still(submission.phase)
            return classify.broken(submission.phase, error)
        except SetupFailed as failed:
            return _in_phase(failed.outcome, submission.phase)

    async def close(self) -> None:
        """Say QUIT on every idle connection and wait at most 2 seconds for the answers."""
        while self._idle:
            self._dismiss(self._idle.pop())
        if self._leaving:
            await asyncio.wait([connection.closed for connection in self._leaving], timeout=_CLOSE_WAIT_S)
        for connection in self._leaving:
            connection.abort()
        self._leaving.clear()

    async def _deliver(self, submission: Submission) -> Outcome:
        connection = await self._idle_connection(submission)
        if connection is not None:
            try:
                return await self._carry(connection, submission)
            except NothingAcknowledged:
                pass
        async with asyncio.timeout_at(submission.expires_s):
            connection = await self._open()
        return await self._carry(connection, submission)

    async def _idle_connection(self, submission: Submission) -> Connection | None:
        """An open connection in the state after EHLO, or None."""
        while self._idle:
            connection = self._idle.pop()
            try:
                if connection.needs_reset:
                    async with asyncio.timeout_at(submission.expires_s):
                        await clear_refused(connection, self._settings.reply_timeout_s)
                if connection.quiet():
                    return connection
                connection.abort()
            except (Dropped, ProtocolViolation, TimeoutError):
                connection.abort()
            except BaseException:
                connection.abort()
                raise
        return None

    async def _open(self) -> Connection:
        if self._settings.tls != "none" and self._tls is None:
            self._tls = tls_context(self._settings)
        return await open_connection(self._settings, self._tls)

    async def _carry(self, connection: Connection, submission: Submission) -> Outcome:
        refusal = unsupported(submission.message, connection.extensions)
        if refusal is not None:
            self._idle.append(connection)
            return _in_phase(refusal, submission.phase)
        try:
            submission.begin()
            connection.carried += 1
            outcome = await transact(connection, submission, self._settings.reply_timeout_s)
        except (Dropped, ProtocolViolation) as failure:
            connection.abort()
            return classify.broken(submission.phase, failure)
        except BaseException:
            connection.abort()
            raise
        self._give_back(connection, outcome)
        return outcome

    def _give_back(self, connection: Connection, outcome: Outcome) -> None:
        most = self._settings.messages_per_connection
        # 421 closes the channel (RFC 5321 section 3.8); after "protocol" nobody knows what the server awaits.
        if outcome.code == 421 or outcome.error_class == "protocol":
            connection.abort()
        elif most and connection.carried >= most:
            self._dismiss(connection)
        else:
            self._idle.append(connection)

    def _dismiss(self, connection: Connection) -> None:
        """End a connection politely where the server can hear it: not while it may be awaiting a body."""
        if connection.owed:
            connection.abort()
            return
        connection.quit()
        self._leaving.add(connection)
        connection.closed.add_done_callback(lambda _: self._leaving.discard(connection))


def _in_phase(outcome: Outcome, phase: Phase) -> Outcome:
    """An outcome of the set-up, said of a message whose MAIL had already left on an older connection."""
    if phase is Phase.UNTOUCHED:
        return outcome
    kind = AttemptOutcome.DEFERRED if outcome.kind is AttemptOutcome.UNTOUCHED else outcome.kind
    return outcome._replace(kind=kind, phase=phase)


def smtp_from_table(name: str, options: Mapping[str, object], password: str | None) -> SmtpProvider:
    """The provider that `[providers.NAME]` describes. Raises BadConfig, see `settings_from_table`."""
    return SmtpProvider(settings_from_table(name, options, password))
