"""Mailgun's events as its documentation has them, and the lines that they become."""

from __future__ import annotations

from typing import Any

import pytest

from sendctl.providers.events.line import OtherForm
from sendctl.providers.events.mailgun import lines

KEY = "0f8c" * 8


def event(name: str, **more: Any) -> dict[str, Any]:
    """One event of a message of ours (user-manual/events/event-structure)."""
    return {
        "event": name,
        "id": "pl271FzxTTmGRW8Uj3dUWw",
        "timestamp": 1795424402.5,
        "log-level": "info",
        "envelope": {"transport": "smtp", "sender": "news@shop.example", "targets": "ana@example.com"},
        "message": {"headers": {"message-id": f"{KEY}@shop.example", "to": "ana@example.com"}, "size": 867},
        "recipient": "ana@example.com",
        "user-variables": {"sendctl": KEY},
        "tags": [],
        **more,
    }


@pytest.mark.parametrize(
    "name", ["accepted", "rejected", "delivered", "opened", "clicked", "unsubscribed", "complained"]
)
def test_an_event_keeps_its_name_and_is_about_the_message_with_our_key(name: str) -> None:
    [line] = lines(event(name))

    assert line["type"] == name
    assert line["message_id"] == KEY
    assert line["occurred_at"] == "2026-11-23T09:00:02.500000+00:00"
    assert line["id"] == "2026-11-23/pl271FzxTTmGRW8Uj3dUWw"  # "unique within a day"
    assert "provider_message_id" not in line


@pytest.mark.parametrize("name", ["stored", "list_member_uploaded", "email_validation", "something-new"])
def test_what_has_no_meaning_here_gives_no_line(name: str) -> None:
    assert lines(event(name)) == []


HARD: list[dict[str, Any]] = [
    {"severity": "permanent", "reason": "bounce", "delivery-status": {"code": 550, "enhanced-code": "5.1.1"}},
    {"severity": "permanent", "reason": "generic", "delivery-status": {"code": 550, "enhanced-code": "5.1.1"}},
    {"severity": "permanent", "reason": "bounce", "delivery-status": {"code": 550, "message": "no such user"}},
    {"severity": "permanent", "reason": "delayed-bounce", "delivery-status": {"code": 550, "bounce-type": "hard"}},
    {"severity": "permanent", "reason": "suppress-bounce", "delivery-status": {"code": 605}},
    {"severity": "permanent", "reason": "bounce", "delivery-status": {"code": 550, "bounce-code": "5.1.10"}},
]


@pytest.mark.parametrize("more", HARD)
def test_a_hard_bounce_is_where_the_server_says_that_nobody_is_there(more: dict[str, Any]) -> None:
    [line] = lines(event("failed", **more))

    assert (line["type"], line["permanent"]) == ("bounced", True)


@pytest.mark.parametrize(
    ("wanted", "more"),
    [
        ("deferred", {"severity": "temporary", "reason": "generic", "delivery-status": {"code": 451}}),
        ("deferred", {"severity": "temporary", "reason": "greylisted", "delivery-status": {"enhanced-code": "5.1.1"}}),
        ("failed", {"severity": "temporary", "reason": "old", "delivery-status": {"code": 498}}),
        ("failed", {"severity": "permanent", "reason": "old", "delivery-status": {"code": 602}}),
        ("failed", {"severity": "permanent", "reason": "bounce", "delivery-status": {"enhanced-code": "5.7.1"}}),
        ("failed", {"severity": "permanent", "reason": "bounce", "delivery-status": {"bounce-type": "soft"}}),
        ("failed", {"severity": "permanent", "reason": "generic", "delivery-status": {"code": 550}}),
        ("complained", {"severity": "permanent", "reason": "suppress-complaint", "delivery-status": {"code": 607}}),
        ("unsubscribed", {"severity": "permanent", "reason": "suppress-unsubscribe"}),
    ],
)
def test_a_block_or_a_full_mailbox_is_no_bounce(wanted: str, more: dict[str, Any]) -> None:
    [line] = lines(event("failed", **more))

    assert line["type"] == wanted
    assert line["reason"] == more["reason"]
    assert "permanent" not in line


def test_our_message_id_names_the_message_where_the_variable_is_missing() -> None:
    [line] = lines(event("delivered", **{"user-variables": {}}))

    assert line["message_id"] == KEY


def test_another_senders_message_is_named_by_mailguns_id() -> None:
    headers = {"message-id": "20180622211249.1.2A6098970A380E12@example.org"}
    [line] = lines(event("delivered", **{"user-variables": {"sendctl": "not a key"}, "message": {"headers": headers}}))

    assert line["provider_message_id"] == "<20180622211249.1.2A6098970A380E12@example.org>"
    assert "message_id" not in line


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"id": None}, '"id"'),
        ({"id": 7}, '"id"'),
        ({"timestamp": "soon"}, "'soon' is no time"),
        ({"timestamp": None}, "no time"),
        ({"timestamp": 1e300}, "no time"),
        ({"timestamp": True}, "no time"),
        ({"event": 3}, '"event"'),
        ({"message": None, "user-variables": None}, "names no message"),
    ],
)
def test_what_is_not_of_the_form_says_so(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(OtherForm, match=said):
        lines(event("delivered") | wrong)
