"""The file of a SQLite store: where it may lie, who may read and write it, and whether it is ours at all.

Asked before SQLite opens the file, so that a refusal leaves nothing behind. Never changes a file that is not ours.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sendctl.errors import NO_STORE_HINT, BadConfig, StoreRewound, Unreachable

# File systems on which SQLite's locks or shared memory do not hold. Source: https://sqlite.org/wal.html.
NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "afs",
        "ceph",
        "glusterfs",
        "9p",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.glusterfs",
    ]
)


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """Which file was opened: SQLite goes on with it when its name is given to another one, or to none."""

    path: Path
    device: int
    inode: int

    @classmethod
    def at(cls, path: Path) -> OpenedFile:
        """The file that has this name now. Raises Unreachable where there is none."""
        try:
            status = path.stat()
        except OSError as error:
            raise Unreachable(
                f"the store {path} is gone: {error.strerror}",
                hint="put it back under its old name; what was sent since stands in the journals.",
            ) from error
        return cls(path, status.st_dev, status.st_ino)

    def check(self) -> None:
        """Raises StoreRewound when another file has taken its place, Unreachable when it has gone."""
        if OpenedFile.at(self.path) != self:
            raise StoreRewound(
                f"another file took the place of {self.path} while this command had it open",
                hint="stop every pass, and see docs/runbooks/restored-backup.md; the next `sendctl send-due` says"
                " whether `sendctl recover` is needed.",
            )


def check_sqlite_file(path: Path, *, create: bool) -> None:
    """Raises BadConfig for what can never be a store, Unreachable for what may be one again.

    A file that others may read is closed to them; with `create` one that is not there is made.
    """
    if path.is_symlink():
        raise BadConfig(f"the store {path} is a symbolic link", hint="name the file itself in [store] url.")
    if not path.parent.is_dir():
        raise Unreachable(f"the store's folder {path.parent} does not exist", hint="create it, or mend [store] url.")
    kind = file_system(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise BadConfig(
            f"the store {path} lies on a network file system ({kind}), where SQLite's locks do not hold",
            hint="put it on a local disk, or use Postgres.",
        )
    if path.exists():
        check_writable(path)
        _close_to_others(path)
        return
    if not create:
        raise BadConfig(f"there is no store at {path}", hint=NO_STORE_HINT)
    try:
        # 0600 whatever the umask; the -wal and -shm files take the mode of this one.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise Unreachable(f"the store {path} cannot be created: {error.strerror}") from error


def check_writable(path: Path) -> None:
    """Readers write as well: their locks are in shared memory beside the file. Source: https://sqlite.org/wal.html.

    SQLite opens a file that it may only read nevertheless, and leaves files beside it that nobody may write.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadConfig(f"the store {path} is not a regular file")
    if not os.access(path, os.R_OK):
        raise Unreachable(f"the store {path} cannot be read by this user", hint="run as the user that owns it.")
    beside = [found for found in _beside(path) if found.exists()]
    for place in [path, *beside] if len(beside) == 2 else [path, *beside, path.parent]:
        if os.access(place, os.W_OK) or not place.exists():  # whoever closes the store last removes what lies beside it
            continue
        if os.statvfs(place).f_flag & os.ST_RDONLY:
            raise Unreachable(
                f"the store {path} is on a file system that is mounted read-only",
                hint="mount it writable; after an error of the disk the kernel makes it read-only: dmesg. "
                + _look(path),
            )
        raise Unreachable(f"{place} cannot be written by this user", hint=f"{_cure(place)} {_look(path)}")


def _cure(place: Path) -> str:
    if place.stat().st_uid != os.geteuid():
        return "run as the user that owns the store."
    return f"it is this user's own: chmod {'700' if place.is_dir() else '600'} {place}"


def _look(path: Path) -> str:
    """SQLite has a way without locks for readers, and reads nonsense with it while anybody writes: immutable=1."""
    return (
        f"SQLite's readers lock, too, in a file beside it. Only to look: copy {path} and {path.name}-wal (if it is"
        " there) into a folder of your own, and name the copy in SENDCTL_STORE_URL."
    )


def _beside(path: Path) -> list[Path]:
    """The write-ahead log and the shared memory: parts of the store while it is open, and after a kill."""
    return [path.with_name(f"{path.name}{ending}") for ending in ("-wal", "-shm")]


def _close_to_others(path: Path) -> None:
    status = path.stat()
    if not status.st_mode & 0o077 or status.st_uid != os.geteuid():
        return
    _examine(path)
    for place in (path, *_beside(path)):
        if place.exists():
            place.chmod(0o600)


def _examine(path: Path) -> None:
    """Refuse what is not ours while nothing of it has changed, not even its mode. Raises BadConfig."""
    # Immutable: takes no lock and makes no file beside it. Half of the store may be in the log, which is not seen like
    # this: whatever else is wrong, SQLite says when it opens the file for good.
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{quote(str(path))}?immutable=1", uri=True)) as found:
        check_ours(found, str(path))


def check_ours(connection: sqlite3.Connection, path: str) -> None:
    """What is not a store is refused before anything of it is changed. Raises BadConfig, and what the driver raises."""
    try:
        found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise BadConfig(
            f"{path} is not a SQLite database: it does not begin like one",
            hint="if that is the wrong file, mend [store] url; it was left as it is. If it was the store, its beginning"
            " is lost: docs/runbooks/restored-backup.md.",
        ) from error
    if found and "schema_version" not in found.get("store", ""):
        raise BadConfig(
            f"{path} is a database of something else: it has the tables {_few(found)}",
            hint="give sendctl a file of its own in [store] url; it was left as it is.",
        )


def _few(names: Iterable[str]) -> str:
    chosen = sorted(names)
    return ", ".join(chosen[:3]) + (", ..." if len(chosen) > 3 else "")


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, from the kernel's mount table; "" where there is none."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    target, best, kind = str(folder.resolve()), -1, ""
    for line in lines:
        fields, _, tail = line.partition(" - ")
        point = fields.split()[4].encode().decode("unicode_escape")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), tail.split()[0]
    return kind
