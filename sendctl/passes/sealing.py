"""The keys of this host, what an encrypted letter keeps to itself, and putting all of it under another key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from sendctl import faults
from sendctl.definition import Step
from sendctl.errors import BadConfig, ExitCode
from sendctl.passes.context import Context, who
from sendctl.sealing import DAMAGED, CannotOpen, Keyring, Sealed, SealingKey, key_from, seal, unseal
from sendctl.settings import resolve_secret
from sendctl.store import audit, sealed

__all__ = [
    "DAMAGED", "Contents", "Rotated", "contents_of", "current_key", "keep", "keyring", "missing_keys", "open_all",
    "opened", "rotate",
]  # fmt: skip
PARTS = ("subject", "text", "html")
BATCH = 200


@dataclass(frozen=True, slots=True)
class Contents:
    """What is sealed of a letter: its templates, and the data of its contact. Never shown."""

    parts: Mapping[str, str] = field(repr=False)
    contact: Mapping[str, Any] = field(repr=False)

    def step(self, bare: Step) -> Step:
        """The step with its contents."""
        subject, text, html = (self.parts.get(name, "") for name in PARTS)
        return replace(bare, subject=subject, text=text, html=html)

    def as_bytes(self) -> bytes:
        return json.dumps({"parts": dict(self.parts), "contact": dict(self.contact)}, ensure_ascii=False).encode()


def contents_of(step: Step, contact: Mapping[str, Any]) -> Contents:
    """What a letter seals."""
    return Contents({name: getattr(step, name) for name in PARTS}, contact)


def keyring(context: Context) -> Keyring:
    """The keys that this host has. One that cannot be had is no error before it is needed: `trouble` says why."""
    options = context.settings.letters.keys
    found: dict[str, SealingKey] = {}
    troubles, current = [], None
    for name in ("key", "previous_key"):
        try:
            text = resolve_secret(options, name, context.environ)
            key = key_from(text) if text is not None else None
        except (BadConfig, ValueError) as error:
            troubles.append(f"[letters] {name}: {error}")
            continue
        if key is not None:
            found[key.id] = key
            current = key if name == "key" else current
    return Keyring(current, found, "; ".join(troubles))


def current_key(keys: Keyring) -> SealingKey:
    """The key that seals. Raises BadConfig without one."""
    if keys.current is None:
        raise BadConfig(
            "letters cannot be encrypted here: no key" + (f" ({keys.trouble})" if keys.trouble else ""),
            hint="`openssl rand -hex 32` makes one; name its file with key_file in [letters] of sendctl.toml.",
        )
    return keys.current


def keep(connection: Connection, keys: Keyring, message_id: int, contents: Contents, now: datetime) -> None:
    """Seal the contents of a message."""
    sealed.write(connection, message_id, seal(current_key(keys), message_id, contents.as_bytes()), now)


def opened(keys: Keyring, found: Mapping[int, Sealed], message_id: int) -> Contents:
    """The contents of a message, to be sent. Raises CannotOpen."""
    if message_id not in found:
        raise CannotOpen(f"its sealed contents {DAMAGED}: they are gone from the store")
    try:
        data = json.loads(unseal(keys, message_id, found[message_id]))
        return Contents(data["parts"], data["contact"])
    except (ValueError, KeyError, TypeError):
        raise CannotOpen(f"its sealed contents {DAMAGED}: they are not those of a letter") from None


def open_all(
    context: Context, connection: Connection, message_ids: Sequence[int], now: datetime
) -> tuple[dict[int, Contents], str, bool]:
    """What can be opened of messages that are due; why the rest cannot, and whether that is news. It is noted."""
    keys, found = keyring(context), sealed.of(connection, message_ids)
    contents: dict[int, Contents] = {}
    why, is_news = "", False
    for message_id in message_ids:
        try:
            contents[message_id] = opened(keys, found, message_id)
        except CannotOpen as problem:
            why = str(problem)
            is_news |= sealed.note(connection, message_id, why, now)
    return contents, why, is_news


def missing_keys(keys: Keyring, wanted: Iterable[str]) -> list[str]:
    """Those of these keys that this host does not have."""
    return sorted(set(wanted) - keys.known.keys())


# -- rotation -------------------------------------------------------------------------------------------------------


@dataclass
class Rotated:
    """What a rotation did. `failed` cannot be opened with any key of this host, and stay as they are."""

    key_id: str
    resealed: int = 0
    already: int = 0
    failed: dict[int, str] = field(default_factory=dict)  # message: why

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.NEEDS_PERSON if self.failed else ExitCode.DONE


def rotate(context: Context, reason: str = "") -> Rotated:
    """Put all sealed contents under the current key, some at a time; again, it goes on where it was. Raises BadConfig.

    A message is under one key at each moment, and each of them is known here: letters go on being sent meanwhile.
    """
    keys = keyring(context)
    key = current_key(keys)
    report, after_id = Rotated(key.id), -1
    with context.store.read() as connection:
        report.already = sealed.counts(connection).get(key.id, 0)
    while True:
        with context.store.write() as connection:
            some = sealed.not_under(connection, key.id, after_id=after_id, limit=BATCH)
            for message_id, before in some:
                _reseal(context, connection, keys, message_id, before, report)
            if not some:
                _audit(context, connection, report, reason)
            faults.passing("rotate.before_commit")
        faults.passing("rotate.committed")
        if not some:
            return report
        after_id = some[-1][0]


def _reseal(
    context: Context, connection: Connection, keys: Keyring, message_id: int, before: Sealed, report: Rotated
) -> None:
    try:
        after = seal(current_key(keys), message_id, unseal(keys, message_id, before))
    except CannotOpen as problem:
        report.failed[message_id] = str(problem)
        return
    report.resealed += sealed.reseal(connection, message_id, before, after, context.store.now(connection))


def _audit(context: Context, connection: Connection, report: Rotated, reason: str) -> None:
    audit.write(
        connection, login=who(context.environ), hostname=context.hostname, action="rotate-key", campaign_id=None,
        reason=reason, now=context.store.now(connection),
        detail={"key": report.key_id, "resealed": report.resealed, "failed": len(report.failed)},
    )  # fmt: skip
