"""Identities that survive a rewind: provider keys and link tokens are HMACs, claim and run ids are random.

None comes from a counter, which a restored backup would repeat.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii
from typing import Any

from sendctl.definition import StepName


def new_secret() -> str:
    """256 random bits in hex: the store's HMAC key."""
    return secrets.token_hex(32)


def new_id() -> str:
    """A random id of 80 bits in lower-case base32, short enough to read over the phone: runs and claims."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def provider_key(
    secret: str, *, campaign: str, address_key: str, subject_key: str, step: StepName | int, occurrence: int,
    channel: str, copy: int = 0,
) -> str:  # fmt: skip
    """The key of one message, 128 bits in hex: the same after a rewind, one per message, never per attempt.

    `copy` counts what an operator had sent once more; 0, the message itself, has the key that it always had. A number
    for the step gives the key that versions before had: journals may still have it.
    """
    named: object = step
    if isinstance(step, StepName):
        named = [*step] if step.times_back else step.name or 0
    place = [campaign, address_key, subject_key, named, occurrence, channel]
    slot = json.dumps([*place, copy] if copy else place)
    return hmac.digest(bytes.fromhex(secret), b"message\0" + slot.encode(), hashlib.sha256).hex()[:32]


def link_token(secret: str, *, campaign: str, address_key: str, subject_key: str) -> str:
    """An unguessable token of 160 bits in lower-case base32, bound to one enrollment."""
    place = json.dumps([campaign, address_key, subject_key])
    digest = hmac.digest(bytes.fromhex(secret), b"link\0" + place.encode(), hashlib.sha256)
    return base64.b32encode(digest[:20]).decode().lower()


_BLOCK_BYTES = 64  # of SHA-256: RFC 2104 section 2
_BASE32 = b"abcdefghijklmnopqrstuvwxyz234567"
_LETTERS = _BASE32 + bytes(256 - len(_BASE32))


class FirstNames:
    """The link tokens and first provider keys of many people in one campaign: those of the functions above.

    What is the same for all is hashed once; a person costs a third of what the functions take.
    """

    def __init__(self, secret: str, *, campaign: str, channel: str) -> None:
        key = bytes.fromhex(secret).ljust(_BLOCK_BYTES, b"\0")
        assert len(key) == _BLOCK_BYTES  # a longer one would have to be hashed first: RFC 2104 section 2
        begin = f"[{json.dumps(campaign)}, "
        inner = bytes(byte ^ 0x36 for byte in key)
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))
        self._message = hashlib.sha256(inner + b"message\0" + begin.encode())
        self._link = hashlib.sha256(inner + b"link\0" + begin.encode())
        self._message_end = f', "", 0, 0, {json.dumps(channel)}]'.encode()

    def provider_keys(self, address_keys: Iterable[str]) -> list[str]:
        """`provider_key` of each address's first message, without a subject."""
        return [digest[:16].hex() for digest in self._digests(self._message, address_keys, self._message_end)]

    def link_tokens(self, address_keys: Iterable[str]) -> list[str]:
        """`link_token` of each address, without a subject."""
        digests = self._digests(self._link, address_keys, b', ""]')
        letters = _base32(b"".join([digest[:20] for digest in digests]))
        return [letters[place : place + 32] for place in range(0, len(letters), 32)]

    def _digests(self, begun: Any, address_keys: Iterable[str], end: bytes) -> list[bytes]:
        outer, digests = self._outer.copy, []
        for address_key in address_keys:
            inner = begun.copy()
            inner.update(encode_basestring_ascii(address_key).encode() + end)
            whole = outer()
            whole.update(inner.digest())
            digests.append(whole.digest())
        return digests


def _base32(data: bytes) -> str:
    """Lower-case base32 (RFC 4648 section 6) of a multiple of 5 bytes.

    All groups at once, as one number: base64.b32encode takes twenty times as long. Each group of 40 bits stands in
    8 bytes; its halves are moved apart, then the halves of these, until each byte has the 5 bits of one letter.
    """
    groups = len(data) // 5
    spread = bytearray(8 * groups)
    for place in range(5):
        spread[3 + place :: 8] = data[place::5]
    number = int.from_bytes(spread, "big")
    for kept_bits, moved_by, lane_bytes in ((20, 12, 8), (10, 6, 4), (5, 3, 2)):
        lane = ((1 << kept_bits) - 1).to_bytes(lane_bytes, "big")
        low = int.from_bytes(lane * (8 * groups // lane_bytes), "big")
        number = (number & low) | (number & (low << kept_bits)) << moved_by
    return number.to_bytes(8 * groups, "big").translate(_LETTERS).decode()
