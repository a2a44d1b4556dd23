"""Runs `sendctl` in this process and looks, once for each millisecond of CPU, what it is at; counts go into a file.

    python -m benchmarks.sampler FILE ARGUMENTS OF SENDCTL

Knows which folder of sendctl does what, and no more of it. Start and end of the pass are not counted.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

EVERY_S = 0.001
NETWORK = "network: event loop, kernel, waiting for replies"
# By the innermost file of sendctl that is at work.
PARTS = {
    "providers/smtp/connection.py": NETWORK,
    "providers/": "SMTP dialogue",
    "journal/": "journal: three records a message",
    "clock.py": "journal: three records a message",
    "rendering/": "rendering: templates and MIME",
    "passes/rendered.py": "rendering: templates and MIME",
    "passes/submitting.py": "lanes: who sends what next",
    "passes/worker.py": "lanes: who sends what next",
    "passes/": "claiming and recording: Python",
    "store/": "claiming and recording: Python",
}
DRIVER = "claiming and recording: the database driver"
_DRIVER_CALLS = ("do_execute", "do_commit", "fetchall")


def main() -> None:
    """Ends as sendctl ends."""
    out, sys.argv = Path(sys.argv[1]), ["sendctl", *sys.argv[2:]]
    counts: Counter[str] = Counter()

    def look(_number: int, frame: FrameType | None) -> None:
        part = part_of(frame)
        if part:
            counts[part] += 1

    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    from sendctl.__main__ import main as program  # noqa: PLC0415  its imports are no part of the loop

    try:
        program()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        out.write_text(json.dumps(counts))


def part_of(frame: FrameType | None) -> str:
    """What the program is at; empty outside of the sending loop."""
    driver = frame is not None and _in_driver(frame.f_code.co_filename, frame.f_code.co_name)
    inner = within = ""
    looping = False
    while frame is not None and not looping:
        _, ours, name = frame.f_code.co_filename.rpartition("/sendctl/")
        looping = name == "passes/worker.py" and frame.f_code.co_name == "_run"
        if ours and not inner:
            inner, within = name, frame.f_code.co_name
        frame = frame.f_back
    if not looping:
        return ""
    if driver:
        return DRIVER
    if within == "_run":
        return NETWORK
    return next((part for place, part in PARTS.items() if inner.startswith(place)), "other")


def _in_driver(file: str, name: str) -> bool:
    """sqlite3 is in C, and shows as the line of SQLAlchemy that calls it; psycopg is not."""
    return "/psycopg" in file or ("/sqlalchemy/" in file and name in _DRIVER_CALLS)


if __name__ == "__main__":
    main()
