"""Writes log files as Postfix and Exim would, for the tests of the evidence package.

The lines are those that Postfix 3.7 and Exim 4.96 wrote when a client was cut off at each step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sendctl.evidence.model import Finding, Wanted
from sendctl.evidence.search import Mta, search

DOTTED_AT = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
NOW = DOTTED_AT + timedelta(hours=1)
KEY = "0f3a5d@shop.example"
RECIPIENT = "ann@client.example"

BEFORE, AFTER = -3600, 1800  # seconds from DOTTED_AT: lines that frame a complete log


def iso(offset_s: float) -> str:
    return (DOTTED_AT + timedelta(seconds=offset_s)).isoformat(timespec="microseconds")


def postfix(offset_s: float, service: str, text: str, *, host: str = "mx", instance: str = "postfix") -> str:
    return f"{iso(offset_s)} {host} {instance}/{service}: {text}\n"


def exim(offset_s: float, text: str) -> str:
    return f"{(DOTTED_AT + timedelta(seconds=offset_s)):%Y-%m-%d %H:%M:%S} +0000 {text}\n"


def framed(lines: Iterable[str], host: str = "mx") -> str:
    """The lines between two that make the log complete."""
    idle = "statistics: max connection rate 1/60s"
    return postfix(BEFORE, "anvil[4]", idle, host=host) + "".join(lines) + postfix(AFTER, "anvil[4]", idle, host=host)


def exim_framed(lines: Iterable[str]) -> str:
    return exim(BEFORE, "Start queue run: pid=7") + "".join(lines) + exim(AFTER, "End queue run: pid=7")


def client(queue_id: str, offset_s: float = 0, smtpd: str = "smtpd[10]") -> str:
    return postfix(offset_s, smtpd, f"{queue_id}: client=app.example[192.0.2.1]")


def named(queue_id: str, offset_s: float = 0, key: str = KEY) -> str:
    return postfix(offset_s, "cleanup[11]", f"{queue_id}: message-id=<{key}>")


def active(queue_id: str, offset_s: float = 0) -> str:
    return postfix(offset_s, "qmgr[12]", f"{queue_id}: from=<news@shop.example>, size=323, nrcpt=1 (queue active)")


def removed(queue_id: str, offset_s: float = 0) -> str:
    return postfix(offset_s, "qmgr[12]", f"{queue_id}: removed")


def delivery(queue_id: str, status: str, offset_s: float = 1, to: str = f"to=<{RECIPIENT}>") -> str:
    relay = "relay=mx.client.example[192.0.2.9]:25, delay=0.08, delays=0.06/0.02/0/0, dsn=2.0.0"
    return postfix(offset_s, "smtp[13]", f"{queue_id}: {to}, {relay}, status={status} (250 2.0.0 ok)")


def cut_off(offset_s: float = 0, smtpd: str = "smtpd[10]") -> str:
    return postfix(offset_s, smtpd, "lost connection after DATA (145 bytes) from app.example[192.0.2.1]")


def write(path: Path, text: str | bytes, *, written_at: datetime = NOW) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (written_at.timestamp(), written_at.timestamp()))
    return path


def wanted(
    key: str = KEY, recipient: str = RECIPIENT, dotted_at: datetime = DOTTED_AT, begun_at: datetime | None = None
) -> Wanted:
    return Wanted(key, recipient, dotted_at, begun_at)


def find(*paths: Path | str, mta: Mta = "postfix", now: datetime = NOW, **fields: object) -> Finding:
    one = wanted(**fields)  # type: ignore[arg-type]
    return search(paths, mta, [one], now=now)[one.key]


def find_in(folder: Path, lines: Iterable[str], **fields: object) -> Finding:
    """The finding for one message in a complete Postfix log of these lines."""
    return find(write(folder / "mail.log", framed(lines)), **fields)  # type: ignore[arg-type]
