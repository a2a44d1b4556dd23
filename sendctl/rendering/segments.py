"""How many segments a text message takes: what an operator pays for is the segment, not the message.

A text of the GSM 7-bit default alphabet and its extension table fits 160 characters into one segment, or 153 into each
of several; any other text is sent as UCS-2, 70 or 67 of its 16-bit units. Source: 3GPP TS 23.038 sections 6.2.1 and
6.2.1.1, TS 23.040 section 9.2.3.24.1 (concatenation takes 6 octets of each segment).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")  # an escape and a character: two places, which no segment end divides
GSM, UCS2 = "GSM-7", "UCS-2"
_ROOM = {GSM: (160, 153), UCS2: (70, 67)}


class Length(NamedTuple):
    """How long a text is: its encoding, its units (septets of GSM-7, 16-bit units of UCS-2) and its segments."""

    encoding: str
    units: int
    segments: int


def length_of(text: str) -> Length:
    """The length of a text as it is sent. An empty one takes a segment."""
    encoding = GSM if _BASIC.union(_EXTENSION).issuperset(text) else UCS2
    costs = [_cost(character, encoding) for character in text]
    alone, joined = _ROOM[encoding]
    units = sum(costs)
    return Length(encoding, units, 1 if units <= alone else _segments(costs, joined))


def beyond_gsm(text: str) -> list[str]:
    """The characters that make a text UCS-2, each once, in order of appearance."""
    return list(dict.fromkeys(character for character in text if character not in _BASIC | _EXTENSION))


def _cost(character: str, encoding: str) -> int:
    if encoding == GSM:
        return 2 if character in _EXTENSION else 1
    return 2 if ord(character) > 0xFFFF else 1  # a surrogate pair


def _segments(costs: Iterable[int], room: int) -> int:
    """Segments of so much room; what takes two units stands in one of them."""
    segments, used = 1, 0
    for cost in costs:
        if used + cost > room:
            segments, used = segments + 1, 0
        used += cost
    return segments
