"""What a host remembers of a store outside of it: where it was, how many passes it has counted, which hosts it knew.

A store that was put back to an earlier time has forgotten passes and hosts, one that is gone everything. What is
remembered stands in the journal folder, and a second time in a witness folder elsewhere, because a folder with store
and journals in it may be put back whole.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sendctl.journal.disk import not_writable


@dataclass(frozen=True, slots=True)
class Remembered:
    """A store that had passes."""

    store_id: str
    passes: int
    last_at: datetime  # by this host's clock


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
        from sendctl.identity import new_id  # noqa: PLC0415  most passes make no id, and all would pay for it

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

    def note_place(self, store_id: str, place: str) -> None:
        """Remember where a store is (settings/store_url.py: place_of_store), in place of where it was."""
        for folder, name in [(self.path, f"{store_id}.place")] + [
            (folder, f"{store_id}.{self.host_id}.place") for folder in self.witnesses if folder.is_dir()
        ]:
            with suppress(OSError):  # as for hosts
                if not (folder / name).exists() or (folder / name).read_text() != place:
                    from sendctl.identity import new_id  # noqa: PLC0415  most passes make no id, and all would pay for it

                    temporary = folder / f".{store_id}.{new_id()}"
                    temporary.write_text(place)
                    temporary.replace(folder / name)

    def stores_at(self, place: str) -> list[Remembered]:
        """The stores that had passes at a place, the last one first. Makes no folder."""
        found = {path.name.partition(".")[0] for path in self._places(place)}
        return sorted(map(self._remembered, found), key=lambda one: one.last_at, reverse=True)

    def forget_place(self, place: str) -> None:
        """Somebody begins anew at a place: no store is missed there any more."""
        for path in self._places(place):
            path.unlink(missing_ok=True)

    def _places(self, place: str) -> list[Path]:
        paths = [path for folder in (self.path, *self.witnesses) for path in folder.glob("[!.]*.place")]
        return [path for path in paths if _text_of(path) == place]

    def _remembered(self, store_id: str) -> Remembered:
        counts = [self._passes_path(store_id)]
        counts += [path for folder in self.witnesses for path in folder.glob(f"{store_id}.*.passes")]
        last_s = max((path.stat().st_mtime for path in counts if path.exists()), default=0.0)
        return Remembered(store_id, self.seen_passes(store_id), datetime.fromtimestamp(last_s, UTC))

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


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


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
