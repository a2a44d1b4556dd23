"""Resend's events as its description has them, and the lines that they become."""

from __future__ import annotations

from typing import Any

import pytest

from sendctl.providers.events.line import OtherForm
from sendctl.providers.events.resend import lines

KEY = "0f8c" * 8
KNOWN = "56761188-7520-42d8-8898-ff6fc54ce618"
IDENT = "msg_2Lh9KRb0pzN4LePd3XiA4v12Axj"
AT = "2026-11-23T09:00:05.123Z"


def event(name: str, **more: Any) -> dict[str, Any]:
    """One event of a message of ours (OutboundEmailEventData)."""
    data = {
        "email_id": KNOWN, "created_at": "2026-11-23T09:00:00.000Z", "from": "Shop <news@shop.example>",
        "to": ["ana@example.com"], "subject": "Hello", "tags": {"sendctl_key": KEY},
    }  # fmt: skip
    return {"type": name, "created_at": AT, "data": data | more}


def bounce(kind: str, sub: str) -> dict[str, Any]:
    return {"bounce": {"type": kind, "subType": sub, "message": "said", "diagnosticCode": ["smtp; 550 5.1.1"]}}


@pytest.mark.parametrize(
    ("name", "more", "wanted"),
    [
        ("email.sent", {}, "accepted"),
        ("email.delivered", {}, "delivered"),
        ("email.delivery_delayed", {}, "deferred"),
        ("email.complained", {}, "complained"),
        ("email.opened", {}, "opened"),
        ("email.failed", {"failed": {"reason": "reached_daily_quota"}}, "failed"),
        ("email.suppressed", {"suppressed": {"reason": "previous_complaint", "type": "Suppressed"}}, "complained"),
    ],
)
def test_an_event_is_about_the_message_with_our_tag(name: str, more: dict[str, Any], wanted: str) -> None:
    [line] = lines(event(name, **more), IDENT)

    assert (line["type"], line["occurred_at"], line["id"], line["message_id"]) == (wanted, AT, IDENT, KEY)
    assert "provider_message_id" not in line


def test_a_click_has_its_own_time_and_link() -> None:
    click = {"ipAddress": "192.0.2.1", "link": "https://shop.example/a", "timestamp": AT, "userAgent": "x"}
    [line] = lines(event("email.clicked", click=click) | {"created_at": "2026-11-23T09:00:09Z"}, IDENT)

    assert (line["type"], line["occurred_at"], line["url"]) == ("clicked", AT, "https://shop.example/a")


@pytest.mark.parametrize(
    ("name", "more", "permanent"),
    [
        ("email.bounced", bounce("Permanent", "General"), True),
        ("email.bounced", bounce("Permanent", "NoEmail"), True),
        ("email.bounced", bounce("Transient", "MailboxFull"), False),
        ("email.bounced", bounce("Undetermined", "Undetermined"), False),
        ("email.suppressed", {"suppressed": {"reason": "previous_bounce", "message": "said"}}, True),
    ],
)
def test_only_a_permanent_bounce_is_hard(name: str, more: dict[str, Any], permanent: bool) -> None:
    [line] = lines(event(name, **more), IDENT)

    assert (line["type"], line["permanent"]) == ("bounced", permanent)


def contact(name: str, *, unsubscribed: bool) -> dict[str, Any]:
    data = {"id": "c1", "created_at": AT, "updated_at": AT, "email": "ana@example.com", "unsubscribed": unsubscribed}
    return {"type": name, "created_at": AT, "data": data}


def test_a_contact_who_leaves_is_unsubscribed_by_address() -> None:
    [line] = lines(contact("contact.updated", unsubscribed=True), IDENT)

    assert line == {"id": IDENT, "type": "unsubscribed", "occurred_at": AT, "email": "ana@example.com"}


@pytest.mark.parametrize(
    "told",
    [
        contact("contact.updated", unsubscribed=False),
        contact("contact.created", unsubscribed=True),
        {"type": "domain.created", "created_at": AT, "data": {"id": "d"}},
        event("email.scheduled"),
        event("email.received"),
    ],
)
def test_what_has_no_meaning_here_gives_no_line(told: dict[str, Any]) -> None:
    assert lines(told, IDENT) == []


def test_a_message_that_is_not_ours_is_named_by_resends_id() -> None:
    [line] = lines(event("email.delivered", tags={"category": "welcome"}), IDENT)

    assert line["provider_message_id"] == KNOWN
    assert "message_id" not in line


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, '"type"'),
        ({"type": "email.sent"}, '"data"'),
        (event("email.bounced"), '"bounce"'),
        (event("email.clicked"), '"click"'),
        (event("email.sent", email_id=""), '"email_id"'),
        (event("email.sent") | {"created_at": None}, '"created_at"'),
    ],
)
def test_what_is_not_of_the_form_says_so(told: dict[str, Any], said: str) -> None:
    with pytest.raises(OtherForm, match=said):
        lines(told, IDENT)
