"""A provider that takes its time: an SMTP server whose reply to each message comes after a fixed delay.

    python -m benchmarks.slow_server PORT DELAY_MS

Everything else it answers at once. On SIGTERM it prints, as JSON, what it accepted. It keeps no message.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

_HELLO = b"250-slow.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n"
_REPLIES = {
    b"EHLO": _HELLO, b"HELO": b"250 slow.example\r\n", b"MAIL": b"250 2.1.0 ok\r\n", b"RCPT": b"250 2.1.5 ok\r\n",
    b"RSET": b"250 2.0.0 ok\r\n", b"DATA": b"354 go on\r\n", b"QUIT": b"221 2.0.0 bye\r\n",
}  # fmt: skip


@dataclass
class Ledger:
    """What was accepted, from whom on, and how many messages waited for their reply at once."""

    recipients: Counter[bytes] = field(default_factory=Counter)
    first_s: float = 0.0
    last_s: float = 0.0
    waiting: int = 0
    most_waiting: int = 0

    def said(self) -> str:
        repeated = sum(count - 1 for count in self.recipients.values())
        return json.dumps({
            "accepted": self.recipients.total(), "repeated": repeated, "seconds": self.last_s - self.first_s,
            "most_waiting": self.most_waiting,
        })  # fmt: skip


class Session(asyncio.Protocol):
    """One connection. Commands are answered in order; nothing is read on while a message waits for its reply."""

    def __init__(self, ledger: Ledger, delay_s: float) -> None:
        self._ledger, self._delay_s = ledger, delay_s
        self._buffer = bytearray()
        self._recipient = b""
        self._in_message = self._waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class derives from another
        self._transport.write(b"220 slow.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        while not self._waits and (self._end_of_message() if self._in_message else self._command()):
            pass

    def _command(self) -> bool:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._buffer = rest
        verb = bytes(line[:4]).upper()
        if verb == b"RCPT":
            self._recipient = bytes(line.partition(b"<")[2].partition(b">")[0])
        self._in_message = verb == b"DATA"
        self._transport.write(_REPLIES.get(verb, b"502 5.5.1 not here\r\n"))
        if verb == b"QUIT":
            self._transport.close()
        return True

    def _end_of_message(self) -> bool:
        at = self._buffer.find(b"\r\n.\r\n")
        if at < 0:
            return False
        del self._buffer[: at + 5]
        self._in_message, self._waits = False, True
        ledger = self._ledger
        ledger.first_s = ledger.first_s or time.monotonic()
        ledger.waiting += 1
        ledger.most_waiting = max(ledger.most_waiting, ledger.waiting)
        asyncio.get_running_loop().call_later(self._delay_s, self._accept)
        return True

    def _accept(self) -> None:
        ledger = self._ledger
        ledger.waiting -= 1
        ledger.last_s = time.monotonic()
        ledger.recipients[self._recipient] += 1
        self._waits = False
        self._transport.write(b"250 2.0.0 queued\r\n")
        self._go_on()


async def serve(port: int, delay_s: float) -> None:
    """Listen on 127.0.0.1 until SIGTERM."""
    ledger, stop = Ledger(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: Session(ledger, delay_s), "127.0.0.1", port, backlog=1024)
    await stop.wait()
    server.close()
    print(ledger.said())


def main() -> None:
    port, delay_ms = sys.argv[1:]
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415  an extra

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(int(port), float(delay_ms) / 1000))


if __name__ == "__main__":
    main()
