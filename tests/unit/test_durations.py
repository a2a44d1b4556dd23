"""Durations, rates and moments: what is read, what is refused, and that what is written is read back."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendctl.durations import LONGEST_S, Rate, format_duration, format_rate, parse_duration_s, parse_rate, parse_when

NOW = datetime(2026, 11, 22, 4, 13, 5, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("1m", 60),
        ("3h", 10800),
        ("7d", 604800),
        ("2w", 1209600),
        ("1h30m", 5400),
        ("3d 4h", 273600),
    ],
)
def test_durations_are_read_in_seconds(text: str, seconds: int) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "7", "d", "-1d", "+1d", "1.5h", "7 days", "7D", "1h 1h", "1m 1h", "1h ", " 1h", "٣d", "1h\n", "9999w"],
)
def test_what_is_no_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration|longer than ten years") as caught:
        parse_duration_s(text)
    assert f'"{text}"' in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m"),
        (3661, "1h 1m"),
        (273600, "3d 4h"),
        (86401, "1d"),
        (-90, "-1m 30s"),
    ],
)
def test_durations_are_written_in_two_units_and_cut(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, LONGEST_S))
def test_a_written_duration_is_read_back_without_its_smaller_units(seconds: int) -> None:
    text = format_duration(seconds)
    again = parse_duration_s(text)
    smallest_kept_s = {"d": 86400, "h": 3600, "m": 60, "s": 1}[text[-1]]
    assert 0 <= seconds - again < smallest_kept_s
    assert format_duration(again) == text


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        assert 0 <= parse_duration_s(text) <= LONGEST_S
    except ValueError as error:
        assert text in str(error)  # noqa: PT017 - both ends are right


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50/s", Rate(50, 1)),
        ("50/sec", Rate(50, 1)),
        ("100/m", Rate(100, 60)),
        ("100/min", Rate(100, 60)),
        ("100 / minute", Rate(100, 60)),
        ("1000/h", Rate(1000, 3600)),
        ("1000/hour", Rate(1000, 3600)),
        ("20000/d", Rate(20000, 86400)),
        ("20000/day", Rate(20000, 86400)),
    ],
)
def test_rates_are_read(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "50", "50/", "/s", "0/s", "-5/s", "1.5/s", "50/fortnight", "50/S", "9999999999/s"]
)
def test_what_is_no_rate_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate") as caught:
        parse_rate(text)
    assert f'"{text}"' in str(caught.value)


@given(st.builds(Rate, st.integers(1, 10**9), st.sampled_from([1, 60, 3600, 86400])))
def test_a_written_rate_is_read_back(rate: Rate) -> None:
    assert parse_rate(format_rate(rate)) == rate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("+2h", NOW + timedelta(hours=2)),
        ("2026-11-23T09:00:00Z", datetime(2026, 11, 23, 9, tzinfo=UTC)),
        ("2026-11-23t09:00z", datetime(2026, 11, 23, 9, tzinfo=UTC)),
        ("2026-11-23T09:00:00+02:00", datetime(2026, 11, 23, 7, tzinfo=UTC)),
        ("2026-11-23 09:00", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("2026-07-01T09:00:00.5", datetime(2026, 7, 1, 7, 0, 0, 500000, tzinfo=UTC)),
    ],
)
def test_moments_are_read_into_utc(text: str, expected: datetime) -> None:
    moment = parse_when(text, now=NOW, zone=BERLIN)
    assert moment == expected
    assert moment.tzinfo is UTC


def test_a_time_that_clocks_skip_is_refused_by_name_and_zone() -> None:
    with pytest.raises(ValueError, match=r'"2026-03-29 02:30" does not exist in Europe/Berlin'):
        parse_when("2026-03-29 02:30", now=NOW, zone=BERLIN)


def test_a_time_that_comes_twice_is_the_first_of_both() -> None:
    assert parse_when("2026-10-25 02:30", now=NOW, zone=BERLIN) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_an_offset_is_believed_even_inside_a_gap() -> None:
    moment = parse_when("2026-03-29T02:30:00+01:00", now=NOW, zone=BERLIN)
    assert moment == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-11-23", "no time of day"),
        ("2026-02-30 09:00", "is no moment"),
        ("2026-11-23T09:00:00+25:00", "its offset from UTC is a day or more"),
        ("tomorrow", "is no moment"),
        ("2026-W48-1", "is no moment"),
        ("09:00", "is no moment"),
        ("+", "is no duration"),
        ("+2 hours", "is no duration"),
        ("", "is no moment"),
        ("9999-12-31T23:59:59-10:00", "the year 9999 is outside 1970 to 2199"),
        ("0001-01-01 00:00", "the year 1 is outside 1970 to 2199"),
        ("2199-12-31T23:59:59-01:00", "the year 2200 is outside"),
        ("1970-01-01 00:30", "the year 1969 is outside"),
    ],
)
def test_what_is_no_moment_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_when(text, now=NOW, zone=BERLIN)
