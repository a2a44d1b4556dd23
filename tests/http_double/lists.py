"""Lists of events that services have, and a queue, as their documentation has them; a test tells each entry."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.http_double.told import Told

Query = Mapping[str, list[str]]


def of_mailgun(told: Told, page: str, query: Query) -> dict[str, Any]:
    """Ascending by time; what comes late comes into its order, also within pages that were read."""
    if page:
        begin, end, after = json.loads(base64.urlsafe_b64decode(page))
    else:
        assert query["ascending"] == ["yes"]
        begin, end, after = float(query["begin"][0]), float(query["end"][0]), [0, ""]
    events = sorted(told.events(), key=lambda one: (one["timestamp"], one["id"]))
    found = [one for one in events if begin <= one["timestamp"] <= end]
    found = [one for one in found if [one["timestamp"], one["id"]] > after][: min(told.page_size, 300)]
    after = [found[-1]["timestamp"], found[-1]["id"]] if found else after
    name = base64.urlsafe_b64encode(json.dumps([begin, end, after]).encode()).decode()
    following = f"https://api.mailgun.net/v3/mg.shop.example/events/{name}"
    return {"items": found, "paging": {"next": following, "previous": following}}


def of_postmark(told: Told, query: Query) -> dict[str, Any]:
    """Descending; the window is in Eastern time; no more than 10,000 of a window can be had."""
    count, offset = int(query["count"][0]), int(query["offset"][0])
    assert count <= 500
    assert count + offset <= 10_000
    eastern = ZoneInfo("America/New_York")

    def at(entry: Any) -> str:
        moment = datetime.fromisoformat(entry["BouncedAt"]).astimezone(eastern)
        return moment.strftime("%Y-%m-%dT%H:%M:%S")

    first, last = query["fromdate"][0], query["todate"][0]
    found = sorted((one for one in told.events() if first <= at(one) <= last), key=at, reverse=True)
    return {"TotalCount": len(found), "Bounces": found[offset : offset + count]}


def of_sendgrid(told: Told, name: str, query: Query) -> list[Any]:
    """A list by itself, newest first."""
    first, last = int(query["start_time"][0]), int(query["end_time"][0])
    limit, offset = int(query["limit"][0]), int(query["offset"][0])
    assert limit <= 500
    found = sorted(told.events(name), key=lambda one: (-one["created"], one["email"]))
    return [one for one in found if first <= one["created"] <= last][offset : offset + limit]


def of_resend(told: Told, name: str, query: Query, taken: Sequence[Any] = ()) -> dict[str, Any]:
    """Newest first, and nothing to choose by; `taken` is what it has accepted, if a test has not told more of it."""
    each = {one["id"]: one for one in (*taken, *told.events(name))}
    found = sorted(each.values(), key=lambda one: (one["created_at"], one["id"]), reverse=True)
    ids = [one["id"] for one in found]
    begin = ids.index(query["after"][0]) + 1 if "after" in query else 0
    end = begin + min(int(query["limit"][0]), told.page_size, 100)
    return {"object": "list", "has_more": end < len(found), "data": found[begin:end]}


def of_twilio(told: Told, path: str, query: Query) -> dict[str, Any]:
    """By the days on which messages were sent, newest first."""
    first, last = query["DateSent>"][0], query["DateSent<"][0]

    def at(entry: Any) -> datetime:
        return parsedate_to_datetime(entry["date_sent"])

    newest: dict[str, Any] = {one["sid"]: one for one in told.events() if one["date_sent"]}  # a later status of it
    found = [one for one in newest.values() if first <= f"{at(one).astimezone(UTC):%Y-%m-%d}" <= last]
    found.sort(key=at, reverse=True)
    page, size = int(query.get("Page", ["0"])[0]), min(told.page_size, int(query["PageSize"][0]))
    more = (page + 1) * size < len(found)
    following = f"{path}?DateSent%3E={first}&DateSent%3C={last}&PageSize={size}&Page={page + 1}&PageToken=PA1"
    return {"messages": found[page * size : (page + 1) * size], "next_page_uri": following if more else None}


def of_sqs(told: Told, headers: Mapping[str, str], body: Any) -> tuple[int, Any]:
    """What was received is hidden from others; what was not deleted comes again when a test says so."""
    if not body["QueueUrl"].endswith("/123456789012/ses-events"):
        return 400, {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The queue does not exist."}
    assert headers["content-type"] == "application/x-amz-json-1.0"
    if headers["x-amz-target"] == "AmazonSQS.DeleteMessageBatch":
        assert 1 <= len(body["Entries"]) <= 10
        for entry in body["Entries"]:
            told.take_out(int(entry["ReceiptHandle"].partition("-")[0]))
        return 200, {"Successful": [{"Id": entry["Id"]} for entry in body["Entries"]], "Failed": []}
    assert headers["x-amz-target"] == "AmazonSQS.ReceiveMessage"
    most = min(body["MaxNumberOfMessages"], told.page_size, 10)
    free = [(place, row) for place, row in told.queue() if place not in told.received][:most]
    told.received |= {place for place, _ in free}
    messages = [
        {"MessageId": f"sqs-{place}", "ReceiptHandle": f"{place}-receipt", "Body": _body(row["event"]),
         "Attributes": {"SentTimestamp": str(int(row["sent"] * 1000))}}
        for place, row in free
    ]  # fmt: skip
    return 200, {"Messages": messages} if messages else {}


def _body(event: Any) -> str:
    return event if isinstance(event, str) else json.dumps(event)
