"""Runs `sendctl` in this process and looks, once for each millisecond of CPU, what its threads are at.

What each thread used since the last look counts for what it is at now; the seconds of each part go into a file.

    python -m benchmarks.sampler FILE ARGUMENTS OF SENDCTL

Knows which folder of sendctl does what, and no more of it. Start and end of the pass are not counted.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import defaultdict
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
    "passes/": "claiming and recording: Python and the database driver",
    "store/": "claiming and recording: Python and the database driver",
}


def main() -> None:
    """Ends as sendctl ends."""
    main_thread = threading.get_ident()
    out, sys.argv = Path(sys.argv[1]), ["sendctl", *sys.argv[2:]]
    used_s: dict[str, float] = defaultdict(float)
    seen_s: dict[int, float] = {}

    def look(_number: int, frame: FrameType | None) -> None:
        for thread, current in (sys._current_frames() | {main_thread: frame}).items():
            now_s = time.clock_gettime(time.pthread_getcpuclockid(thread))
            part = part_of(current, of_loop=thread == main_thread)
            if part:
                used_s[part] += now_s - seen_s.get(thread, now_s)
            seen_s[thread] = now_s

    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    from sendctl.__main__ import main as program  # noqa: PLC0415  its imports are no part of the loop

    try:
        program()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        out.write_text(json.dumps(used_s))


def part_of(frame: FrameType | None, *, of_loop: bool) -> str:
    """What a thread is at; empty outside of the sending loop. Beside the loop there is only a transaction's thread."""
    inner = within = ""
    looping = False
    while frame is not None and not looping:
        _, ours, name = frame.f_code.co_filename.rpartition("/sendctl/")
        looping = name == "passes/worker.py" and frame.f_code.co_name == "_run"
        if ours and not inner:
            inner, within = name, frame.f_code.co_name
        frame = frame.f_back
    if not looping and (of_loop or not inner):
        return ""
    if within == "_run":
        return NETWORK
    return next((part for place, part in PARTS.items() if inner.startswith(place)), "other")


if __name__ == "__main__":
    main()
