"""A maildir as a provider: each accepted message is one durable file that any mail reader opens.

The file is named after the provider key, so the same key is delivered once however often it is submitted. Never
replaces or removes a delivered file, never follows a symbolic link, never writes into a folder that is no maildir.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

from sendctl import faults
from sendctl.clock import Deadline
from sendctl.providers.base import Outcome, Outgoing, Phase, PhaseMark, Scope, Sought
from sendctl.providers.checks import Checked, failed, ok, unusable_folder
from sendctl.providers.facts import FACTS
from sendctl.states import AttemptOutcome

_FOLDERS = ("tmp", "new", "cur")
_SUFFIX = ".sendctl"
_TEXT_CHARS = 500
# A folder changed this shortly before it was listed may change again with the same stamp; FAT's 2 s are the coarsest.
_STAMP_GRANULARITY_NS = 2_000_000_000

# Only an operator can mend these; every other error of the file system (full disk, quota, I/O) may pass by itself.
_HALTING = frozenset(
    {
        errno.EACCES,
        errno.ELOOP,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EOPNOTSUPP,
        errno.EPERM,  # also link(2) on a file system without hard links
        errno.EROFS,
    }
)
_PLAIN_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_=+-]{0,99}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_READER_MARKS = re.compile(r"[:;!,]")  # what readers append to a name: ":2,S", ",S=1234"


class MaildirProvider:
    """One maildir (D. J. Bernstein, "Using maildir format"; maildir(5)). It blocks, so it takes one at a time.

    `path` is created with mode 0700 inside an existing folder. Without `fsync` a power loss may undo an acceptance.
    """

    capabilities = FACTS["maildir"].capabilities
    connections = 1

    def __init__(self, name: str, path: Path, fsync: bool = True) -> None:
        self.name = name
        self._path = path
        self._fsync = fsync
        self._durable = False  # whether the maildir's own folders are known to survive a power loss
        self._read_names = _ReadNames(path / "cur")

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        """Deliver one message; a key delivered before is ACCEPTED again, with nothing written.

        `provider_message_id` is the file's name without what a reader appends to it. Raises only ClaimExpired.
        """
        return self._submit(message, mark)

    def find(self, sought: Sought) -> str | None:
        """The provider_message_id under which its key was delivered, read or unread, or None. Raises OSError."""
        name = _file_name(sought.key)
        return name if self._has(name) else None

    async def check(self, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """See `Provider.check`. A maildir knows no senders. Makes nothing."""
        try:
            there = _is_folder(self._path)
            found = [folder for folder in _FOLDERS if there and _is_folder(self._path / folder)]
            stranger = there and not found and any(self._path.iterdir())
        except OSError as error:
            yield failed("maildir", f"{error.filename}: {error.strerror}", "mend path.")
            return
        places = [self._path, *(self._path / folder for folder in found)] if there else [self._path.parent]
        problem = f"{self._path} is neither a maildir nor empty" if stranger else ""
        problem = problem or next(filter(None, map(unusable_folder, places)), "")
        if problem:
            yield failed("maildir", problem, "mend path, or the folder's owner and mode.")
        else:
            yield ok("maildir", str(self._path) + ("" if there else ", which the first message makes"))

    async def close(self) -> None:
        """Nothing stays open between two messages."""

    def _has(self, name: str) -> bool:
        # In this order: a reader moves files from new to cur, never back.
        return os.path.lexists(self._path / "new" / name) or self._read_names.has(name)

    def _submit(self, message: Outgoing, mark: PhaseMark) -> Outcome:
        if _CONTROL.search(message.sender + message.recipient):
            text = "control characters in an envelope address"
            return Outcome(AttemptOutcome.REFUSED, Phase.UNTOUCHED, text=text, error_class="rcpt")
        name = _file_name(message.key)
        temporary = self._path / "tmp" / f"{name}.{os.getpid()}.{secrets.token_hex(8)}"
        try:
            self._prepare()
            delivered = self._has(name)
        except OSError as error:
            return _failed(error, Phase.UNTOUCHED)
        mark.begin()
        try:
            try:
                if not delivered:
                    self._write(temporary, message)
            except OSError as error:
                return _failed(error, Phase.BEGUN)
            faults.passing("provider.before_dot")
            mark.dot()
            return self._finish(name) if delivered else self._deliver(temporary, name)
        finally:
            with suppress(OSError):  # a forgotten file in tmp is swept by readers after 36 hours
                temporary.unlink()

    def _prepare(self) -> None:
        """Create what is missing of the maildir. Raises OSError if the place is something else."""
        if not _is_folder(self._path):
            self._path.mkdir(mode=0o700)
            self._durable = False
        missing = [folder for folder in _FOLDERS if not _is_folder(self._path / folder)]
        if len(missing) == len(_FOLDERS) and any(self._path.iterdir()):
            raise OSError(errno.ENOTDIR, "is neither a maildir nor empty", str(self._path))
        for folder in missing:
            with suppress(FileExistsError):  # another process was faster
                (self._path / folder).mkdir(mode=0o700)
        if missing or not self._durable:
            # On first use too: whoever made the folders may have died before they were durable.
            self._sync(self._path)
            with suppress(PermissionError):  # another's folder need not be readable
                self._sync(self._path.parent)
            self._durable = True

    def _write(self, temporary: Path, message: Outgoing) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(_delivered_form(message))
            file.flush()
            if self._fsync:
                os.fsync(file.fileno())

    def _deliver(self, temporary: Path, name: str) -> Outcome:
        try:
            # link(2), unlike rename(2), fails when another process has delivered the same key meanwhile.
            os.link(temporary, self._path / "new" / name)
        except FileExistsError:
            pass
        except OSError as error:
            links = _link_count(temporary)
            if links is None:
                return _unknown(error)
            if links == 1:
                return _failed(error, Phase.REPLIED)
            # Two links: done after all. NFS repeats a request whose reply was lost (open(2), O_EXCL).
        return self._finish(name)

    def _finish(self, name: str) -> Outcome:
        """ACCEPTED once the delivered file's place is durable; its content was before it got there."""
        try:
            self._sync(self._path / "new")
        except OSError as error:
            return _unknown(error)
        faults.passing("provider.replied")
        return Outcome(AttemptOutcome.ACCEPTED, Phase.REPLIED, provider_message_id=name)

    def _sync(self, folder: Path) -> None:
        if self._fsync:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


class _ReadNames:
    """The names in cur without their readers' marks, listed again only when the folder has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: frozenset[str] = frozenset()
        self._changed_ns = -1

    def has(self, name: str) -> bool:
        changed_ns = self._folder.stat().st_mtime_ns
        if changed_ns != self._changed_ns:
            settled = time.time_ns() - changed_ns > _STAMP_GRANULARITY_NS
            with os.scandir(self._folder) as entries:
                self._names = frozenset(
                    _READER_MARKS.split(entry.name, maxsplit=1)[0] for entry in entries if _SUFFIX in entry.name
                )
            self._changed_ns = changed_ns if settled else -1
        return name in self._names


def _file_name(key: str) -> str:
    """One name for one key: the key itself where it is safe in a file name, as all of ours are, else its digest."""
    safe = key if _PLAIN_KEY.fullmatch(key) else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return safe + _SUFFIX


def _delivered_form(message: Outgoing) -> bytes:
    """The content as readers expect it on disk: the envelope on top (RFC 5321 section 4.4), LF line ends."""
    envelope = f"Return-Path: <{message.sender}>\nDelivered-To: {message.recipient}\n"
    return envelope.encode("utf-8", "backslashreplace") + message.content.replace(b"\r\n", b"\n")


def _is_folder(path: Path) -> bool:
    """Whether `path` is a folder itself; False if nothing is there. Raises OSError for anything else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "is a symbolic link", str(path))
    if not stat.S_ISDIR(mode):
        raise OSError(errno.ENOTDIR, "is not a folder", str(path))
    return True


def _link_count(path: Path) -> int | None:
    try:
        return path.stat().st_nlink
    except OSError:
        return None


def _failed(error: OSError, phase: Phase) -> Outcome:
    kind = AttemptOutcome.HALTED if error.errno in _HALTING else AttemptOutcome.DEFERRED
    return _outcome(kind, phase, error)


def _unknown(error: OSError) -> Outcome:
    return _outcome(AttemptOutcome.UNKNOWN, Phase.DOTTED, error)


def _outcome(kind: AttemptOutcome, phase: Phase, error: OSError) -> Outcome:
    where = f"maildir {error.filename}" if error.filename else "maildir"
    text = _CONTROL.sub("?", f"{where}: {error.strerror or error}")[:_TEXT_CHARS]
    return Outcome(kind, phase, Scope.PROVIDER, text=text, error_class="disk")
