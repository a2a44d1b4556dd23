"""A file as a provider of text messages: each accepted message is one durable JSON Line at its end.

A line counts when its line feed is there and it was synced; what a death leaves of one is cut off by the next writer,
and never taken for a message. Beside it stands PATH.lock, held by whoever writes or looks, which knows whether the file
is still what it was (sms_file_watch.py): only then does it prove that a message is not there. Never follows a symbolic
link, never writes into what is no regular file.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import re
import stat
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from sendctl import faults
from sendctl.clock import Deadline
from sendctl.providers import sms_file_watch as watches
from sendctl.providers.base import Outcome, Outgoing, Phase, PhaseMark, Scope, Sought
from sendctl.providers.checks import Checked, failed, ok, unusable_folder
from sendctl.providers.facts import FACTS
from sendctl.providers.sms_file_watch import Watch
from sendctl.states import AttemptOutcome

# O_NONBLOCK: to open a pipe would wait for whoever reads it.
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOCK_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TEXT_CHARS = 500
_LINE_BYTES = 1 << 16  # no line of ours is as long
_LOOK_S = 5.0  # how long `find` waits for its turn
_TURN_S = 0.002

# Only an operator can mend these; every other error of the file system (full disk, quota, I/O) may pass by itself.
_HALTING = frozenset(
    {
        errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.EOPNOTSUPP,
        errno.EPERM, errno.EROFS,
    }
)  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class SmsFileProvider:
    """One file of JSON Lines. It blocks, so it takes one message at a time.

    `path` is made with mode 0600 in an existing folder. Without `fsync` a power loss may undo an acceptance.
    """

    capabilities = FACTS["file"].capabilities
    connections = 1

    def __init__(self, name: str, path: Path, fsync: bool = True) -> None:
        self.name = name
        self._path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._fsync = fsync
        self._durable = False  # whether the places of both files are known to survive a power loss

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        """Append one message; a key that an earlier attempt has put there is ACCEPTED again, with nothing written.

        `provider_message_id` is the key. Raises only ClaimExpired.
        """
        try:
            with _opened(self._lock_path, _LOCK_FLAGS | os.O_CREAT) as lock:
                while not _taken(lock):
                    if deadline.passed():
                        raise OSError(errno.EAGAIN, "another process holds it", str(self._lock_path))
                    await asyncio.sleep(_TURN_S)
                with _opened(self._path, _FLAGS | os.O_CREAT) as file:
                    return self._submit(lock, file, message, deadline, mark)
        except OSError as error:
            return _failed(error, Phase.UNTOUCHED)

    def find(self, sought: Sought) -> str | None:
        """The key, where its line is whole, and durable from now on; None where there is none. Raises OSError."""
        with self._looking() as (_, file):
            if file is None or not _has(file, sought.key):
                return None
            self._sync(file)
            return sought.key

    def absence_unproven(self, since: datetime) -> str:
        """Why it proves nothing that `find` finds none of a message handed over at `since`; "" where it proves it.

        Raises OSError.
        """
        with self._looking() as (lock, file):
            watch = watches.read(lock)
            if file is None or watch is None or not watch.fits(file):
                return f"{self._path} was removed, replaced or shortened"
            return "" if watch.proves_since(since) else f"{self._path} has been watched only since {watch.known_from}"

    async def check(self, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """See `Provider.check`. A file takes any sender. Makes nothing."""
        problem = unusable_folder(self._path.parent)
        for path in (self._path, self._lock_path):
            try:
                with _opened(path, _LOCK_FLAGS):
                    pass
            except FileNotFoundError:
                pass
            except OSError as error:
                problem = problem or f"{path}: {error.strerror}"
        if problem:
            yield failed("file", problem, "mend path, or the folder's owner and mode.")
        else:
            yield ok("file", str(self._path) + ("" if self._path.exists() else ", which the first message makes"))

    async def close(self) -> None:
        """Nothing stays open between two messages."""

    # -- looking --------------------------------------------------------------------------------------------------

    @contextmanager
    def _looking(self) -> Iterator[tuple[int, int | None]]:
        """The lock file, held, and the file, None if there is none. Raises OSError, and when it is never free."""
        give_up_s = time.monotonic() + _LOOK_S
        with _opened(self._lock_path, _LOCK_FLAGS) as lock:
            while not _taken(lock):
                if time.monotonic() > give_up_s:
                    raise OSError(errno.EAGAIN, "another process holds it", str(self._lock_path))
                time.sleep(_TURN_S)
            try:
                with _opened(self._path, _FLAGS) as file:
                    yield lock, file
            except FileNotFoundError:
                yield lock, None

    # -- writing --------------------------------------------------------------------------------------------------

    def _submit(self, lock: int, file: int, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        now = deadline.clock.utc_now()
        watch = self._prepared(lock, file, now)
        there = message.attempt > 1 and _has(file, message.key)
        end = os.fstat(file).st_size
        mark.begin()
        faults.passing("provider.before_dot")
        mark.dot()
        if not there:
            line = _line(message, now)
            try:
                _append(file, line)
            except OSError as error:
                # Its line feed is not there, so that it is no message, also where this fails.
                with suppress(OSError):
                    os.ftruncate(file, end)
                return _failed(error, Phase.REPLIED)
            end += len(line)
        try:
            self._sync(file)
            watches.write(lock, watch.grown(end, message.key) if not there else watch)
        except OSError as error:
            return _outcome(AttemptOutcome.UNKNOWN, Phase.DOTTED, error)
        faults.passing("provider.replied")
        return Outcome(AttemptOutcome.ACCEPTED, Phase.REPLIED, provider_message_id=message.key)

    def _prepared(self, lock: int, file: int, now: datetime) -> Watch:
        """Cut off what a death has left of a line, and see that the file is watched. Raises OSError."""
        size = os.fstat(file).st_size
        tail = os.pread(file, _LINE_BYTES, max(0, size - _LINE_BYTES))
        torn = len(tail) - tail.rfind(b"\n") - 1
        if torn == _LINE_BYTES:
            raise OSError(errno.EPERM, "has no lines: it is no file of messages", str(self._path))
        if torn:
            os.ftruncate(file, size - torn)
        watch = watches.read(lock)
        if watch is None or not watch.fits(file):
            new = os.fstat(lock).st_size == 0 and size == torn
            watch = watches.begun(file, now, lost=not new)
            watches.write(lock, watch)
            self._sync(lock)
            self._durable = False
        if not self._durable:
            # On first use too: whoever made the files may have died before they were durable.
            self._sync_folder()
            self._durable = True
        return watch

    def _sync(self, descriptor: int) -> None:
        if self._fsync:
            os.fsync(descriptor)

    def _sync_folder(self) -> None:
        with suppress(PermissionError):  # another's folder need not be readable
            descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._sync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """A regular file's descriptor. Raises OSError."""
    descriptor = os.open(path, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EPERM, "is no regular file", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(lock: int) -> bool:
    """Take the lock, if it is free. A death gives it back, a stop does not: flock(2)."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has(file: int, key: str) -> bool:
    """Whether a whole line has that key. No text can look like one: in JSON its quotes are escaped."""
    begin = f'{{"key":{json.dumps(key)},'.encode()
    with os.fdopen(os.dup(file), "rb") as lines:
        lines.seek(0)
        return any(line.startswith(begin) and line.endswith(b"\n") for line in lines)


def _line(message: Outgoing, now: datetime) -> bytes:
    """The message as one line: the key first, the line feed last."""
    fields = {"key": message.key, "at": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "from": message.sender or None}
    fields |= {"to": message.recipient, "text": message.content.decode()}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _append(file: int, line: bytes) -> None:
    """Write all of it. Raises OSError when its last byte, the line feed, was not written."""
    left = memoryview(line)
    while left:
        left = left[os.write(file, left) :]


def _failed(error: OSError, phase: Phase) -> Outcome:
    kind = AttemptOutcome.HALTED if error.errno in _HALTING else AttemptOutcome.DEFERRED
    return _outcome(kind, phase, error)


def _outcome(kind: AttemptOutcome, phase: Phase, error: OSError) -> Outcome:
    where = f"file {error.filename}" if error.filename else "file"
    text = _CONTROL.sub("?", f"{where}: {error.strerror or error}")[:_TEXT_CHARS]
    return Outcome(kind, phase, Scope.PROVIDER, text=text, error_class="disk")
