"""Values kept once and known by numbers. Compares whole values, never hashes alone."""

from __future__ import annotations

from typing import Any


class Numbered(dict[Any, int]):
    """Values by number and numbers by value: compared whole, never by a hash alone."""

    def __init__(self) -> None:
        self.values_in_order: list[Any] = []

    def __missing__(self, value: Any) -> int:
        number = self[value] = len(self.values_in_order)
        self.values_in_order.append(value)
        return number

    def __call__(self, number: int) -> Any:
        return self.values_in_order[number]
