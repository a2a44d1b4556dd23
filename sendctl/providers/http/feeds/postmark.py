"""Postmark's Bounce API: bounces hard and soft, complaints, and who has unsubscribed, newest first.

https://postmarkapp.com/developer/api/bounce-api; `fromdate` and `todate` are in Eastern time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sendctl.providers.events import postmark
from sendctl.providers.events.line import Line, OtherForm
from sendctl.providers.http import times
from sendctl.providers.http.api import Api, entries_of
from sendctl.providers.http.feeds.lists import read
from sendctl.providers.source import Asked, EventPage, Feed, Reading

_SETTLED_S = 3600  # how long the index lags is not documented
_COUNT = 500  # "Max 500. Count + Offset cannot exceed 10,000"
_MOST = 10_000
_EASTERN = ZoneInfo("America/New_York")
_AN_HOUR = timedelta(hours=1)  # in autumn an hour of the day comes twice: read from the one before


class PostmarkLists:
    """The bounces of one server, of all its message streams."""

    feeds = (Feed("bounces", (Reading(0), Reading(_SETTLED_S))),)
    permission = "read the server's bounces"

    def page(self, api: Api, asked: Asked) -> EventPage:
        """`page` is the offset, and the end of the window where it is another: beyond 10,000 a new window begins."""
        offset_text, _, last = asked.page.partition(" ")
        offset, last = int(offset_text or 0), last or _eastern(asked.until + timedelta(seconds=1))
        window = {
            "count": str(_COUNT), "offset": str(offset), "fromdate": _eastern(asked.since - _AN_HOUR), "todate": last,
        }  # fmt: skip
        entries = entries_of(api.ask("GET", "/bounces", window), "Bounces")
        found = read(entries, lambda entry: _lines(dict(entry)))
        if len(entries) < _COUNT:
            return found
        if offset + 2 * _COUNT <= _MOST:
            return found._replace(next=f"{offset + _COUNT} {last}")
        oldest = _oldest(entries, asked)
        if oldest == last:
            raise OSError(0, f"it has more than {_MOST} bounces within a second")
        return found._replace(next=f"0 {oldest}")


def _lines(entry: dict[str, object]) -> list[Line]:
    return postmark.lines({"RecordType": "Bounce", **entry})


def _oldest(entries: Sequence[Any], asked: Asked) -> str:
    """Up to where a list is read on that ends with these; what cannot be of this window says nothing about that.

    Raises OtherForm where none of them has a time.
    """
    said = [times.iso_or_none(entry.get("BouncedAt")) for entry in entries if isinstance(entry, dict)]
    first, last = asked.since - 2 * _AN_HOUR, asked.until + _AN_HOUR
    moments = [moment for moment in said if moment is not None and first <= moment <= last]
    if not moments:
        raise OtherForm(f"none of {len(entries)} bounces has a time")
    return _eastern(min(moments) + timedelta(seconds=1))


def _eastern(moment: datetime) -> str:
    return moment.astimezone(_EASTERN).strftime("%Y-%m-%dT%H:%M:%S")
