"""SendGrid's events as its reference has them, and the lines that they become."""

from __future__ import annotations

from typing import Any

import pytest

from sendctl.providers.events.line import OtherForm
from sendctl.providers.events.sendgrid import lines

KEY = "0f8c" * 8
KNOWN = "14c5d75ce93"


def event(name: str, **more: Any) -> dict[str, Any]:
    """One event of a message of ours: custom arguments stand among its own keys."""
    return {
        "email": "ana@example.com", "timestamp": 1795424402, "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": name, "category": ["spring"], "sg_event_id": "rbtnWrG1DVDGGGFHFyun0A==",
        "sg_message_id": f"{KNOWN}.filter0001.16648.5515E0B88.0", "sendctl": KEY, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("processed", "accepted"),
        ("delivered", "delivered"),
        ("deferred", "deferred"),
        ("open", "opened"),
        ("click", "clicked"),
        ("spamreport", "complained"),
        ("unsubscribe", "unsubscribed"),
        ("group_unsubscribe", "unsubscribed"),
    ],
)
def test_an_event_is_about_the_message_with_our_argument(name: str, wanted: str) -> None:
    [line] = lines(event(name))

    assert (line["type"], line["message_id"], line["occurred_at"]) == (wanted, KEY, "2026-11-23T09:00:02+00:00")


@pytest.mark.parametrize("name", ["group_resubscribe", "account_status_change", "something_new"])
def test_what_has_no_meaning_here_gives_no_line(name: str) -> None:
    assert lines(event(name)) == []


@pytest.mark.parametrize(
    ("wanted", "more"),
    [
        ("bounced", {"type": "bounce", "status": "5.1.1", "bounce_classification": "Invalid Address"}),
        ("bounced", {"type": "bounce", "status": "5.0.0", "bounce_classification": "Invalid Address"}),
        ("bounced", {"type": "bounce", "status": "5.2.1", "bounce_classification": "Mailbox Unavailable"}),
        ("bounced", {"type": "bounce", "status": "5.0.0", "reason": "500 unknown recipient"}),
        ("bounced", {"type": "bounce", "bounce_classification": "Unclassified"}),
        ("failed", {"type": "bounce", "status": "5.0.0", "bounce_classification": "Reputation"}),
        ("failed", {"type": "bounce", "status": "5.7.1", "bounce_classification": "Content"}),
        ("failed", {"type": "bounce", "status": "5.2.2", "bounce_classification": "Mailbox Unavailable"}),
        ("failed", {"type": "bounce", "status": "5.4.4"}),
        ("failed", {"type": "blocked", "status": "5.1.1", "bounce_classification": "Invalid Address"}),
    ],
)
def test_a_bounce_is_hard_where_nobody_is_there(wanted: str, more: dict[str, Any]) -> None:
    [line] = lines(event("bounce", **more))

    assert (line["type"], line.get("permanent")) == (wanted, True if wanted == "bounced" else None)


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("Bounced Address", "bounced"),
        ("Invalid", "bounced"),
        ("Spam Reporting Address", "complained"),
        ("Unsubscribed Address", "unsubscribed"),
        ("Recipient List over Package Quota", "rejected"),
    ],
)
def test_what_sendgrid_drops_for_its_lists_is_what_the_list_says(reason: str, wanted: str) -> None:
    [line] = lines(event("dropped", reason=reason))

    assert (line["type"], line["said"]) == (wanted, reason)


def test_a_copy_has_the_same_id_though_sendgrid_gives_it_another() -> None:
    [first], [again] = lines(event("open")), lines(event("open", sg_event_id="another=="))
    others = [
        lines(event("open", timestamp=1795424403))[0], lines(event("open", email="b@example.com"))[0],
        lines(event("click", url="https://shop.example/a"))[0], lines(event("click", url="https://shop.example/b"))[0],
    ]  # fmt: skip

    assert first["id"] == again["id"]
    assert len({first["id"], *(other["id"] for other in others)}) == 5


@pytest.mark.parametrize(
    "sg_message_id", [f"{KNOWN}.filter0001.16648.5515E0B88.0", f"{KNOWN}.recvd-7bcd7d9b4f-x2-1.0", KNOWN]
)
def test_a_message_that_is_not_ours_is_named_by_the_id_of_its_answer(sg_message_id: str) -> None:
    [line] = lines(event("delivered", sendctl="something else", sg_message_id=sg_message_id))

    assert line["provider_message_id"] == KNOWN


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"event": None}, '"event"'),
        ({"timestamp": "x"}, "no time"),
        ({"sendctl": "", "sg_message_id": None}, "names no message"),
    ],
)
def test_what_is_not_of_the_form_says_so(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(OtherForm, match=said):
        lines(event("delivered") | wrong)
