"""Postmark's events as its pages on webhooks have them, and the lines that they become."""

from __future__ import annotations

from typing import Any

import pytest

from sendctl.providers.events.line import OtherForm
from sendctl.providers.events.postmark import lines

KEY = "0f8c" * 8
KNOWN = "883953f4-6105-42a2-a16a-77a8eac79483"
AT = "2026-11-23T09:00:05.9070259Z"


def event(kind: str, **more: Any) -> dict[str, Any]:
    """One event of a message of ours."""
    return {
        "RecordType": kind, "MessageID": KNOWN, "Recipient": "ana@example.com", "ServerID": 23, "Tag": "",
        "MessageStream": "broadcast", "Metadata": {"sendctl": KEY}, **more,
    }  # fmt: skip


def bounce(name: str, **more: Any) -> dict[str, Any]:
    return event(
        "Bounce", ID=4323372036854775807, Type=name, TypeCode=1, Name=name, Description="said", Details="Test",
        Email="ana@example.com", From="news@shop.example", BouncedAt=AT, Inactive=True, CanActivate=True, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "more", "wanted"),
    [
        ("Delivery", {"DeliveredAt": AT, "Details": "Test delivery"}, "delivered"),
        ("Open", {"ReceivedAt": AT, "FirstOpen": True}, "opened"),
        ("Click", {"ReceivedAt": AT, "OriginalLink": "https://shop.example/a"}, "clicked"),
    ],
)
def test_an_event_is_about_the_message_with_our_metadata(kind: str, more: dict[str, Any], wanted: str) -> None:
    [line] = lines(event(kind, **more))

    assert (line["type"], line["occurred_at"], line["message_id"]) == (wanted, AT, KEY)
    assert line["id"] == f"{KNOWN}/{wanted}/{AT}"
    assert line.get("url") == more.get("OriginalLink")


@pytest.mark.parametrize(
    ("name", "wanted", "permanent"),
    [
        ("HardBounce", "bounced", True),
        ("BadEmailAddress", "bounced", True),
        ("SoftBounce", "bounced", False),
        ("Transient", "deferred", None),
        ("DnsError", "deferred", None),
        ("ChallengeVerification", "deferred", None),
        ("Unsubscribe", "unsubscribed", None),
        ("Blocked", "failed", None),
        ("SpamNotification", "failed", None),
        ("ManuallyDeactivated", "failed", None),
        ("DMARCPolicy", "failed", None),
        ("Unknown", "failed", None),
    ],
)
def test_a_bounce_is_hard_where_nobody_is_there(name: str, wanted: str, permanent: bool | None) -> None:
    [line] = lines(bounce(name))

    assert (line["type"], line.get("permanent"), line["reason"]) == (wanted, permanent, name)
    assert (line["id"], line["message_id"]) == ("bounce/4323372036854775807", KEY)


def test_a_complaint_has_the_form_of_a_bounce() -> None:
    [line] = lines(bounce("SpamComplaint") | {"RecordType": "SpamComplaint"})

    assert (line["type"], line["id"]) == ("complained", "bounce/4323372036854775807")


def test_a_bounce_of_the_api_has_no_metadata_and_is_named_by_postmarks_id() -> None:
    told = bounce("HardBounce")
    del told["Metadata"]

    [line] = lines(told)

    assert line["provider_message_id"] == KNOWN


def change(reason: str | None, *, suppress: bool = True, **more: Any) -> dict[str, Any]:
    told = {"ChangedAt": AT, "Origin": "Recipient", "SuppressSending": suppress, "SuppressionReason": reason}
    return event("SubscriptionChange", **told | more)


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [("HardBounce", "bounced"), ("SpamComplaint", "complained"), ("ManualSuppression", "unsubscribed")],
)
def test_an_address_that_postmark_suppresses_is_suppressed_for_the_same_reason(reason: str, wanted: str) -> None:
    [line] = lines(change(reason))

    assert (line["type"], line["message_id"]) == (wanted, KEY)
    assert line["id"] == f"suppression/ana@example.com/{AT}"


@pytest.mark.parametrize("known", [None, "00000000-0000-0000-0000-000000000000"])
def test_one_that_a_person_suppresses_there_is_named_by_its_address(known: str | None) -> None:
    [line] = lines(change("ManualSuppression", MessageID=known, Metadata={}, Origin="Customer"))

    assert (line["email"], line["origin"]) == ("ana@example.com", "Customer")
    assert not {"message_id", "provider_message_id"} & set(line)


@pytest.mark.parametrize(
    "told",
    [
        change(None, suppress=False, MessageID=None, Metadata={}),
        change("SomethingNew"),
        bounce("AutoResponder"),
        bounce("Subscribe"),
        bounce("OpenRelayTest"),
        event("Inbound"),
    ],
)
def test_what_has_no_meaning_here_gives_no_line(told: dict[str, Any]) -> None:
    assert lines(told) == []


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, '"RecordType"'),
        (event("Delivery"), '"DeliveredAt"'),
        (event("Open", ReceivedAt=AT, MessageID=None), '"MessageID"'),
        (bounce("HardBounce") | {"BouncedAt": 3}, '"BouncedAt"'),
        (change("HardBounce") | {"Recipient": None}, '"Recipient"'),
    ],
)
def test_what_is_not_of_the_form_says_so(told: dict[str, Any], said: str) -> None:
    with pytest.raises(OtherForm, match=said):
        lines(told)
