"""Named failpoints: places where a test may kill, stop or break the process, chosen by SENDCTL_FAILPOINT.

The only module that reads that variable. `SENDCTL_FAILPOINT=claim.committed:kill:3` sends SIGKILL to the
process at the third passage of `claim.committed`; `stop` sends SIGSTOP, `raise` raises InjectedFault, and
`wait` blocks until a signal is handled, where the main thread passes. Without the variable a passage costs
one comparison.
"""

from __future__ import annotations

import os
import signal

# Every name that the code passes; the crash suite walks this tuple.
FAILPOINTS: tuple[str, ...] = (
    "run.recorded",
    "claim.before_commit",
    "claim.committed",
    "journal.begun",
    "provider.before_dot",
    "journal.dotted",
    "provider.replied",
    "journal.outcome",
    "settle.before_commit",
    "settle.committed",
    "run.before_finish",
    "run.finished",
    "import.before_commit",
    "import.committed",
    "lookup.answered",
    "proof.before_commit",
    "proof.committed",
    "recover.before_commit",
    "recover.committed",
    "enqueue.before_commit",
    "enqueue.committed",
    "cancel.before_commit",
    "cancel.committed",
    "reschedule.before_commit",
    "reschedule.committed",
    "rotate.before_commit",
    "rotate.committed",
    "ingest.before_commit",
    "ingest.committed",
    "ingest.moving",
    "pull.before_commit",
    "pull.committed",
)


class InjectedFault(RuntimeError):
    """A failpoint was told to raise."""


def _parse(value: str) -> tuple[str, str, int]:
    if not value:
        return "", "", 0
    parts = value.split(":")
    name, action, count = [*parts, "kill", "1"][:3] if len(parts) == 1 else [*parts, "1"][:3]
    if name not in FAILPOINTS or action not in ("kill", "stop", "raise", "wait") or not count.isdecimal():
        names = ", ".join(FAILPOINTS)
        raise SystemExit(f"SENDCTL_FAILPOINT={value!r}: want NAME[:kill|stop|raise|wait[:COUNT]], NAME of {names}")
    return name, action, int(count)


_name, _action, _left = _parse(os.environ.get("SENDCTL_FAILPOINT", ""))


def passing(name: str) -> None:
    """Mark that the code passes failpoint `name`; does nothing unless a test armed it."""
    global _left  # noqa: PLW0603  one process, one armed failpoint
    if name != _name:
        return
    _left -= 1
    if _left != 0:
        return
    if _action == "raise":
        raise InjectedFault(name)
    if _action == "wait":
        signal.pause()
        return
    os.kill(os.getpid(), signal.SIGKILL if _action == "kill" else signal.SIGSTOP)
