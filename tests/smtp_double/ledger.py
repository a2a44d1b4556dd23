"""What the double accepted: one JSON line per message, on disk before the 250 leaves. The only judge of duplicates."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r\n[ \t]+)?(\S+)", re.IGNORECASE | re.MULTILINE)


class Ledger:
    """Appends rows; one write and one fsync serve all messages that arrive in the same turn of the loop."""

    def __init__(self, path: Path, *, fsync: bool, keep: Path | None) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._fsync = fsync
        self._keep = keep
        self._waiting: list[tuple[bytes, Callable[[str], None], str]] = []
        self._count = 0
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)

    def accept(self, sender: str, recipient: str, content: bytes, done: Callable[[str], None]) -> None:
        """Log one message; `done(queue_id)` is called when the row is durable."""
        self._count += 1
        queue_id = f"D{os.getpid():X}N{self._count:X}"
        found = _MESSAGE_ID.search(content.partition(b"\r\n\r\n")[0])
        row = {
            "at": datetime.now(UTC).isoformat(),
            "from": sender,
            "rcpt": recipient,
            "message_id": found[1].decode("utf-8", "replace") if found else "",
            "queue_id": queue_id,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        if self._keep is not None:
            (self._keep / f"{queue_id}.eml").write_bytes(content)
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append((json.dumps(row).encode() + b"\n", done, queue_id))

    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        data = b"".join(line for line, _, _ in batch)
        if os.write(self._descriptor, data) != len(data):
            os._exit(1)  # a torn log must never be followed by a 250
        if self._fsync:
            os.fsync(self._descriptor)
        for _, done, queue_id in batch:
            done(queue_id)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
