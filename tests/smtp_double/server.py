"""An SMTP server for tests that logs before it accepts and misbehaves to order. It never delivers anything."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import socket
import ssl
import struct
from dataclasses import dataclass, field
from pathlib import Path

from tests.smtp_double.ledger import Ledger
from tests.smtp_double.script import Script

_ADDRESS = re.compile(r"(?:FROM|TO):\s*<(.*)>\s*([^<>]*)$", re.IGNORECASE)
_STALL_S = 0.05  # how long a stalled body stays unread before the fault strikes
_DRIP_S = 0.02


@dataclass
class Options:
    """How the server behaves; see __main__ for the meaning of each."""

    log: Path
    script: Script = field(default_factory=lambda: Script([]))
    transcript: Path | None = None
    keep: Path | None = None
    pipelining: bool = True
    extensions: tuple[str, ...] = ("SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
    starttls: bool = False
    tls: bool = False
    cert: Path | None = None
    key: Path | None = None
    auth: str = ""
    auth_mechanisms: str = "PLAIN LOGIN"
    latency_s: float = 0.0
    fsync: bool = True
    discards_behind_dot: bool = False
    refuses_early: str = ""  # a regular expression: at their first byte bodies are refused and taken for commands


class Server:
    """A listening server: its port, its connections, its ledger."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.ledger = Ledger(options.log, fsync=options.fsync, keep=options.keep)
        self.sessions: set[Session] = set()
        self.port = 0
        self.tls_context: ssl.SSLContext | None = None
        self.listener: asyncio.Server | None = None
        self._transcript = options.transcript.open("a") if options.transcript else None
        if options.cert is not None:
            self.tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls_context.load_cert_chain(options.cert, options.key)

    def heard(self, session: Session, line: str) -> None:
        """Note a command, as received."""
        if self._transcript is not None:
            self._transcript.write(json.dumps({"connection": session.number, "tls": session.encrypted, "line": line}))
            self._transcript.write("\n")
            self._transcript.flush()

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        assert self.listener is not None
        self.listener.close()
        for session in list(self.sessions):
            session.transport.abort()
        self.ledger.close()
        if self._transcript is not None:
            self._transcript.close()


async def serve(options: Options, port: int = 0) -> Server:
    """Listen on 127.0.0.1. A small receive buffer lets an unread body push back on the client."""
    server = Server(options)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options.script.names("body"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    server.port = listener.getsockname()[1]
    context = server.tls_context if options.tls else None
    server.listener = await asyncio.get_running_loop().create_server(
        lambda: Session(server), sock=listener, ssl=context
    )
    return server


class Session(asyncio.Protocol):
    """One client's connection."""

    _numbers = iter(range(1, 1 << 60))

    def __init__(self, server: Server) -> None:
        self._server = server
        self._options = server.options
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.number = next(self._numbers)
        self.encrypted = server.options.tls
        self._buffer = bytearray()
        self._scanned = 0
        self._deaf = False  # a fault has struck, or the dot's reply is on its way: handle no more input
        self._greeted = False
        self._authenticated = not server.options.auth
        self._auth_answers: list[str] | None = None
        self._sender: str | None = None
        self._recipient: str | None = None
        self._in_data = False
        self._refusing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        first = not hasattr(self, "transport")
        self.transport = transport  # type: ignore[assignment]
        if first:
            self._server.sessions.add(self)
            if self._options.tls or not self._strikes("connect"):
                self._answer("banner", "220 double.test ESMTP")

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        self._server.sessions.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._refusing:
            self._say("552 5.3.4 too big")
            self._sender = self._recipient = None
            self._refusing = False
        self._work()

    def _work(self) -> None:
        while not self._deaf:
            if self._in_data:
                if not self._take_body():
                    return
                continue
            end = self._buffer.find(b"\n")
            if end < 0:
                return
            line = bytes(self._buffer[: end + 1]).decode("utf-8", "replace").rstrip("\r\n")
            del self._buffer[: end + 1]
            self._server.heard(self, line)
            self._command(line)

    def _command(self, line: str) -> None:
        if self._auth_answers is not None:
            self._auth_continue(line)
            return
        verb, _, rest = line.partition(" ")
        handler = getattr(self, "_do_" + verb.lower(), None)
        if handler is None:
            self._say("502 5.5.1 unknown command")
        else:
            handler(rest)

    def _do_ehlo(self, rest: str) -> None:
        lines = ["double.test", *self._options.extensions]
        lines += ["PIPELINING"] if self._options.pipelining else []
        lines += ["STARTTLS"] if self._options.starttls and not self.encrypted else []
        lines += [f"AUTH {self._options.auth_mechanisms}"] if self._options.auth else []
        self._greeted = True
        text = "\n".join("250-" + each for each in lines[:-1]) + f"\n250 {lines[-1]}"
        self._answer("ehlo", text.lstrip("\n"))

    def _do_helo(self, rest: str) -> None:
        self._greeted = True
        self._say("250 double.test")

    def _do_starttls(self, rest: str) -> None:
        if self._strikes("starttls"):
            return
        if self._server.tls_context is None or self.encrypted:
            self._say("454 4.7.0 TLS not available")
            return
        self._say("220 2.0.0 go ahead")
        self._deaf = True
        self._buffer.clear()
        if not self._strikes("tls"):
            self._tls_task = self._loop.create_task(self._start_tls())

    async def _start_tls(self) -> None:
        with contextlib.suppress(OSError):
            transport = await self._loop.start_tls(self.transport, self, self._server.tls_context, server_side=True)
            if transport is not None:
                self.transport = transport
                self.encrypted, self._greeted, self._deaf = True, False, False
                self._work()  # the EHLO may have come together with the end of the handshake

    def _do_auth(self, rest: str) -> None:
        if self._strikes("auth"):
            return
        mechanism, _, initial = rest.partition(" ")
        if mechanism.upper() == "PLAIN" and initial:
            self._auth_check(base64.b64decode(initial).decode().split("\0")[1:])
        elif mechanism.upper() == "LOGIN":
            self._auth_answers = []
            self._say("334 VXNlcm5hbWU6")
        else:
            self._say("504 5.5.4 unknown mechanism")

    def _auth_continue(self, line: str) -> None:
        answers = self._auth_answers
        assert answers is not None
        answers.append(base64.b64decode(line).decode())
        if len(answers) == 1:
            self._say("334 UGFzc3dvcmQ6")
        else:
            self._auth_answers = None
            self._auth_check(answers)

    def _auth_check(self, answers: list[str]) -> None:
        self._authenticated = ":".join(answers) == self._options.auth
        self._say("235 2.7.0 welcome" if self._authenticated else "535 5.7.8 authentication failed")

    def _do_mail(self, rest: str) -> None:
        match = _ADDRESS.match(rest)
        if self._strikes("mail"):
            return
        if not self._authenticated:
            self._say("530 5.7.0 authentication required")
        elif self._sender is not None or not self._greeted:
            self._say("503 5.5.1 out of sequence")
        elif match is None:
            self._say("501 5.5.4 syntax")
        else:
            self._sender = match[1]
            self._say("250 2.1.0 ok")

    def _do_rcpt(self, rest: str) -> None:
        match = _ADDRESS.match(rest)
        if self._strikes("rcpt", match[1] if match else ""):
            return
        if self._sender is None or self._recipient is not None or match is None:
            self._say("503 5.5.1 out of sequence")
        else:
            self._recipient = match[1]
            self._say("250 2.1.5 ok")

    def _do_data(self, rest: str) -> None:
        if self._strikes("data", self._recipient or ""):
            # A script may answer 354 to a refused envelope: then a body, or a lone dot, follows.
            self._in_data = self._said.startswith("354")
            return
        if self._recipient is None:
            self._say("554 5.5.1 no valid recipients")
            return
        self._say("354 go ahead")
        if self._options.refuses_early and re.search(self._options.refuses_early, self._recipient):
            self._refusing = True
            return
        self._in_data, self._scanned = True, 0
        action = self._options.script.action("body", self._recipient)
        if action:
            self._deaf = True
            self.transport.pause_reading()
            self._loop.call_later(_STALL_S, self._act, action, "body")

    def _take_body(self) -> bool:
        """Handle one whole body; False while its dot has not come."""
        if self._buffer.startswith(b".\r\n"):
            end, content = 3, b""
        else:
            found = self._buffer.find(b"\r\n.\r\n", max(0, self._scanned - 4))
            self._scanned = len(self._buffer)
            if found < 0:
                return False
            end, content = found + 5, bytes(self._buffer[: found + 2])
        del self._buffer[:end]
        self._in_data, self._scanned = False, 0
        content = content.replace(b"\r\n..", b"\r\n.")
        self._dot(content[1:] if content.startswith(b"..") else content)
        return True

    def _dot(self, content: bytes) -> None:
        sender, recipient = self._sender, self._recipient
        if self._options.discards_behind_dot:
            self._buffer.clear()
        self._server.heard(self, f". {len(content)}")
        self._sender = self._recipient = None
        if self._strikes("dot", recipient or ""):
            return
        if sender is None or recipient is None:
            self._say("554 5.5.1 no valid recipients")
            return
        self._deaf = True
        self._server.ledger.accept(sender, recipient, content, lambda queue_id: self._accepted(queue_id, recipient))

    def _accepted(self, queue_id: str, recipient: str) -> None:
        if self._options.latency_s:
            self._loop.call_later(self._options.latency_s, self._confirm, queue_id, recipient)
        else:
            self._confirm(queue_id, recipient)

    def _confirm(self, queue_id: str, recipient: str) -> None:
        self._deaf = self.transport.is_closing()
        if not self._deaf:
            self._answer("reply", f"250 2.0.0 Ok: queued as {queue_id}", recipient)
            self._work()

    def _do_rset(self, rest: str) -> None:
        self._sender = self._recipient = None
        self._answer("rset", "250 2.0.0 ok")

    def _do_noop(self, rest: str) -> None:
        self._say("250 2.0.0 ok")

    def _do_quit(self, rest: str) -> None:
        if not self._strikes("quit"):
            self._say("221 2.0.0 bye")
            self.transport.close()

    def _answer(self, step: str, text: str, recipient: str = "") -> None:
        if not self._strikes(step, recipient):
            self._say(text)

    def _say(self, text: str) -> None:
        self._said = text
        self.transport.write(text.replace("\n", "\r\n").encode() + b"\r\n")

    def _strikes(self, step: str, recipient: str = "") -> bool:
        action = self._options.script.action(step, recipient)
        if action:
            self._act(action, step)
        return bool(action)

    def _act(self, action: str, step: str) -> None:
        if action.startswith("reply:"):
            self._say(action.removeprefix("reply:"))
            if self._said.startswith("421"):
                self.transport.close()
            return
        self._deaf = True
        if action == "close":
            self.transport.close()
        elif action == "reset":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif action == "drip":
            self._drip({"banner": b"220-", "connect": b"220-", "data": b"354-"}.get(step, b"250-") + b"slow\r\n", 0)

    def _drip(self, line: bytes, position: int) -> None:
        if not self.transport.is_closing():
            self.transport.write(line[position : position + 1])
            self._loop.call_later(_DRIP_S, self._drip, line, (position + 1) % len(line))
