"""When a message may go: send windows over daylight saving's gaps and overlaps, and waits before a retry."""

from __future__ import annotations

import random
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendctl.definition import Window
from sendctl.schedule import RETRY_CAP_S, next_open, retry_delay_s

DAY = Window(time(8), time(20))
NIGHT = Window(time(22), time(6))
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "window", "zone", "opens"),
    [
        ("2026-06-01 12:00", DAY, "Europe/Berlin", "2026-06-01 12:00"),
        ("2026-06-01 05:59", DAY, "Europe/Berlin", "2026-06-01 06:00"),
        ("2026-06-01 18:00", DAY, "Europe/Berlin", "2026-06-02 06:00"),
        ("2026-06-01 17:59:59", DAY, "Europe/Berlin", "2026-06-01 17:59:59"),
        ("2026-06-01 23:00", NIGHT, "UTC", "2026-06-01 23:00"),
        ("2026-06-01 05:59", NIGHT, "UTC", "2026-06-01 05:59"),
        ("2026-06-01 06:00", NIGHT, "UTC", "2026-06-01 22:00"),
        # The day is the person's: in Kathmandu (+05:45) 18:00 UTC is 23:45.
        ("2026-06-01 18:00", DAY, "Asia/Kathmandu", "2026-06-02 02:15"),
        # Clocks go forward at 01:00 UTC on 29 March 2026 in Berlin: 08:00 is an hour earlier in UTC from then on.
        ("2026-03-28 20:00", DAY, "Europe/Berlin", "2026-03-29 06:00"),
        ("2026-03-27 20:00", DAY, "Europe/Berlin", "2026-03-28 07:00"),
        # Clocks go back at 01:00 UTC on 25 October 2026.
        ("2026-10-24 20:00", DAY, "Europe/Berlin", "2026-10-25 07:00"),
    ],
)
def test_a_message_waits_for_the_persons_own_hours(moment: str, window: Window, zone: str, opens: str) -> None:
    assert next_open(utc(moment), window, zone) == utc(opens)


@pytest.mark.parametrize("end", [time(3, 15), time(3, 30), time(4)])
def test_a_window_that_begins_in_a_gap_begins_when_the_gap_ends(end: time) -> None:
    window = Window(time(2, 30), end)  # in Berlin 02:00 to 03:00 does not exist on 29 March 2026
    opens = next_open(utc("2026-03-28 20:00"), window, "Europe/Berlin")
    assert opens == utc("2026-03-29 01:00")
    assert next_open(opens, window, "Europe/Berlin") == opens


def test_a_window_that_begins_in_an_overlap_begins_at_the_first_of_the_two() -> None:
    window = Window(time(2, 30), time(4))  # 02:30 comes twice on 25 October 2026
    assert next_open(utc("2026-10-24 20:00"), window, "Europe/Berlin") == utc("2026-10-25 00:30")


def test_a_window_that_lies_wholly_in_a_gap_opens_the_next_day() -> None:
    window = Window(time(2), time(3))
    opens = next_open(utc("2026-03-28 20:00"), window, "Europe/Berlin")
    assert opens == utc("2026-03-30 00:00")


def test_no_window_is_always_open() -> None:
    moment = utc("2026-06-01 03:00")
    assert next_open(moment, None, "UTC") == moment
    assert next_open(moment, Window(time(8), time(8)), "UTC") == moment


moments = st.integers(1_600_000_000, 2_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
hours = st.times().map(lambda t: t.replace(second=0, microsecond=0, tzinfo=None))


@given(moments, hours, hours, st.sampled_from(ZONES))
def test_an_opening_is_never_in_the_past_nor_more_than_two_days_away(
    moment: datetime, start: time, end: time, zone: str
) -> None:
    opens = next_open(moment, Window(start, end), zone)
    assert moment <= opens <= moment + timedelta(days=2, hours=2)
    assert opens.utcoffset() == timedelta(0)


@given(moments, st.sampled_from(ZONES), st.integers(0, 22), st.integers(1, 12))
def test_an_opening_lies_in_the_window(moment: datetime, zone: str, hour: int, length: int) -> None:
    window = Window(time(hour), time((hour + length) % 24))
    opens = next_open(moment, window, zone)
    local = opens.astimezone(ZoneInfo(zone)).time()
    assert window.start <= local < window.end if window.start < window.end else not window.end <= local < window.start
    assert next_open(opens, window, zone) == opens


@given(st.integers(1, 60), st.floats(1, 6 * 3600), st.integers(0, 2**32))
def test_waits_grow_up_to_a_bound_and_are_spread(attempt: int, base_s: float, seed: int) -> None:
    wait_s = retry_delay_s(attempt, base_s, retry_after_s=None, jitter=random.Random(seed))
    full_s = min(base_s * 2.0 ** (attempt - 1), RETRY_CAP_S)
    assert full_s / 2 <= wait_s <= full_s


def test_a_thousand_deferred_together_do_not_come_back_together() -> None:
    jitter = random.Random(3)
    waits = {round(retry_delay_s(1, 60, retry_after_s=None, jitter=jitter)) for _ in range(1000)}
    assert len(waits) >= 30
