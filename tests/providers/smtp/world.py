"""What the SMTP tests share: a message, a mark that remembers, a real clock, a server in this loop or a process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sendctl.clock import Deadline, SystemClock
from sendctl.providers.base import Outcome, Outgoing
from sendctl.providers.smtp import SmtpProvider, SmtpSettings
from tests.smtp_double.script import Rule, Script
from tests.smtp_double.server import Options, Server, serve

CLOCK = SystemClock()
CONTENT = (
    b"From: a@shop.example\r\nTo: b@x.example\r\nMessage-ID: <k1@shop.example>\r\n\r\n.one\r\n..two\r\n.\r\nend\r\n"
)


@dataclass
class Mark:
    """Remembers its calls, and may do something of the test's at the dot."""

    calls: list[str] = field(default_factory=list)
    at_begin: Callable[[], None] = lambda: None
    at_dot: Callable[[], None] = lambda: None

    def begin(self) -> None:
        self.calls.append("begin")
        self.at_begin()

    def dot(self) -> None:
        self.calls.append("dot")
        self.at_dot()


def outgoing(recipient: str = "b@x.example", content: bytes = CONTENT, **fields: Any) -> Outgoing:
    values = {"message_id": 1, "attempt": 1, "key": "k1", "provider": "relay", "sender": "a@shop.example"} | fields
    return Outgoing(recipient=recipient, content=content, **values)


def deadline(seconds: float = 20.0) -> Deadline:
    return Deadline(CLOCK.boot_s() + seconds, CLOCK)


def provider(port: int, **settings: Any) -> SmtpProvider:
    values = {"name": "relay", "host": "127.0.0.1", "tls": "none"} | settings
    return SmtpProvider(SmtpSettings(port=port, **values))


async def submit(relay: SmtpProvider, message: Outgoing | None = None, seconds: float = 20.0) -> tuple[Outcome, Mark]:
    mark = Mark()
    return await relay.submit(message or outgoing(), deadline(seconds), mark), mark


@asynccontextmanager
async def server(folder: Path, *rules: dict[str, Any], **options: Any) -> AsyncIterator[Server]:
    """The double inside this loop: the same code and real sockets, without the cost of a process."""
    folder.mkdir(parents=True, exist_ok=True)
    script = Script([Rule(**rule) for rule in rules])
    values = {"log": folder / "log", "transcript": folder / "heard", "script": script, "fsync": False} | options
    running = await serve(Options(**values))
    try:
        yield running
    finally:
        await running.close()


def run(main: Any) -> Any:
    return asyncio.run(main)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def heard(folder: Path) -> list[str]:
    """The lines that the server was sent, bodies left out."""
    return [json.loads(line)["line"] for line in lines(folder / "heard")]


def rows(folder: Path) -> list[dict[str, str]]:
    """What the server accepted."""
    return [json.loads(line) for line in lines(folder / "log")]
