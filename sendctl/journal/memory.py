"""What a host remembers of a store outside of it: how many passes it has counted, and which hosts it knew.

A store that was put back to an earlier time has forgotten both. The numbers stand in the journal folder, and a second
time in a witness folder elsewhere, because a folder with store and journals in it may be put back whole.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sendctl.identity import new_id
from sendctl.journal.disk import not_writable


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one host. `path` is the journal folder; of `witnesses`, the first that can be written is used."""

    path: Path
    host_id: str
    witnesses: tuple[Path, ...] = ()

    def seen_passes(self, store_id: str) -> int:
        """The highest number of a pass that this host has seen in a store."""
        witnessed = [path for folder in self.witnesses for path in folder.glob(f"{store_id}.*.passes")]
        return max(map(_number_in, [self._passes_path(store_id), *witnessed]))

    def misses_passes(self, store_id: str) -> bool:
        """Whether this folder was itself put back to an earlier time, or began anew: its journals know too little."""
        known = _number_in(self._passes_path(store_id))
        mine = [_number_in(self._witness_path(folder, store_id)) for folder in self.witnesses]
        return known < max(mine, default=0) or (known == 0 and self.seen_passes(store_id) > 0)

    def _passes_path(self, store_id: str) -> Path:
        return self.path / f"{store_id}.passes"

    def _witness_path(self, folder: Path, store_id: str) -> Path:
        return folder / f"{store_id}.{self.host_id}.passes"

    def _hosts_path(self, store_id: str) -> Path:
        return self.path / f"{store_id}.hosts"

    def known_hosts(self, store_id: str) -> dict[str, str]:
        """The hosts that this one has seen in a store, by id: their names. A store put back may not know them all."""
        try:
            return dict(json.loads(self._hosts_path(store_id).read_text()))
        except (OSError, ValueError):
            return {}

    def note_hosts(self, store_id: str, hosts: Mapping[str, str]) -> None:
        """Remember a store's hosts in place of those remembered before."""
        if hosts == self.known_hosts(store_id):
            return
        with suppress(OSError):  # a full disk is found before anything is claimed
            temporary = self.path / f".{store_id}.{new_id()}"
            temporary.write_text(json.dumps(dict(hosts)))
            temporary.replace(self._hosts_path(store_id))

    def note_passes(self, store_id: str, number: int) -> None:
        """Remember the number of the pass that begins here, unless a later one has begun."""
        try:
            _raise_to(self._passes_path(store_id), number)
        except OSError as error:
            raise not_writable(f"the journal folder {self.path}", error) from error
        for folder in self.witnesses:
            with suppress(OSError):  # a second opinion: not every user has a home folder
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _raise_to(self._witness_path(folder, store_id), number)
                return

    def is_witnessed(self, store_id: str) -> bool:
        """Whether anything outside of this folder remembers the passes on a store, as far as there were any."""
        if not _number_in(self._passes_path(store_id)):
            return True
        return any(self._witness_path(folder, store_id).exists() for folder in self.witnesses)


def _number_in(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _raise_to(path: Path, number: int) -> None:
    """Write a number unless there is a higher one. Locked: a pass that began earlier may come later."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if number > _number_in(path):
            os.pwrite(descriptor, b"%020d\n" % number, 0)  # of one width, so that it is replaced at once
    finally:
        os.close(descriptor)


def is_ours(witness: Path) -> bool:
    """Whether a folder may be believed: nobody else made it, where anybody could. One that is not there yet may."""
    try:
        found = witness.lstat()
    except OSError:
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
