"""Writes the judge's log in Postfix's words, as the evidence that `recover` looks into. Says nothing of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def write_mail_log(path: Path, accepted: Iterable[dict[str, Any]]) -> None:
    """One message as the lines that smtpd, cleanup, qmgr and smtp write about it."""
    with path.open("w") as file:
        for row in accepted:
            file.writelines(f"{row['at']} mx postfix/{line}\n" for line in _lines(row))


def _lines(row: dict[str, Any]) -> Iterator[str]:
    queue_id, recipient = row["queue_id"], row["rcpt"]
    yield f"smtpd[11]: {queue_id}: client=localhost[127.0.0.1]"
    yield f"cleanup[12]: {queue_id}: message-id={row['message_id']}"
    yield f"qmgr[13]: {queue_id}: from=<{row['from']}>, size={row['size']}, nrcpt=1 (queue active)"
    yield (
        f"smtp[14]: {queue_id}: to=<{recipient}>, relay=mx.example[192.0.2.1]:25, delay=0.1, delays=0/0/0/0.1, "
        "dsn=2.0.0, status=sent (250 2.0.0 Ok)"
    )
    yield f"qmgr[13]: {queue_id}: removed"
