"""When window and quiet hours open, beside an oracle that looks at the clock on the wall minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sendctl.calendar import Calendar
from sendctl.definition import Definition, Step, Window

YEARS = range(2024, 2032)
# Changes of an hour, of half an hour and of two; at midnight, before it, on a Friday, over Ramadan; and none.
ZONES = [
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "America/Havana", "Asia/Beirut",
    "Asia/Gaza", "Africa/Casablanca", "America/Nuuk", "Atlantic/Azores", "America/Santiago", "Asia/Kathmandu",
]  # fmt: skip
MINUTE = timedelta(minutes=1)


@cache
def changes(zone: str) -> tuple[datetime, ...]:
    """The hours in which the clocks of a zone are changed; a day of no matter where there are none."""
    moment, found = datetime(YEARS.start, 1, 1, tzinfo=UTC), []
    while moment.year < YEARS.stop:
        following = moment + timedelta(hours=1)
        if moment.astimezone(ZoneInfo(zone)).utcoffset() != following.astimezone(ZoneInfo(zone)).utcoffset():
            found.append(following)
        moment = following
    return tuple(found) or (datetime(2026, 6, 1, tzinfo=UTC),)


def is_within(window: Window | None, now: time) -> bool:
    if window is None:
        return True
    minutes = (now.hour * 60 + now.minute - window.start.hour * 60 - window.start.minute) % 1440
    length = (window.end.hour * 60 + window.end.minute - window.start.hour * 60 - window.start.minute) % 1440
    return minutes < length


def first_open(moment: datetime, window: Window | None, quiet: Window | None, zone: str) -> datetime:
    """The naive way: look at each minute."""
    while True:
        now = moment.astimezone(ZoneInfo(zone)).time()
        if is_within(window, now) and not (quiet is not None and is_within(quiet, now)):
            return moment
        moment = moment.replace(second=0, microsecond=0) + MINUTE


hours = st.builds(time, st.integers(0, 23) | st.sampled_from([0, 1, 2, 3]), st.sampled_from([0, 15, 30, 45]))
windows = st.builds(Window, hours, hours).filter(lambda window: window.start != window.end)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), zone=st.sampled_from(ZONES), window=st.none() | windows, quiet=st.none() | windows)
def test_the_first_moment_that_is_open_is_the_one_that_the_clock_on_the_wall_shows(
    data: st.DataObject, zone: str, window: Window | None, quiet: Window | None
) -> None:
    definition = Definition("sale", (Step("offer"),), window=window, timezone=zone)
    calendar = Calendar(definition, quiet)
    assume(not calendar.never_opens)
    moment = data.draw(st.sampled_from(changes(zone))) + data.draw(st.integers(-1800, 1800)) * MINUTE
    moment += timedelta(seconds=data.draw(st.sampled_from([0, 17])))
    assert calendar.opening(moment, None) == first_open(moment, window, quiet, zone)


@pytest.mark.parametrize(
    ("moment", "window", "opens"),
    [
        # On 25 October 2026 the hour from 02:00 comes twice in Berlin, from 00:00 and from 01:00 UTC.
        ("2026-10-24 22:00", "02:30-20:00", "2026-10-25 00:30"),
        ("2026-10-25 00:40", "02:30-20:00", "2026-10-25 00:40"),
        ("2026-10-25 01:10", "02:30-20:00", "2026-10-25 01:30"),
        ("2026-10-25 00:50", "02:30-02:45", "2026-10-25 01:30"),
        ("2026-10-25 00:50", "01:00-02:30", "2026-10-25 01:00"),  # the clocks go back into it
        ("2026-10-25 01:50", "02:30-02:45", "2026-10-26 01:30"),
    ],
)
def test_hours_that_come_twice_open_twice(moment: str, window: str, opens: str) -> None:
    start, end = (time.fromisoformat(text) for text in window.split("-"))
    definition = Definition("sale", (Step("offer"),), window=Window(start, end), timezone="Europe/Berlin")
    wanted = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert Calendar(definition).opening(wanted, None) == datetime.fromisoformat(opens).replace(tzinfo=UTC)
