"""One worker's journal: each record is in the file before the bytes it announces leave the process.

Space is taken ahead of every window, so that a full disk stops a claim and never loses an outcome. Not synced
for each record: the page cache survives kill -9, and after a reboot absence proves nothing anyway.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from sendctl import faults
from sendctl.clock import Deadline, Lease
from sendctl.errors import Unreachable
from sendctl.journal.disk import not_writable, sync_folder
from sendctl.journal.records import Header, begin_line, dot_line, encode, header_record, outcome_line
from sendctl.providers.base import ClaimExpired, Outcome, Phase

BYTES_PER_MESSAGE = 3072  # three records; a reply is capped at 500 characters, at most 6 bytes each as \uXXXX
CHUNK_BYTES = 256 * 1024


class JournalWriter:
    """An open journal. Not shared between processes. `broken` says why nothing more may be begun, or is empty."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.broken = ""
        self._offset = self._reserved = 0
        try:
            self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            self._append(encode(header_record(header)))
            self.sync()
            sync_folder(path.parent)
        except OSError as error:
            raise not_writable(f"the journal {path}", error) from error

    def _append(self, line: bytes) -> None:
        written = os.pwrite(self._descriptor, line, self._offset)
        if written != len(line):
            raise OSError(errno.ENOSPC, "short write")
        self._offset += written

    def _announce(self, line: bytes) -> None:
        """Append a record that must stand before bytes leave; when it cannot, they must not."""
        try:
            self._append(line)
        except OSError as error:
            self.broken = f"the journal {self.path} cannot be written: {error.strerror}"
            raise ClaimExpired from error

    def reserve(self, messages: int) -> None:
        """Make sure that the records of so many messages will fit on the disk. Raises Unreachable."""
        needed = self._offset + messages * BYTES_PER_MESSAGE
        if needed <= self._reserved:
            return
        size = needed - self._offset + CHUNK_BYTES
        try:
            os.posix_fallocate(self._descriptor, self._offset, size)
        except OSError as error:
            raise Unreachable(
                f"the journal {self.path} has no room: {error.strerror}",
                hint="free disk space, then run again: whoever was not reached is queued.",
            ) from error
        self._reserved = self._offset + size

    def begin(
        self, message_id: int, number: int, claim_id: str, key: str, provider: str, contents: str, composed_at: float
    ) -> None:
        """The first byte of this attempt is about to leave."""
        self._announce(begin_line(message_id, number, claim_id, key, provider, time.time(), contents, composed_at))

    def dot(self, message_id: int, number: int) -> None:
        """The last byte that makes acceptance possible is about to leave."""
        self._announce(dot_line(message_id, number))

    def outcome(self, message_id: int, number: int, outcome: Outcome) -> None:
        """What came of the attempt. When this cannot be written the store still gets it, and the run stops."""
        try:
            self._append(outcome_line(message_id, number, outcome, time.time()))
        except OSError as error:
            self.broken = f"the journal {self.path} cannot be written: {error.strerror}"

    def sync(self) -> None:
        """Force what was written to the disk: called when the store may not have it."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Say that nothing follows, and give back the space that was not used."""
        with suppress(OSError):  # without it the journal proves no absence, and there is nothing left to prove
            self._append(encode(["e"]))
        os.ftruncate(self._descriptor, self._offset)
        os.close(self._descriptor)


class AttemptMark:
    """The PhaseMark of one attempt: writes the journal before bytes leave, and refuses on an old claim.

    `phase` is how far the bytes may have got: UNTOUCHED, BEGUN or DOTTED.
    """

    def __init__(
        self, journal: JournalWriter, *, message_id: int, number: int, claim_id: str, key: str, provider: str,
        contents: str, composed_at: float, deadline: Deadline, lease: Lease, deadline_s: float,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._message_id, self._number, self._claim_id = message_id, number, claim_id
        self._key, self._provider = key, provider
        self._contents, self._composed_at = contents, composed_at
        self._deadline, self._lease, self._deadline_s = deadline, lease, deadline_s
        self.phase = Phase.UNTOUCHED

    def begin(self) -> None:
        # The whole deadline must fit into the claim: a process that was stopped and continued begins nothing.
        if self._lease.remaining_s() < self._deadline_s or self._deadline.passed():
            raise ClaimExpired
        self._journal.begin(
            self._message_id, self._number, self._claim_id, self._key, self._provider, self._contents,
            self._composed_at,
        )  # fmt: skip
        self.phase = Phase.BEGUN
        faults.passing("journal.begun")

    def dot(self) -> None:
        if self._deadline.passed() or self._lease.remaining_s() <= 0:
            raise ClaimExpired
        self._journal.dot(self._message_id, self._number)
        faults.passing("journal.dotted")
        # Stopped between the check and here? The record says "dot", and still the bytes must not leave.
        if self._deadline.passed() or self._lease.remaining_s() <= 0:
            raise ClaimExpired
        self.phase = Phase.DOTTED
