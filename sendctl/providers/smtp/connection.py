"""One TCP or TLS connection to a server: bytes out, replies in. It never decides what a reply means."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import cast

from sendctl.providers.smtp.replies import ProtocolViolation, Reply, ReplyParser
from sendctl.providers.text import printable

# More replies than any group of commands of ours can bring: the server is babbling.
_REPLIES_MAX = 16
_QUIT_WAIT_S = 2.0


class Dropped(Exception):
    """The connection ended: closed, reset or aborted; `str(error)` is printable."""


class Connection(asyncio.Protocol):
    """A connection and what is known about it. One task at a time uses it.

    `extensions` are the keywords of the last EHLO with their parameters; `carried` counts the messages begun
    on it; `owed` counts replies of a refused pipelined group that have not been read yet, and `needs_reset`
    says that a refused transaction is still open on the server.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._replies: deque[Reply] = deque()
        self._failure: Dropped | ProtocolViolation | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._expires_s: float | None = None  # of the current wait, on the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._quitting = False
        self.closed: asyncio.Future[None] = loop.create_future()
        self.extensions: dict[str, str] = {}
        self.carried = 0
        self.owed = 0
        self.recipient_refused = False
        self.needs_reset = False

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # `drained` means drained: the protocol is told to pause while a single byte is waiting.
        self._transport.set_write_buffer_limits(high=0)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the dot must not wait for the body's ACK

    def data_received(self, data: bytes) -> None:
        if self._quitting:
            self.abort()
            return
        try:
            self._parser.feed(data, self._replies)
            if len(self._replies) > _REPLIES_MAX:
                raise ProtocolViolation(f"more than {_REPLIES_MAX} replies that nobody asked for")
        except ProtocolViolation as violation:
            self._fail(violation)
        if self._replies:
            self._wake()

    def eof_received(self) -> None:
        self._fail(Dropped("the server closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        reason = printable(str(exc) or type(exc).__name__) if exc else "the server closed the connection"
        self._fail(Dropped(reason))
        if self._timer is not None:
            self._timer.cancel()
        self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    # Used by the dialogue.

    def write(self, data: bytes) -> None:
        """Send bytes. A broken connection shows when a reply is awaited."""
        self._open_transport().write(data)

    async def drained(self, expires_s: float) -> None:
        """Return when every byte written has left our buffers, or a reply has come instead.

        Left means given to the kernel; under TLS, all but what its layer may buffer: the dot is then marked a moment
        early, which can make a doubt but never hide one.
        Raises TimeoutError at `expires_s` on the loop's clock, Dropped, ProtocolViolation.
        """
        while self._paused and not self._replies and self._failure is None:
            await self._event(expires_s)
        if self._replies:
            return
        if self._failure is not None:
            raise self._failure
        if self._open_transport().is_closing():  # a write failed just now; the loop will say so only later
            raise Dropped("the connection broke while sending")

    def arrived(self) -> Reply | None:
        """The next reply if it is here already: those to a pipelined group arrive together."""
        return self._replies.popleft() if self._replies else None

    async def reply(self, expires_s: float | None) -> Reply:
        """The next reply. Raises TimeoutError when the whole reply is not there at `expires_s` on the loop's clock.

        Replies that arrived before the connection ended are delivered first. Also raises Dropped, ProtocolViolation.
        """
        while not self._replies and self._failure is None:
            try:
                await self._event(expires_s)
            except TimeoutError:
                # In a process that was stopped past this moment the answer may lie in the socket, unread.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                if not self._replies:
                    raise
        if self._replies:
            return self._replies.popleft()
        assert self._failure is not None
        raise self._failure

    def in_s(self, delay_s: float) -> float:
        """The moment `delay_s` from now on the loop's clock."""
        return self._loop.time() + delay_s

    def quiet(self) -> bool:
        """Whether the connection is alive and nothing that was not asked for has arrived."""
        return self._failure is None and not self._replies and not self._parser.pending() and not self._closing()

    async def upgrade(self, context: ssl.SSLContext, host: str) -> None:
        """Go on in TLS with the certificate verified for `host`.

        Raises ProtocolViolation when plaintext arrived behind the reply to STARTTLS: someone on the path wants it
        to be taken for the server's words inside TLS (CVE-2011-0411; RFC 3207 section 4.2 has all prior knowledge
        discarded). Raises ssl.SSLError and OSError from the handshake.
        """
        if not self.quiet():
            raise self._failure or ProtocolViolation("plain text was injected before TLS started")
        self._open_transport().set_write_buffer_limits()  # uvloop's TLS never resumes a writer at limit 0
        transport = await self._loop.start_tls(self._open_transport(), self, context, server_hostname=host)
        assert transport is not None
        self._transport = transport
        self._paused = False  # what the plain transport said ends with it
        self.extensions = {}

    def local_address(self) -> str:
        """The IP address of our end."""
        return str(self._open_transport().get_extra_info("sockname")[0])

    def quit(self) -> None:
        """Say QUIT and close at the server's answer, or after 2 seconds; nothing waits for it here."""
        if self._closing():
            return
        self._quitting = True
        self.write(b"QUIT\r\n")
        self._loop.call_later(_QUIT_WAIT_S, self.abort)

    def abort(self) -> None:
        """Close at once; bytes that have not left stay here."""
        self._open_transport().abort()

    def _open_transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def _closing(self) -> bool:
        return self._open_transport().is_closing()

    def _fail(self, failure: Dropped | ProtocolViolation) -> None:
        if self._failure is None:
            self._failure = failure
        if isinstance(failure, ProtocolViolation):
            self.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _event(self, expires_s: float | None) -> None:
        """Wait until something happens, at most until `expires_s` on the loop's clock; then TimeoutError."""
        waiter = self._waiter = self._loop.create_future()
        self._expires_s = expires_s
        # One timer serves many waits: it is set anew only for one that ends sooner, and when it rings too early.
        if expires_s is not None and (self._timer is None or self._timer.when() > expires_s):
            self._set_timer(expires_s)
        try:
            await waiter
        finally:
            self._waiter = None

    def _set_timer(self, expires_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(expires_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done() or self._expires_s is None:
            return
        if self._loop.time() < self._expires_s:
            self._set_timer(self._expires_s)
        else:
            self._waiter.set_exception(TimeoutError("no reply in time"))
