"""The connections of one relay: those that wait for a message, and those that are saying goodbye.

It opens, keeps and dismisses; what a message's fate is, it never decides.
"""

from __future__ import annotations

import asyncio
import ssl

from sendctl.providers.base import Outcome
from sendctl.providers.smtp.connection import Connection, Dropped
from sendctl.providers.smtp.dialogue import clear_refused
from sendctl.providers.smtp.handshake import open_connection, tls_context
from sendctl.providers.smtp.replies import ProtocolViolation
from sendctl.providers.smtp.settings import SmtpSettings

_CLOSE_WAIT_S = 2.0


class Pool:
    """Belongs to the event loop that first uses it. `slots` holds no more lanes than there may be connections."""

    def __init__(self, settings: SmtpSettings) -> None:
        self.slots = asyncio.Semaphore(settings.connections)
        self._settings = settings
        self._idle: list[Connection] = []
        self._leaving: set[Connection] = set()
        self._tls: ssl.SSLContext | None = None

    async def idle(self, expires_s: float) -> Connection | None:
        """An open connection in the state after EHLO, or None. Raises TimeoutError."""
        while self._idle:
            connection = self._idle.pop()
            try:
                if connection.needs_reset:
                    async with asyncio.timeout_at(expires_s):
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

    async def open(self, expires_s: float) -> Connection:
        """A new connection. Raises SetupFailed, TimeoutError."""
        if self._settings.tls != "none" and self._tls is None:
            self._tls = tls_context(self._settings)
        async with asyncio.timeout_at(expires_s):
            connection = await open_connection(self._settings, self._tls)
        if not self._settings.pipelining:
            connection.extensions.pop("PIPELINING", None)
        return connection

    def may_carry_another(self, connection: Connection) -> bool:
        """Whether one more message may be begun on a connection."""
        most = self._settings.messages_per_connection
        return not most or connection.carried < most

    def park(self, connection: Connection) -> None:
        """Keep a connection for whoever comes next."""
        self._idle.append(connection)

    def give_back(self, connection: Connection, outcome: Outcome) -> None:
        """After a message that ended with `outcome`."""
        # 421 closes the channel (RFC 5321 section 3.8); after "protocol" nobody knows what the server awaits.
        if outcome.code == 421 or outcome.error_class == "protocol":
            connection.abort()
        elif self.may_carry_another(connection):
            self.park(connection)
        else:
            self._dismiss(connection)

    def _dismiss(self, connection: Connection) -> None:
        """End a connection politely where the server can hear it: not while it may be awaiting a body."""
        if connection.owed:
            connection.abort()
            return
        connection.quit()
        self._leaving.add(connection)
        connection.closed.add_done_callback(lambda _: self._leaving.discard(connection))

    async def close(self) -> None:
        """Say QUIT on every idle connection and wait at most 2 seconds for the answers."""
        while self._idle:
            self._dismiss(self._idle.pop())
        if self._leaving:
            await asyncio.wait([connection.closed for connection in self._leaving], timeout=_CLOSE_WAIT_S)
        for connection in self._leaving:
            connection.abort()
        self._leaving.clear()
