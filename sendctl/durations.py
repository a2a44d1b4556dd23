"""Lengths of time, rates and moments as people write them: `7d`, `50/s`, `+2h`, `2026-11-23 09:00`.

Text in, numbers out, and back. Never reads a clock or the machine's time zone: both are given by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

LONGEST_S = 3650 * 86400  # ten years: more is a slip of the pen, and datetime arithmetic stays far from its limits

YEARS = range(1970, 2200)  # of moments: what lies outside is a mistake, and durations are added to them

_UNIT_S = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_PART = r"([0-9]{1,10})([wdhms])"
_DURATION = r"(?:[0-9]{1,10}[wdhms] ?)+(?<! )"
_RATE = r"([0-9]{1,10}) ?/ ?([a-z]+)"
_RATE_UNITS = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("m", "min", "minute"), 60),
    **dict.fromkeys(("h", "hour"), 3600),
    **dict.fromkeys(("d", "day"), 86400),
}
_RATE_NAMES = {1: "s", 60: "min", 3600: "h", 86400: "day"}
# RFC 3339 section 5.6, with the seconds and the offset optional; datetime.fromisoformat alone would also take
# week dates and a bare date, which says midnight where nobody meant it.
_MOMENT = r"(?a)\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` messages in `per_s` seconds."""

    count: int
    per_s: int


def parse_duration_s(text: str) -> int:
    """Seconds in `90s`, `1m`, `3h`, `7d`, `2w`, or several parts from large to small: `1h 30m`.

    Raises ValueError, naming the text, on anything else and on more than ten years.
    """
    if not re.fullmatch(_DURATION, text):
        raise ValueError(f'"{text}" is no duration: want a number with s, m, h, d or w, such as "90s", "3h" or "7d"')
    parts = re.findall(_PART, text)
    order = ["wdhms".index(unit) for _, unit in parts]
    if order != sorted(set(order)):
        raise ValueError(f'"{text}" is no duration: name each unit once, from the largest to the smallest')
    seconds = sum(int(number) * _UNIT_S[unit] for number, unit in parts)
    if seconds > LONGEST_S:
        raise ValueError(f'"{text}" is longer than ten years')
    return seconds


def format_duration(seconds: float) -> str:
    """The two largest units, cut and not rounded: `3d 4h`, `1m 30s`, `0s`. Negative spans get a minus sign."""
    left = int(abs(seconds))
    if seconds < 0 and left:
        return "-" + format_duration(left)
    units = [unit for unit in "dhms" if _UNIT_S[unit] <= left][:1] or ["s"]
    first = units[0]
    rest = "dhms"["dhms".index(first) + 1 :][:1]
    count, left = divmod(left, _UNIT_S[first])
    second = left // _UNIT_S[rest] if rest else 0
    return f"{count}{first} {second}{rest}" if second else f"{count}{first}"


def parse_rate(text: str) -> Rate:
    """A rate from `50/s`, `100/min`, `1000/h` or `20000/day`, with short and long unit names.

    Raises ValueError, naming the text, on anything else and on a count outside 1 to 1,000,000,000.
    """
    match = re.fullmatch(_RATE, text)
    if not match or match[2] not in _RATE_UNITS:
        raise ValueError(f'"{text}" is no rate: want a number per s, min, h or day, such as "50/s" or "20000/day"')
    count = int(match[1])
    if not 1 <= count <= 1_000_000_000:
        raise ValueError(f'"{text}" is no rate: the number must be from 1 to 1000000000')
    return Rate(count, _RATE_UNITS[match[2]])


def format_rate(rate: Rate) -> str:
    """The form that `parse_rate` reads back: `50/s`, `100/min`, `1000/h`, `20000/day`."""
    return f"{rate.count}/{_RATE_NAMES[rate.per_s]}"


def parse_share(text: str, periods: Collection[str]) -> tuple[int, str]:
    """(number, period) from `3/week`, where the period is one of `periods`, which have no plural.

    Raises ValueError, naming the text, on anything else and on a count outside 1 to 1,000,000,000.
    """
    match = re.fullmatch(_RATE, text)
    if not match or match[2] not in periods:
        example = f"3/{next(iter(periods))}"
        raise ValueError(f'"{text}" is no share: want a number per {", ".join(periods)}, such as "{example}"')
    count = int(match[1])
    if not 1 <= count <= 1_000_000_000:
        raise ValueError(f'"{text}" is no share: the number must be from 1 to 1000000000')
    return count, match[2]


def parse_when(text: str, *, now: datetime, zone: tzinfo) -> datetime:
    """The moment, in UTC, that `now`, `+2h`, or an ISO 8601 date with a time of day means.

    A time without an offset is local to `zone`. Where clocks go back, it is the first of the two moments; a time
    that clocks skip is an error, because no moment of that name exists. Raises ValueError on anything else.
    """
    if text == "now":
        return now.astimezone(UTC)
    if text.startswith("+"):
        return now.astimezone(UTC) + timedelta(seconds=parse_duration_s(text[1:]))
    written = _parse_moment(text)
    in_utc(written if written.tzinfo else written.replace(tzinfo=zone))
    return written.astimezone(UTC) if written.tzinfo else _local_to_utc(text, written, zone)


def in_utc(moment: datetime) -> datetime:
    """An aware moment in UTC. Raises ValueError outside of the years that can be meant."""
    try:
        there = moment.astimezone(UTC)
    except OverflowError:
        there = moment
    if there.year not in YEARS:
        raise ValueError(f"the year {there.year} is outside {YEARS.start} to {YEARS.stop - 1}")
    return there


def _parse_moment(text: str) -> datetime:
    upper = text.upper()
    if re.fullmatch(r"\d{4}-\d\d-\d\d", upper, re.ASCII):
        raise ValueError(f'"{text}" has no time of day: write "{text} 09:00"')
    if not re.fullmatch(_MOMENT, upper):
        raise ValueError(
            f'"{text}" is no moment: want "now", "+2h" or "2026-11-23 09:00", with "Z" or "+01:00" if known'
        )
    try:
        return datetime.fromisoformat(upper)
    except ValueError as error:
        problem = "its offset from UTC is a day or more" if "offset" in str(error) else error
        raise ValueError(f'"{text}" is no moment: {problem}') from None


def _local_to_utc(text: str, local: datetime, zone: tzinfo) -> datetime:
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    # A skipped local time does not survive the way to UTC and back (PEP 495, "mind the gap").
    if moment.astimezone(zone).replace(tzinfo=None, fold=0) != local:
        raise ValueError(f'"{text}" does not exist in {zone}: clocks go forward over it; name a time before or after')
    return moment
