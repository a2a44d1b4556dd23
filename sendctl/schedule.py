"""When a message may go: send windows in a person's local day, and the wait before a retry.

Daylight saving: a window that begins in a gap begins when the gap ends; in an overlap, the first of the two.
Everything that goes in and comes out is UTC.
"""

from __future__ import annotations

import logging
import random
import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sendctl.definition import Window
from sendctl.tomlfile.tables import printable

log = logging.getLogger("sendctl")
RETRY_CAP_S = 6 * 3600.0
LONGEST_SHUT_DAYS = 4  # today may be over, and a clock change may leave the whole window out of a day or two
_HOURS = re.compile(r"([0-9]{2}:[0-9]{2}) ?- ?([0-9]{2}:[0-9]{2})")


def hours(text: str) -> Window:
    """Hours of the day such as `08:00-20:00`; `24:00` is midnight at the end of the day. Raises ValueError."""
    match = _HOURS.fullmatch(text)
    if not match:
        raise ValueError(f'"{printable(text)}" is no window: want hours such as "08:00-20:00"')
    try:
        start, end = time.fromisoformat(match[1]), time.fromisoformat(match[2].replace("24:00", "00:00"))
    except ValueError:
        raise ValueError(f'"{printable(text)}" is no window: hours go from 00:00 to 24:00') from None
    if start == end:
        raise ValueError(f'"{printable(text)}" is empty or the whole day; leave the key out for the whole day')
    return Window(start, end)


def meet(window: Window, other: Window) -> bool:
    """Whether two windows of the day have a minute in common."""
    return _inside(window.start, other) or _inside(other.start, window)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        # Known where it was enqueued, not here: the message must not stop the others, and waits at most a day.
        log.warning("time zone %s is not known on this host: UTC is used", name)
        return ZoneInfo("UTC")


def next_open(moment: datetime, window: Window | None, zone_name: str) -> datetime:
    """The first moment at or after `moment` that lies inside the window of that zone's local day."""
    if window is None or window.start == window.end:
        return moment
    zone = _zone(zone_name)
    local = moment.astimezone(zone)
    if _inside(local.time(), window):
        return moment
    for days in range(LONGEST_SHUT_DAYS):
        opens = _opening(local.date() + timedelta(days=days), window.start, zone)
        if opens > moment and _inside(opens.astimezone(zone).time(), window):
            return opens
    raise AssertionError(f"no day of {zone_name} has the hours {window}")


def _inside(now: time, window: Window) -> bool:
    if window.start < window.end:
        return window.start <= now < window.end
    return now >= window.start or now < window.end


def _opening(day: date, start: time, zone: ZoneInfo) -> datetime:
    """The first moment of a day that its clocks show as `start` or later."""
    opens = datetime.combine(day, start, tzinfo=zone).astimezone(UTC)  # fold=0: the first of two equal times
    if opens.astimezone(zone).time() == start:
        return opens
    # In a gap: with the offset of before the change it lies after the gap's end, with that of after it before that.
    before = datetime.combine(day, start, tzinfo=zone).replace(fold=1).astimezone(UTC)
    while opens - before > timedelta(seconds=1):
        middle = before + (opens - before) / 2
        if middle.astimezone(zone).utcoffset() == before.astimezone(zone).utcoffset():
            before = middle
        else:
            opens = middle
    return opens.replace(microsecond=0)


def retry_delay_s(charged_attempts: int, base_s: float, *, retry_after_s: float | None, jitter: random.Random) -> float:
    """Seconds to wait after attempt number `charged_attempts`: base x 2^(n-1), half to full, at most 6 hours.

    A provider's Retry-After is a lower bound. Jitter spreads a deferred window over time (full-jitter backoff).
    """
    grown = float(min(base_s * 2.0 ** max(0, charged_attempts - 1), RETRY_CAP_S))
    delay = grown * jitter.uniform(0.5, 1.0)
    return max(delay, retry_after_s or 0.0)
