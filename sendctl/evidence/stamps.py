"""The times of log lines in UTC: RFC 3339, Exim's own, and the traditional syslog form without year and zone.

Never guesses the direction of an ambiguity: a local time that occurs twice gives both moments.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from sendctl.evidence.model import Moment

# RFC 3164 section 4.1.2: "Mmm dd hh:mm:ss", the day padded with a space.
# Both forms are matched loosely, for speed; `Stamps.moment` refuses what is no date.
TRADITIONAL = rb"[A-Z][a-z]{2} [ \d]\d [\d:]{8}"
RFC3339 = rb"\d{4}-[\d-]{5}T[\d:.]+(?:Z|[+-]\d\d:\d\d)"
# Exim specification, chapter "Log files": local time, with the zone under log_timezone, milliseconds under +millisec.
EXIM = rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{3})?(?: [+-]\d{4})?"

_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_FRACTION = re.compile(r"\.\d+")
_DAY = timedelta(days=1)
_YEARS_BACK = 5  # more than the four between two 29 February


class Stamps:
    """Reads the stamps of one file. `newest` (UTC) is when the file was last written: no line is later.

    `zone` is where the MTA's host keeps its local time; None is this host's own zone.
    """

    def __init__(self, newest: datetime, zone: tzinfo | None) -> None:
        self._newest = newest
        self._zone = zone
        self._last: tuple[bytes, Moment] | None = None

    def moment(self, stamp: bytes) -> Moment | None:
        """The moment of a stamp in one of the three forms, or None if no calendar has such a date."""
        if self._last is None or self._last[0] != stamp:
            try:
                self._last = (stamp, self._read(stamp))
            except (ValueError, OverflowError):
                return None
        return self._last[1]

    def _read(self, stamp: bytes) -> Moment:
        if not stamp[:1].isdigit():
            return self._local(self._with_year(stamp))
        read = datetime.fromisoformat(_FRACTION.sub("", stamp.decode("ascii")).replace(" +", "+").replace(" -", "-"))
        if read.tzinfo is None:
            return self._local(read)
        return Moment(read.astimezone(UTC), read.astimezone(UTC))

    def _with_year(self, stamp: bytes) -> datetime:
        """The latest year that does not put the line more than a day after the file's last write."""
        month, day = _MONTHS.index(stamp[:3]) + 1, int(stamp[4:6])
        hour, minute, second = (int(part) for part in stamp[7:15].split(b":"))
        for year in range(self._newest.year + 1, self._newest.year - _YEARS_BACK, -1):
            try:
                read = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  # local: the zone comes next
            except ValueError:
                continue  # 29 February
            if self._local(read).earliest <= self._newest + _DAY:
                return read
        raise ValueError(stamp)

    def _local(self, read: datetime) -> Moment:
        both = [read.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
        return Moment(min(both), max(both))
