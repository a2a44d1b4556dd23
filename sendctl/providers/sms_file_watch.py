"""Whether a file of messages is still the one that it was: what makes a line that is not there a proof.

What is known of it stands in its lock file: which file it is, how far whole lines reached, and the key of the last of
them. A file that was replaced, shortened or rewritten does not fit, and proves nothing about the time before. Never
touches the file itself; the caller holds the lock.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

# A claim is made before the file is first looked at, by the store's clock: none lasts as long as this.
BEFORE_FIRST = timedelta(hours=1)
# After a loss the clocks of store and host decide; they are never so far apart.
AFTER_LOSS = timedelta(hours=1)
_KEY_PREFIX = b'{"key":"'


@dataclass(frozen=True, slots=True)
class Watch:
    """What the lock file says. `known_from` is when watching began, or began again after something was `lost`."""

    device: int
    inode: int
    whole_bytes: int  # where the last line ended
    last_key: str
    known_from: str
    lost: bool = False

    def fits(self, file: int) -> bool:
        """Whether an open file is the one that is watched, with all that it had. Raises OSError."""
        found = os.fstat(file)
        if (found.st_dev, found.st_ino) != (self.device, self.inode) or found.st_size < self.whole_bytes:
            return False
        if not self.whole_bytes:
            return True
        start = max(0, self.whole_bytes - (1 << 16))
        tail = os.pread(file, self.whole_bytes - start, start)
        line = tail[:-1].rpartition(b"\n")[2]
        return tail.endswith(b"\n") and line.startswith(_KEY_PREFIX + self.last_key.encode() + b'"')

    def proves_since(self, moment: datetime) -> bool:
        """Whether all that was written since a moment, by the store's clock, is there: if the file fits."""
        known_from = datetime.fromisoformat(self.known_from)
        return moment >= (known_from + AFTER_LOSS if self.lost else known_from - BEFORE_FIRST)

    def grown(self, whole_bytes: int, last_key: str) -> Watch:
        """The same file with one line more."""
        return replace(self, whole_bytes=whole_bytes, last_key=last_key)


def read(lock: int) -> Watch | None:
    """What an open lock file says; None where it says nothing that can be understood. Raises OSError."""
    try:
        return Watch(**json.loads(os.pread(lock, 4096, 0)))
    except (ValueError, TypeError):
        return None


def write(lock: int, watch: Watch) -> None:
    """Replace what the lock file says, never by less: there are no halves of two. Raises OSError."""
    content = json.dumps(asdict(watch)).encode()
    before = os.fstat(lock).st_size
    os.pwrite(lock, content.ljust(max(before - 1, 0)) + b"\n", 0)


def begun(file: int, now: datetime, *, lost: bool) -> Watch:
    """A watch that begins with the file as it is."""
    found = os.fstat(file)
    return Watch(found.st_dev, found.st_ino, 0, "", now.isoformat(), lost)
