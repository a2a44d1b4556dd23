"""Resend's lists: its suppressions, which name the e-mail that bounced or was complained of, and the last event of each
e-mail that was sent.

https://resend.com/docs/api-reference/emails/list-emails, .../pagination; its OpenAPI description has `/suppressions`.
Both come newest first, without any filter by time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sendctl.providers.events.line import Line, OtherForm, line, text
from sendctl.providers.http import times
from sendctl.providers.http.api import Api, entries_of
from sendctl.providers.http.feeds.lists import read
from sendctl.providers.source import Asked, EventPage, Feed, Reading

_LIMIT = "100"  # the most (pagination)
_A_QUARTER_OF_A_DAY_S = 21600
_FEEDS = (
    Feed("suppressions", (Reading(0), Reading(3600))),  # how long they lag is not documented
    # An e-mail stays at its place, and its last event changes: each is looked at after a quarter of an hour and after
    # a day, then a quarter of a day at once, as all that is newer must be passed by.
    Feed("emails", (Reading(900), Reading(86400, _A_QUARTER_OF_A_DAY_S))),
)
_ORIGINS: Mapping[str, str] = {"bounce": "bounced", "complaint": "complained"}
# What has bounced here may be hard or soft: the list of suppressions has what is hard.
_LAST: Mapping[str, str] = {
    "sent": "accepted", "delivered": "delivered", "opened": "opened", "clicked": "clicked",
    "complained": "complained", "delivery_delayed": "deferred", "bounced": "bounced", "suppressed": "rejected",
    "failed": "failed",
}  # fmt: skip
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


class ResendLists:
    """The lists of one account. A key that may only send cannot read them."""

    feeds = _FEEDS
    permission = "read e-mails and suppressions (full access)"

    def page(self, api: Api, asked: Asked) -> EventPage:
        """`page` is the id behind which it goes on."""
        params = {"limit": _LIMIT} | ({"after": asked.page} if asked.page else {})
        record = api.ask("GET", f"/{asked.feed}", params)
        entries = entries_of(record, "data")
        said = _suppression if asked.feed == "suppressions" else _email
        placed = list(zip(entries, _moments(entries), strict=True))
        found = read((one for one, at in placed if at is None or asked.since <= at <= asked.until), said)
        oldest = placed[-1][1] if placed else None
        if not entries or record.get("has_more") is not True or (oldest is not None and oldest < asked.since):
            return found
        return found._replace(next=_last_id(entries))


def _moments(entries: Sequence[Any]) -> list[datetime | None]:
    """When each was made. One that does not say it is as old as its neighbour, for they come newest first.

    A time before there was any Resend says nothing. None where none of them has a time.
    """
    said = [times.iso_or_none(one.get("created_at")) if isinstance(one, dict) else None for one in entries]
    said = [moment if moment is not None and moment >= _EARLIEST else None for moment in said]
    at = next((moment for moment in said if moment is not None), None)
    return [at := moment or at for moment in said]


def _last_id(entries: Sequence[Any]) -> str:
    """Behind which the next page begins; what follows it without an id comes once more. Raises OtherForm."""
    named = [one["id"] for one in entries if isinstance(one, dict) and isinstance(one.get("id"), str) and one["id"]]
    if not named:
        raise OtherForm(f"none of {len(entries)} entries has an id")
    return str(named[-1])


def _moment(entry: Mapping[str, Any]) -> datetime:
    """Such as "2023-04-03 22:13:42.674981+00". Raises OtherForm."""
    try:
        return times.iso(text(entry, "created_at"))
    except ValueError as error:
        raise OtherForm(str(error)) from error


def _suppression(entry: Mapping[str, Any]) -> list[Line]:
    """One that somebody has put there by hand is no event."""
    kind = _ORIGINS.get(str(entry.get("origin")), "")
    if not kind:
        return []
    known, address = entry.get("source_id"), text(entry, "email")
    whom = {"provider_message_id": known} if isinstance(known, str) and known else {"email": address}
    moment = _moment(entry).isoformat()
    permanent = True if kind == "bounced" else None
    return [line(kind, moment, f"suppression/{text(entry, 'id')}", whom, permanent=permanent, recipient=address)]


def _email(entry: Mapping[str, Any]) -> list[Line]:
    """It has no time of its own: it is put at the one at which the e-mail was made."""
    name, known = str(entry.get("last_event") or ""), text(entry, "id")
    if name not in _LAST:
        return []
    whom, moment = {"provider_message_id": known}, _moment(entry).isoformat()
    permanent = False if name == "bounced" else None
    return [line(_LAST[name], moment, f"email/{known}/{name}", whom, permanent=permanent, last_event=name)]
