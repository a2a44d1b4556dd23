"""What a segment of a text costs, by the beginning of the number that it goes to; as an operator's contract has it.

Amounts are whole millionths of a currency's unit, so that sums are exact. An estimate: services bill in their own ways.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MILLION = 1_000_000
_PRICE = re.compile(r"(?:(\+[1-9][0-9]{0,14}) +)?([0-9]{1,6})(?:\.([0-9]{1,6}))? +([A-Z]{3})")  # ISO 4217


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in one currency. `by_prefix` has (beginning of a number, millionths), the longest first; "" is for all."""

    currency: str
    by_prefix: tuple[tuple[str, int], ...]

    def of(self, number: str) -> int | None:
        """Millionths for each segment to a number in E.164 form; None where no price is for it."""
        return next((price for prefix, price in self.by_prefix if number.startswith(prefix)), None)


def parse_prices(texts: Sequence[str]) -> Prices:
    """From texts such as "0.05 EUR", for all numbers, and "+49 0.11 EUR". Raises ValueError."""
    found: dict[str, int] = {}
    currencies = set[str]()
    for text in texts:
        price = _PRICE.fullmatch(text.strip())
        if price is None:
            raise ValueError(f'"{text}" is no price: want "0.05 EUR", or "+49 0.11 EUR" for numbers that begin so')
        prefix, whole, rest, currency = price[1] or "", price[2], price[3] or "", price[4]
        if prefix in found:
            raise ValueError(f"two prices for {f'numbers that begin with {prefix}' if prefix else 'all numbers'}")
        found[prefix] = int(whole) * MILLION + int(rest.ljust(6, "0"))
        currencies.add(currency)
    if not found:
        raise ValueError('it is empty: want "0.05 EUR"')
    if len(currencies) > 1:
        raise ValueError(f"several currencies: {', '.join(sorted(currencies))}")
    return Prices(currencies.pop(), tuple(sorted(found.items(), key=lambda item: -len(item[0]))))


def amount(millionths: int) -> str:
    """As a decimal number: two places at least, and as many more as it has. `0.0225`, `1234.50`."""
    whole, rest = divmod(millionths, MILLION)
    return f"{whole}.{f'{rest:06}'.rstrip('0').ljust(2, '0')}"
