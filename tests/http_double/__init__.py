"""The services that sendctl speaks to over HTTP, in a process of its own, whose log alone says what was accepted.

`start_http_double(tmp_path, "resend", script=[...])` starts one and gives its URL and its log.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests import double_process
from tests.http_double.services import API_KEY, SENDING_KEY

__all__ = ["API_KEY", "SENDING_KEY", "HttpDouble", "start_http_double"]


@dataclass
class HttpDouble:
    """A running double. `log` outlives it: a double started again on the same folder knows what it knew."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def accepted(self) -> list[dict[str, Any]]:
        """Every message accepted so far, in order: id, key, rcpt, message_id (the key, or the id), subject, request."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        rows = [row for row in map(json.loads, lines) if row["what"] == "accepted"]
        return [row | {"rcpt": row["to"], "message_id": row["key"] or row["id"]} for row in rows]

    def heard(self) -> list[dict[str, Any]]:
        """Every request received so far, in order: method, path, headers, body."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [row for row in map(json.loads, lines) if row["what"] == "request"]

    def tell(self, *events: Any, **more: Any) -> None:
        """From now on the service has these events, each in its own form; `hidden=True`: its index has not yet."""
        self._control({"events": events, **more})

    def reveal(self) -> None:
        """The index of the service has caught up."""
        self._control({"reveal": True})

    def forget_keys(self) -> None:
        """The time for which a service that knows keys remembers them is over, for all that it has now."""
        self._control({"forget_keys": True})

    def pages_of(self, entries: int) -> None:
        """No page has more than so many entries, whatever is asked for."""
        self._control({"page_size": entries})

    def let_come_again(self) -> None:
        """What was received from the queue and not taken out of it can be received once more."""
        self._control({"visible": True})

    def left(self) -> list[Any]:
        """What is in the queue, received or not."""
        return list(self._control({})["left"])

    def _control(self, wanted: dict[str, Any]) -> Any:
        asked = Request(f"{self.url}/double", json.dumps(wanted).encode(), method="POST")
        with urlopen(asked, timeout=30) as answer:
            return json.loads(answer.read())

    def asked(self, path: str = "") -> list[dict[str, Any]]:
        """The requests for events, or whose path begins so."""
        return [row for row in self.heard() if row["path"].startswith(path or "/") and row["path"] != "/double"]

    def stop(self) -> None:
        """End the process; calling it again does nothing."""
        double_process.end(self.process)


@contextmanager
def start_http_double(
    folder: Path, service: str, *, script: Sequence[dict[str, Any]] = (), port: int = 0, lag_s: float = 0.0
) -> Iterator[HttpDouble]:
    """A double in its own process, stopped at the end; it also ends by itself when this process dies.

    `lag_s` is how long after its acceptance a message can be found.
    """
    log, port_file = folder / f"{service}.jsonl", folder / f"{service}.port"
    port_file.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "tests.http_double", "--service", service, "--port", str(port), "--log", str(log),
        "--port-file", str(port_file), "--script", json.dumps(list(script)), "--lag", str(lag_s),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=double_process.ROOT, stdin=subprocess.PIPE)
    double = HttpDouble("", log, process)
    try:
        double.url = f"http://127.0.0.1:{double_process.await_port(port_file, process)}"
        yield double
    finally:
        double.stop()
