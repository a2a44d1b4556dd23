"""The MTA's log of the model: what it accepted, in Postfix's words, and other people's mail every minute."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

from tests.crash.mail_log import write_mail_log
from tests.store.ground import START

BEFORE_S = 1800  # the log is complete from so long before the model begins


def write_log(path: Path, accepted: tuple[tuple[str, float], ...], seen_s: float) -> None:
    """Write the log as it can be read: up to `seen_s`, whatever was accepted since."""
    others = [(f"other-{second}@elsewhere.example", float(second)) for second in range(-BEFORE_S, int(seen_s) + 1, 30)]
    lines = sorted((second, key) for key, second in [*others, *accepted] if second <= seen_s)
    write_mail_log(path, [_row(key, second) for second, key in lines])


def _row(key: str, second: float) -> dict[str, object]:
    queue_id = "4" + hashlib.sha256(key.encode()).hexdigest()[:9].upper()
    at = (START + timedelta(seconds=second)).isoformat()
    recipient = "someone@elsewhere.example" if key.startswith("other-") else "p1@x.example"
    return {"at": at, "queue_id": queue_id, "rcpt": recipient, "message_id": f"<{key}>", "from": "a@x.example",
            "size": 1}  # fmt: skip
