"""SendGrid's suppression lists: addresses that bounced, are none, complained or unsubscribed, without any message.

https://www.twilio.com/docs/sendgrid/api-reference/bounces-api, .../invalid-e-mails-api, .../spam-reports-api,
.../suppressions-global-suppressions. Its blocks are not read: they say nothing of an address. Nor is its Email
Activity, which is bought besides, and has no filter by time of an event.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sendctl.providers.events.line import Line, line, text, unix_time
from sendctl.providers.events.sendgrid import is_hard
from sendctl.providers.http.api import Api
from sendctl.providers.http.feeds.lists import read
from sendctl.providers.source import Asked, EventPage, Feed, Reading

_READINGS = (Reading(0), Reading(3600))  # how long the lists lag is not documented
_LIMIT = 500  # the default, and the most, of its lists (PaginationCommonLimit)
_TYPES: Mapping[str, str] = {
    "bounces": "bounced", "invalid_emails": "bounced", "spam_reports": "complained", "unsubscribes": "unsubscribed",
}  # fmt: skip


class SendGridLists:
    """The lists of one account."""

    feeds = tuple(Feed(name, _READINGS) for name in _TYPES)
    permission = "read its suppressions"

    def page(self, api: Api, asked: Asked) -> EventPage:
        """`page` is the offset."""
        offset = int(asked.page or 0)
        window = {
            "start_time": str(math.floor(asked.since.timestamp())), "end_time": str(math.ceil(asked.until.timestamp())),
            "limit": str(_LIMIT), "offset": str(offset),
        }  # fmt: skip
        entries = api.fetch("GET", f"/v3/suppression/{asked.feed}", window).json()
        if not isinstance(entries, list):
            raise OSError(0, f"the answer is no list of {asked.feed}")
        found = read(entries, lambda entry: _lines(asked.feed, entry))
        return found._replace(next=str(offset + _LIMIT)) if len(entries) >= _LIMIT else found


def _lines(feed: str, entry: Mapping[str, Any]) -> list[Line]:
    """About the address alone. Of bounces those that say that nobody is there, as of the webhook: a full mailbox, or
    contents that are not liked, say nothing of the address.
    """
    if feed == "bounces" and not is_hard(entry.get("status")):
        return []
    kind, address = _TYPES[feed], text(entry, "email")
    moment = unix_time(entry.get("created"))
    return [
        line(
            kind, moment, f"{feed}/{address}/{entry['created']}", {"email": address},
            permanent=True if kind == "bounced" else None, reason=feed, enhanced_code=entry.get("status"),
            said=entry.get("reason"),
        )
    ]  # fmt: skip
