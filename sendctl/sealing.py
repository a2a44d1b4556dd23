"""Contents of letters encrypted at rest: AES-256-GCM, bound to the id of their message. Keys are known by an id.

Holds keys in memory only. Knows no store, and imports the cipher only when something is sealed or opened.
"""

# ruff: noqa: PLC0415  the cipher takes longer to import than a pass with nothing to do
from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

DAMAGED = "are damaged"
NONCE_BYTES = 12  # NIST SP 800-38D section 8.2: 96 bits, random, never twice under one key
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{64}")


class CannotOpen(Exception):
    """Why sealed contents cannot be read, in words that give nothing of them away."""


@dataclass(frozen=True, slots=True)
class SealingKey:
    """256 bits, and the name under which what they have sealed is known."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """Contents as they stand in the store; nonce and ciphertext in base64."""

    key_id: str
    nonce: str
    ciphertext: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The key that seals, if there is one, and all that open, by id. `trouble` says why one cannot be had."""

    current: SealingKey | None = None
    known: Mapping[str, SealingKey] = field(default_factory=dict)
    trouble: str = ""


def key_from(text: str) -> SealingKey:
    """A key from 64 hexadecimal digits. Raises ValueError, without a word of the text."""
    if not _HEX_KEY.fullmatch(text.strip()):
        raise ValueError("is no key: want 64 hexadecimal digits, as `openssl rand -hex 32` prints them")
    secret = bytes.fromhex(text.strip())
    return SealingKey(hashlib.sha256(b"sendctl letters\0" + secret).hexdigest()[:12], secret)


def seal(key: SealingKey, message_id: int, contents: bytes) -> Sealed:
    """Contents that only the key opens, and only as those of this message."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_BYTES)
    ciphertext = AESGCM(key.secret).encrypt(nonce, contents, _bound_to(message_id))
    return Sealed(key.id, base64.b64encode(nonce).decode(), base64.b64encode(ciphertext).decode())


def unseal(keys: Keyring, message_id: int, sealed: Sealed) -> bytes:
    """The contents of a message. Raises CannotOpen when the key is not here, or they are not what was sealed for it."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = keys.known.get(sealed.key_id)
    if key is None:
        more = f" ({keys.trouble})" if keys.trouble else ""
        raise CannotOpen(f"its contents are sealed with key {sealed.key_id}, which this host does not have{more}")
    try:
        nonce, ciphertext = (base64.b64decode(text, validate=True) for text in (sealed.nonce, sealed.ciphertext))
        return AESGCM(key.secret).decrypt(nonce, ciphertext, _bound_to(message_id))
    except (InvalidTag, ValueError):
        reason = f"its sealed contents {DAMAGED}, or another message's: key {sealed.key_id} does not open them"
        raise CannotOpen(reason) from None


def _bound_to(message_id: int) -> bytes:
    return f"sendctl message {message_id}".encode()
