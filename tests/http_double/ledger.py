"""What the double heard and accepted: one JSON line each, on disk before any answer leaves."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any


class Ledger:
    """Appends rows, and reads at its start what an earlier double left."""

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            whole, _, _ = path.read_bytes().rpartition(b"\n")
            self.rows = [json.loads(line) for line in whole.splitlines()]
        self._lock = threading.Lock()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, what: str, **fields: Any) -> None:
        """Returns when the row is durable."""
        row = {"what": what, **fields}
        with self._lock:
            data = json.dumps(row).encode() + b"\n"
            if os.write(self._descriptor, data) != len(data):
                os._exit(1)  # a torn log must never be followed by an answer
            os.fsync(self._descriptor)
            self.rows.append(row)

    def accepted(self) -> list[dict[str, Any]]:
        """All that was accepted, in order."""
        return [row for row in list(self.rows) if row["what"] == "accepted"]
