"""Twilio's callbacks as its guides have them, and the lines that they become."""

from __future__ import annotations

import pytest

from sendctl.providers.events.line import OtherForm
from sendctl.providers.events.twilio import lines, status

SID = "SM1234567890abcdef1234567890abcdef"
AT = "2026-11-23T09:00:05+00:00"


def callback(name: str, **more: str) -> dict[str, str]:
    """What a status callback posts."""
    return {
        "MessageSid": SID, "SmsSid": SID, "MessageStatus": name, "SmsStatus": name, "To": "+49301234567",
        "From": "+15005550006", "AccountSid": "AC1", "ApiVersion": "2010-04-01", **more,
    }  # fmt: skip


def text(body: str, **more: str) -> dict[str, str]:
    """What a text that comes in posts."""
    return {
        "MessageSid": SID, "SmsStatus": "received", "Body": body, "From": "+49301234567", "To": "+15005550006",
        "NumSegments": "1", **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "code", "wanted", "permanent"),
    [
        ("sent", "", "accepted", None),
        ("delivered", "", "delivered", None),
        ("read", "", "opened", None),
        ("canceled", "", "rejected", None),
        ("undelivered", "30005", "bounced", True),
        ("undelivered", "30003", "bounced", False),
        ("undelivered", "30006", "failed", None),
        ("undelivered", "30007", "failed", None),
        ("failed", "", "failed", None),
        ("failed", "21610", "unsubscribed", None),
    ],
)
def test_a_status_is_about_twilios_own_id(name: str, code: str, wanted: str, permanent: bool | None) -> None:
    [line] = lines(callback(name, **({"ErrorCode": code} if code else {})), AT)

    assert (line["type"], line.get("permanent")) == (wanted, permanent)
    assert (line["provider_message_id"], line["id"], line["occurred_at"]) == (SID, f"status/{SID}/{name}", AT)
    assert line["recipient"] == "+49301234567"
    assert status(SID, name, code, AT, "+49301234567") == [line]


@pytest.mark.parametrize("name", ["queued", "sending", "accepted", "scheduled", "something-new"])
def test_one_that_is_on_its_way_gives_no_line(name: str) -> None:
    assert lines(callback(name), AT) == []


@pytest.mark.parametrize("told", [text("stop "), text("Unsubscribe"), text("abbestellen", OptOutType="STOP")])
def test_an_opt_out_is_of_the_number_in_all_campaigns(told: dict[str, str]) -> None:
    [line] = lines(told, AT)

    assert (line["type"], line["phone"], line["id"]) == ("unsubscribed", "+49301234567", f"text/{SID}")
    assert not {"provider_message_id", "campaign"} & set(line)


@pytest.mark.parametrize(
    "told",
    [
        text("please stop by tomorrow"),
        text("START", OptOutType="START"),
        text("stop", OptOutType="HELP"),
        text("STOP", From="12345"),
        text("STOP", From="whatsapp:+49301234567"),
    ],
)
def test_any_other_text_gives_no_line(told: dict[str, str]) -> None:
    assert lines(told, AT) == []


@pytest.mark.parametrize(
    ("told", "said"), [({}, "no MessageSid"), ({"MessageSid": SID}, "neither a MessageStatus nor a Body")]
)
def test_what_is_not_of_the_form_says_so(told: dict[str, str], said: str) -> None:
    with pytest.raises(OtherForm, match=said):
        lines(told, AT)
