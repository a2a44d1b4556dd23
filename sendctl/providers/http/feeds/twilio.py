"""Twilio's list of messages, by the day on which they were sent: the status of each, and texts that came in.

https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from sendctl.providers.events import twilio
from sendctl.providers.events.line import Line, OtherForm, text
from sendctl.providers.http import times
from sendctl.providers.http.api import Api, entries_of
from sendctl.providers.http.feeds.lists import path_of, read
from sendctl.providers.source import Asked, EventPage, Feed, Reading

_PAGE_SIZE = "1000"  # the most
# A message stays at its place, and its status changes. Its validity ends after ten hours at most (ValidityPeriod), so
# that its last status is there after half a day. The list knows days only: a quarter of one is read at once then.
_READINGS = (Reading(600, 600), Reading(43200, 21600))


class TwilioLists:
    """The messages of one account, whoever sent them."""

    feeds = (Feed("messages", _READINGS),)
    permission = "read the account's messages"

    def __init__(self, account_sid: str) -> None:
        self._path = f"/2010-04-01/Accounts/{quote(account_sid)}/Messages.json"

    def page(self, api: Api, asked: Asked) -> EventPage:
        """`page` is the path that the page before named as its next."""
        if asked.page:
            record = api.ask("GET", asked.page)
        else:
            first, last = asked.since.date(), asked.until.date() + timedelta(days=1)
            record = api.ask(
                "GET", self._path,
                {"DateSent>": f"{first:%Y-%m-%d}", "DateSent<": f"{last:%Y-%m-%d}", "PageSize": _PAGE_SIZE},
            )  # fmt: skip
        entries = entries_of(record, "messages")
        found = read(entries, lambda entry: _lines(entry, asked))
        following = record.get("next_page_uri")
        return found._replace(next=path_of(following, self._path)) if following else found


def _lines(entry: Mapping[str, Any], asked: Asked) -> list[Line]:
    sent_at, updated_at = _moment(entry, "date_sent"), _moment(entry, "date_updated")
    if sent_at is None or not asked.since <= sent_at <= asked.until:  # of the same day, or not sent yet
        return []
    moment = (updated_at or sent_at).isoformat()
    if entry.get("direction") == "inbound":
        fields = {name: str(entry.get(key) or "") for name, key in (("From", "from"), ("Body", "body"))}
        return twilio.lines(fields | {"MessageSid": text(entry, "sid")}, moment)
    code = entry.get("error_code")
    return twilio.status(text(entry, "sid"), text(entry, "status"), str(code or ""), moment, str(entry.get("to") or ""))


def _moment(entry: Mapping[str, Any], name: str) -> datetime | None:
    """Such as "Fri, 24 May 2019 17:44:46 +0000", or null. Raises OtherForm."""
    said = entry.get(name)
    if said is None:
        return None
    try:
        return times.rfc2822(said)
    except ValueError as error:
        raise OtherForm(str(error)) from error
