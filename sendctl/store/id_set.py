"""A set of ids in little memory: one bit for each, in pages, because the ids of a load lie close together."""

from __future__ import annotations

_PAGE_BITS = 15  # a page of 4 KiB holds 32,768 ids


class IdSet:
    """Ids that were added; any whole numbers."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._count = 0

    def add(self, number: int) -> bool:
        """Add an id; False if it was there already."""
        page = self._pages.get(number >> _PAGE_BITS)
        if page is None:
            page = self._pages[number >> _PAGE_BITS] = bytearray(1 << (_PAGE_BITS - 3))
        place = (number & ((1 << _PAGE_BITS) - 1)) >> 3
        bit = 1 << (number & 7)
        if page[place] & bit:
            return False
        page[place] |= bit
        self._count += 1
        return True

    def __len__(self) -> int:
        return self._count
