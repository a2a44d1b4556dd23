"""When a message may go: send windows in a person's local day, and the wait before a retry.

Daylight saving: a window is open as long as the clocks there show its hours. One that begins in a gap begins when the
gap ends; the hours of an overlap come twice.
Everything that goes in and comes out is UTC.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
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
    if _inside(moment.astimezone(zone).time(), window):
        return moment
    for opens in _openings(moment, window.start, zone):
        if opens > moment and _inside(opens.astimezone(zone).time(), window):
            return opens
    raise AssertionError(f"no day of {zone_name} has the hours {window}")


def _inside(now: time, window: Window) -> bool:
    if window.start < window.end:
        return window.start <= now < window.end
    return now >= window.start or now < window.end


def _openings(moment: datetime, start: time, zone: tzinfo) -> Iterator[datetime]:
    """The moments from the day before on, in order, at which something that begins at `start` may begin.

    The clocks show `start`, once or twice a day, or they are changed, over it or back into what has begun.
    """
    today = moment.astimezone(zone).date()
    changes = _clock_changes(moment.astimezone(UTC).date(), zone)
    if not changes:
        yield from (_at(today + timedelta(days=days), start, zone, 0) for days in (0, 1))
        return
    days = [today + timedelta(days=number) for number in range(-1, LONGEST_SHUT_DAYS + 1)]
    yield from sorted({_at(day, start, zone, fold) for day in days for fold in (0, 1)} | set(changes))


def _at(day: date, hour: time, zone: tzinfo, fold: int) -> datetime:
    """A local time in UTC; of two equal ones the first (fold 0) or the second. One in a gap lies beside it."""
    return datetime.combine(day, hour, tzinfo=zone).replace(fold=fold).astimezone(UTC)


@lru_cache(maxsize=4096)
def _clock_changes(day: date, zone: tzinfo) -> tuple[datetime, ...]:
    """When a zone changes its offset from the day before to some days later, to the second; once in half a day."""
    found = []
    begin = datetime.combine(day, time(), tzinfo=UTC) - timedelta(days=1)
    for _ in range(2 * (LONGEST_SHUT_DAYS + 2)):
        before, after = begin, begin + timedelta(hours=12)
        offset = before.astimezone(zone).utcoffset()
        if after.astimezone(zone).utcoffset() != offset:
            changed = after
            while changed - before > timedelta(seconds=1):
                middle = before + timedelta(seconds=(changed - before) // timedelta(seconds=2))
                if middle.astimezone(zone).utcoffset() == offset:
                    before = middle
                else:
                    changed = middle
            found.append(changed)
        begin = after
    return tuple(found)


def retry_delay_s(charged_attempts: int, base_s: float, *, retry_after_s: float | None, jitter: random.Random) -> float:
    """Seconds to wait after attempt number `charged_attempts`: base x 2^(n-1), half to full, at most 6 hours.

    A provider's Retry-After is a lower bound. Jitter spreads a deferred window over time (full-jitter backoff).
    """
    grown = float(min(base_s * 2.0 ** max(0, charged_attempts - 1), RETRY_CAP_S))
    delay = grown * jitter.uniform(0.5, 1.0)
    return max(delay, retry_after_s or 0.0)
