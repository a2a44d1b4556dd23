"""Window and quiet hours together, in the person's zone, over changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendctl.calendar import Calendar
from sendctl.definition import Definition, Step, Window

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "UTC")
times = st.builds(time, st.integers(0, 23), st.sampled_from((0, 15, 30, 45)))
windows = st.builds(Window, times, times).filter(lambda window: window.start != window.end)


def calendar(window: Window | None, quiet: Window | None, purpose: str = "marketing") -> Calendar:
    definition = Definition("c", (Step("s"),), purpose=purpose, window=window, timezone="Europe/Berlin")
    return Calendar(definition, quiet)


def hours(start: str, end: str) -> Window:
    return Window(time.fromisoformat(start), time.fromisoformat(end))


@pytest.mark.parametrize(
    ("window", "wanted", "opens"),
    [
        (None, "2026-03-02T12:00", "2026-03-02T12:00"),
        (None, "2026-03-02T20:30", "2026-03-03T07:00"),  # half past nine in Berlin
        (hours("06:00", "10:00"), "2026-03-02T05:30", "2026-03-02T07:00"),  # open at six, quiet until eight
        (hours("06:00", "10:00"), "2026-03-02T10:00", "2026-03-03T07:00"),  # closed since ten
        (hours("20:00", "23:00"), "2026-03-02T20:30", "2026-03-03T19:00"),  # open until eleven, quiet from nine
        (hours("22:00", "09:00"), "2026-03-02T21:30", "2026-03-03T07:00"),  # over midnight
        (hours("02:00", "09:00"), "2026-03-29T00:30", "2026-03-29T06:00"),  # the night that loses an hour
    ],
)
def test_the_first_moment_that_is_open_and_not_quiet(window: Window | None, wanted: str, opens: str) -> None:
    moment, first = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (wanted, opens))
    assert calendar(window, hours("21:00", "08:00")).opening(moment, None) == first


def test_transactional_campaigns_know_no_quiet_hours() -> None:
    night = datetime(2026, 3, 2, 23, tzinfo=UTC)
    assert calendar(None, hours("21:00", "08:00"), "transactional").opening(night, None) == night


def test_what_was_planned_for_a_closed_moment_lives_as_long_as_before() -> None:
    night = datetime(2026, 3, 2, 22, tzinfo=UTC)
    slot = calendar(None, hours("21:00", "08:00")).kept(night, night + timedelta(hours=1), "UTC")
    assert slot == (datetime(2026, 3, 3, 8, tzinfo=UTC), datetime(2026, 3, 3, 9, tzinfo=UTC))


def test_a_window_within_the_quiet_hours_never_opens() -> None:
    quiet = hours("21:00", "08:00")
    assert calendar(hours("22:00", "07:00"), quiet).never_opens
    assert calendar(hours("21:00", "08:00"), quiet).never_opens
    assert not calendar(hours("20:45", "07:00"), quiet).never_opens
    assert not calendar(hours("07:00", "08:15"), quiet).never_opens
    assert not calendar(None, quiet).never_opens


@given(windows, windows, st.sampled_from(ZONES), st.integers(0, 366 * 24 * 4))
def test_an_opening_is_open_or_nothing_ever_is(window: Window, quiet: Window, zone: str, quarters: int) -> None:
    """Idempotent, within two days, and never later than a moment at which both would have been open."""
    both = calendar(window, quiet)
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=15 * quarters)
    if both.never_opens:
        return
    opens = both.opening(moment, zone)
    assert moment <= opens <= moment + timedelta(days=3)
    assert both.opening(opens, zone) == opens or both.opening(opens, zone) - opens < timedelta(days=2)
    step = moment
    while step < opens:
        local = step.astimezone(ZoneInfo(zone)).time()
        assert not (_inside(local, window) and not _inside(local, quiet)), (step, opens)
        step += timedelta(minutes=15)


def _inside(now: time, window: Window) -> bool:
    if window.start < window.end:
        return window.start <= now < window.end
    return now >= window.start or now < window.end
