"""Events of SES as its guide has them, and the lines that they become."""

from __future__ import annotations

from typing import Any

import pytest

from sendctl.providers.events.line import OtherForm
from sendctl.providers.events.ses import lines

KEY = "0f8c" * 8
KNOWN = "0100017c3d1d6a5e-4f1b2c3d-aaaa-bbbb-cccc-1234567890ab-000000"
SENT_AT, AT = "2026-11-23T09:00:00.000Z", "2026-11-23T09:00:05.123Z"


def event(name: str, **more: Any) -> dict[str, Any]:
    """One event of a message of ours (event-publishing-retrieving-sns-contents)."""
    mail = {
        "timestamp": SENT_AT, "source": "news@shop.example", "sendingAccountId": "123456789012", "messageId": KNOWN,
        "destination": ["ana@example.com"], "headersTruncated": False,
        "commonHeaders": {"to": ["ana@example.com"], "messageId": f"<{KEY}@shop.example>"},
        "tags": {"ses:configuration-set": ["events"], "sendctl": [KEY]},
    }  # fmt: skip
    return {"eventType": name, "mail": mail, **more}


def bounce(kind: str, sub: str, status: str = "5.1.1") -> dict[str, Any]:
    recipient = {"emailAddress": "ana@example.com", "action": "failed", "status": status, "diagnosticCode": "smtp; 550"}
    return {
        "bounceType": kind, "bounceSubType": sub, "bouncedRecipients": [recipient], "timestamp": AT,
        "feedbackId": "0100017c3d1d-feed", "reportingMTA": "dsn; a.amazonses.com",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "more", "wanted", "at"),
    [
        ("Send", {"send": {}}, "accepted", SENT_AT),
        ("Delivery", {"delivery": {"timestamp": AT, "smtpResponse": "250 2.0.0 ok"}}, "delivered", AT),
        ("Reject", {"reject": {"reason": "Bad content"}}, "rejected", SENT_AT),
        ("Rendering Failure", {"failure": {"errorMessage": "no value", "templateName": "t"}}, "failed", SENT_AT),
        ("DeliveryDelay", {"deliveryDelay": {"timestamp": AT, "delayType": "MailboxFull"}}, "deferred", AT),
        ("Open", {"open": {"timestamp": AT, "ipAddress": "192.0.2.1", "userAgent": "x"}}, "opened", AT),
        ("Click", {"click": {"timestamp": AT, "link": "https://shop.example/a"}}, "clicked", AT),
        ("Complaint", {"complaint": {"timestamp": AT, "complaintFeedbackType": "abuse"}}, "complained", AT),
        (
            "Complaint",
            {"complaint": {"timestamp": AT, "complaintSubType": "OnAccountSuppressionList"}},
            "complained",
            AT,
        ),
        (
            "Subscription",
            {"subscription": {"timestamp": AT, "newTopicPreferences": {"unsubscribeAll": True}}},
            "unsubscribed",
            AT,
        ),
    ],
)
def test_an_event_becomes_one_line_about_the_message_with_our_tag(
    name: str, more: dict[str, Any], wanted: str, at: str
) -> None:
    [line] = lines(event(name, **more))

    assert (line["type"], line["occurred_at"], line["message_id"]) == (wanted, at, KEY)
    assert line["id"] == f"{KNOWN}/{name}/{at}"
    assert "provider_message_id" not in line


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("Complaint", {"complaint": {"timestamp": AT, "complaintFeedbackType": "not-spam"}}),
        ("Complaint", {"complaint": {"timestamp": AT, "complaintFeedbackType": "auth-failure"}}),
        ("Subscription", {"subscription": {"timestamp": AT, "newTopicPreferences": {"unsubscribeAll": False}}}),
        ("Something New", {}),
    ],
)
def test_what_has_no_meaning_here_gives_no_line(name: str, more: dict[str, Any]) -> None:
    assert lines(event(name, **more)) == []


@pytest.mark.parametrize("sub", ["General", "NoEmail", "Suppressed", "OnAccountSuppressionList"])
def test_a_permanent_bounce_is_hard(sub: str) -> None:
    [line] = lines(event("Bounce", bounce=bounce("Permanent", sub)))

    assert (line["type"], line["permanent"], line["reason"]) == ("bounced", True, f"Permanent/{sub}")
    assert (line["enhanced_code"], line["recipient"]) == ("5.1.1", "ana@example.com")


@pytest.mark.parametrize(
    ("kind", "sub"), [("Transient", "MailboxFull"), ("Transient", "ContentRejected"), ("Undetermined", "Undetermined")]
)
def test_a_transient_or_undetermined_bounce_is_soft(kind: str, sub: str) -> None:
    [line] = lines(event("Bounce", bounce=bounce(kind, sub, "5.2.2")))

    assert (line["type"], line["permanent"]) == ("bounced", False)


def test_who_has_left_amazons_list_is_unsubscribed() -> None:
    [line] = lines(event("Bounce", bounce=bounce("Permanent", "UnsubscribedRecipient")))

    assert line["type"] == "unsubscribed"


def test_a_bounce_without_recipients_is_still_one() -> None:
    [line] = lines(event("Bounce", bounce=bounce("Permanent", "NoEmail") | {"bouncedRecipients": []}))

    assert (line["type"], line["message_id"]) == ("bounced", KEY)


def test_a_notification_of_an_identity_has_no_tags_and_is_named_by_our_message_id() -> None:
    told = event("Delivery", delivery={"timestamp": AT})
    told["notificationType"] = told.pop("eventType")
    del told["mail"]["tags"]

    [line] = lines(told)

    assert line["message_id"] == KEY


def test_another_senders_message_is_named_by_the_id_of_ses() -> None:
    told = event("Delivery", delivery={"timestamp": AT})
    told["mail"] |= {"tags": {}, "commonHeaders": {"messageId": "<someone@else.example>"}}

    [line] = lines(told)

    assert line["provider_message_id"] == KNOWN
    assert "message_id" not in line


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"eventType": "Delivery"}, '"mail"'),
        ({"mail": {}}, '"notificationType"'),
        (event("Delivery"), '"delivery"'),
        (event("Bounce", bounce={"timestamp": AT}), '"bounceType"'),
        (event("Delivery", delivery={"timestamp": AT}, mail={"tags": {}}), '"messageId"'),
    ],
)
def test_what_is_not_of_the_form_says_so(told: dict[str, Any], said: str) -> None:
    with pytest.raises(OtherForm, match=said):
        lines(told)


def test_a_complaint_names_its_recipient() -> None:
    complaint = {"timestamp": AT, "complainedRecipients": [{"emailAddress": "ana@example.com"}]}
    [line] = lines(event("Complaint", complaint=complaint))
    assert line["recipient"] == "ana@example.com"
