"""Prices of segments: the longest beginning of a number counts, and sums are exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendctl.prices import MILLION, amount, parse_prices


def test_the_longest_beginning_of_a_number_counts() -> None:
    prices = parse_prices(["0.05 EUR", "+4915 0.2 EUR", "+49 0.11 EUR"])
    assert prices.currency == "EUR"
    assert [prices.of(number) for number in ("+4915112345678", "+4930123456", "+12025550100")] == [
        200_000, 110_000, 50_000,
    ]  # fmt: skip
    assert parse_prices(["+49 0.11 EUR"]).of("+12025550100") is None


@pytest.mark.parametrize("text", ["", "EUR", "0.05", "0.05 eur", "-1 EUR", "1e3 EUR", "49 0.05 EUR", "+0 1 EUR",
                                  "0.0000001 EUR", "0,05 EUR", "1 EUR x", "\u0661 EUR"])  # fmt: skip
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no price"):
        parse_prices([text])


@pytest.mark.parametrize(
    ("millionths", "text"),
    [(0, "0.00"), (1, "0.000001"), (7_900, "0.0079"), (50_000, "0.05"), (100_000, "0.10"), (MILLION, "1.00"),
     (1_234_500_000, "1234.50")],
)  # fmt: skip
def test_an_amount_has_two_places_and_all_that_it_needs(millionths: int, text: str) -> None:
    assert amount(millionths) == text


@given(st.integers(0, 999_999 * MILLION))
def test_an_amount_reads_back_as_it_was(millionths: int) -> None:
    assert parse_prices([f"{amount(millionths)} EUR"]).of("+1") == millionths
