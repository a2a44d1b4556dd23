"""Mailgun's Events API: every event of a domain, in order of time, with a page that comes late into its order.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/events, .../user-manual/events/event-polling
"""

from __future__ import annotations

import math
from urllib.parse import quote

from sendctl.providers.events import mailgun
from sendctl.providers.events.line import optional
from sendctl.providers.http.api import Api, entries_of
from sendctl.providers.http.feeds.lists import path_of, read
from sendctl.providers.source import Asked, EventPage, Feed, Reading

# A page can be trusted when it is half an hour old: events take different ways to the index (event-polling).
_SETTLED_S = 1800
_MOST = "300"


class MailgunLists:
    """The events of one sending domain."""

    feeds = (Feed("events", (Reading(0), Reading(_SETTLED_S))),)
    permission = "read the events of the domain"

    def __init__(self, domain: str) -> None:
        self._path = f"/v3/{quote(domain)}/events"

    def page(self, api: Api, asked: Asked) -> EventPage:
        """`page` is the path that the page before named as its next; the last page of a window is empty."""
        if asked.page:
            record = api.ask("GET", asked.page)
        else:
            begin, end = math.floor(asked.since.timestamp()), math.ceil(asked.until.timestamp())
            window = {"begin": str(begin), "end": str(end), "ascending": "yes", "limit": _MOST}
            record = api.ask("GET", self._path, window)
        entries = entries_of(record, "items")
        if not entries:
            return EventPage(())
        following = path_of(optional(record, "paging").get("next"), f"{self._path}/")
        if following == asked.page:
            raise OSError(0, "its page names itself as the next one")
        return read(entries, mailgun.lines)._replace(next=following)
