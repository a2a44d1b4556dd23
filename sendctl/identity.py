"""Identities that survive a rewind: provider keys and link tokens are HMACs, claim and run ids are random.

None comes from a counter, which a restored backup would repeat.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets


def new_secret() -> str:
    """256 random bits in hex: the store's HMAC key."""
    return secrets.token_hex(32)


def new_id() -> str:
    """A random id of 80 bits in lower-case base32, short enough to read over the phone: runs and claims."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def provider_key(
    secret: str, *, campaign: str, address_key: str, subject_key: str, step_index: int, occurrence: int, channel: str
) -> str:
    """The key of one message, 128 bits in hex: the same after a rewind, one per message, never per attempt."""
    slot = json.dumps([campaign, address_key, subject_key, step_index, occurrence, channel])
    return hmac.digest(bytes.fromhex(secret), b"message\0" + slot.encode(), hashlib.sha256).hex()[:32]


def link_token(secret: str, *, campaign: str, address_key: str, subject_key: str) -> str:
    """An unguessable token of 160 bits in lower-case base32, bound to one enrollment."""
    place = json.dumps([campaign, address_key, subject_key])
    digest = hmac.digest(bytes.fromhex(secret), b"link\0" + place.encode(), hashlib.sha256)
    return base64.b32encode(digest[:20]).decode().lower()
