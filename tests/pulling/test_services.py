"""What each service can be asked for, and how its pages go on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sendctl.errors import ExitCode
from sendctl.providers.events import sendgrid
from tests.pulling.forms import bounce, email, listed_by_sendgrid, suppression, text
from tests.pulling.world import World

# -- Postmark -------------------------------------------------------------------------------------------------------


def test_postmarks_bounces_are_hard_soft_or_complaints(world: World) -> None:
    double = world.serve("postmark")
    first, second, third, _ = world.sent(4)
    at = world.ago(60)
    double.tell(
        bounce(first, at, 1), bounce(second, at, 2, "SoftBounce"), bounce(third, at, 3, "SpamComplaint"),
        bounce({"provider_message_id": "of-others", "recipient": "a@else.example"}, at, 4),
    )  # fmt: skip
    report = world.reconcile()
    assert report.pulled.applied.by_type == {"bounced": 1, "deferred": 1, "complained": 1}
    assert world.suppressed() == {first["recipient"]: "bounced", third["recipient"]: "complained"}
    assert world.ground.states() == {"bounced": 1, "sent": 3}
    world.ground.clock.forward(hours=2)
    again = world.pull()
    assert (again.applied.fresh, again.applied.known, again.foreign) == (0, 3, 1)


def test_more_bounces_than_a_page_or_a_search_of_postmark_can_hold_are_all_read(lite: World) -> None:
    """ "Count + Offset cannot exceed 10,000": the rest is asked for as another window."""
    double = lite.serve("postmark")
    (message,) = lite.sent(1)
    others = {"provider_message_id": "of-others", "recipient": "a@else.example"}
    double.tell(*(bounce(others, lite.ago(100 + number / 100), number) for number in range(10_300)))
    double.tell(bounce(message, lite.ago(5000), 20_000))
    lite.ground.clock.forward(hours=2)
    report = lite.pull()
    assert (report.applied.fresh, report.more, report.trouble) == (1, [], {})


def test_the_hour_that_comes_twice_in_autumn_loses_no_bounce(lite: World) -> None:
    """Postmark's windows are in Eastern time: on 1 November 2026, 05:55Z is 01:55 there, and 06:20Z is 01:20."""
    double = lite.serve("postmark")
    (message,) = lite.sent(1)
    for hour, minute in ((5, 50), (6, 55), (8, 0)):
        lite.ground.clock.now = datetime(2026, 11, 1, hour, minute, tzinfo=UTC)
        lite.pull()
        if hour == 6:  # its index is late
            double.tell(bounce(message, datetime(2026, 11, 1, 6, 20, tzinfo=UTC), 1))
    assert lite.events() == [(message["recipient"], "bounced")]


# -- SendGrid -------------------------------------------------------------------------------------------------------


def test_sendgrids_lists_suppress_addresses_and_name_no_message(world: World) -> None:
    double = world.serve("sendgrid")
    messages = world.sent(5)
    at = world.ago(60)
    for name, message in zip(("bounces", "invalid_emails", "spam_reports", "unsubscribes"), messages, strict=False):
        double.tell(listed_by_sendgrid(message, at, reason="550 5.1.1"), list=name)
    report = world.reconcile()
    assert report.exit_code is ExitCode.DONE
    assert list(world.suppressed().values()) == ["bounced", "bounced", "complained", "unsubscribed"]
    assert world.ground.states() == {"sent": 5}
    assert world.pull().applied.fresh == 0


@pytest.mark.parametrize(
    ("status", "gone"),
    [
        ("5.1.1", True),
        ("5.2.1", True),
        ("", True),
        ("5.2.2", False),
        ("5.7.1", False),
        ("5.3.4", False),
        ("4.4.7", False),
    ],
)
def test_a_bounce_in_sendgrids_list_says_of_an_address_what_its_webhook_does(
    lite: World, status: str, gone: bool
) -> None:
    """A full mailbox or contents that are not liked suppress nobody."""
    double = lite.serve("sendgrid")
    (message,) = lite.sent(1)
    double.tell(listed_by_sendgrid(message, lite.ago(60), reason="said", status=status), list="bounces")
    report = lite.pull()
    assert (report.unread, lite.suppressed()) == (0, {message["recipient"]: "bounced"} if gone else {})
    told = {"event": "bounce", "type": "bounce", "status": status, "timestamp": 1, "sg_message_id": "x.filter1"}
    (line,) = sendgrid.lines(told)
    assert (line["type"] == "bounced") is gone


def test_all_of_a_long_list_of_sendgrid_is_read(lite: World) -> None:
    double = lite.serve("sendgrid")
    lite.sent(1)
    people = [{"recipient": f"a{number}@else.example"} for number in range(1100)]
    double.tell(*(listed_by_sendgrid(one, lite.ago(60)) for one in people), list="bounces")
    report = lite.pull()
    assert report.trouble == {}
    offsets = {row["path"].rpartition("=")[2] for row in double.asked("/v3/suppression/bounces")}
    assert offsets == {"0", "500", "1000"}


# -- Resend ---------------------------------------------------------------------------------------------------------


def test_resends_suppressions_name_the_email_that_bounced(world: World) -> None:
    double = world.serve("resend")
    first, second, third = world.sent(3)
    at = world.ago(60)
    double.tell(
        suppression(first, at, "bounce", "s1"), suppression(second, at, "complaint", "s2"),
        suppression(third, at, "manual", "s3"), list="suppressions",
    )  # fmt: skip
    report = world.reconcile()
    assert report.pulled.applied.by_type == {"bounced": 1, "complained": 1}
    assert world.suppressed() == {first["recipient"]: "bounced", second["recipient"]: "complained"}


def test_the_last_event_of_each_email_is_read_after_a_while_and_after_a_day(world: World) -> None:
    double = world.serve("resend")
    messages = world.sent(3)
    at = world.ago()
    double.pages_of(1)
    double.tell(*(email(one, at, "sent") for one in messages), list="emails")
    assert world.pull().applied.fresh == 0
    world.ground.clock.forward(minutes=20)
    assert world.pull().applied.by_type == {"accepted": 3}
    double.stop()
    double = world.serve("resend")
    (world.folder / "resend.jsonl").write_text("")
    double.stop()
    double = world.serve("resend")
    double.tell(email(messages[0], at, "clicked"), email(messages[1], at, "bounced"), list="emails")
    world.ground.clock.forward(days=1, hours=7)
    report = world.pull()
    assert report.applied.by_type == {"clicked": 1, "deferred": 1}
    assert world.suppressed() == {}, "the list does not say whether it was hard"


# -- Twilio ---------------------------------------------------------------------------------------------------------


def texted(world: World, people: int) -> list[dict[str, Any]]:
    rows = "".join(f"+49151123456{number:02},P{number}\n" for number in range(people))
    step = 'name = "offer"\nsms = "Hello {{ contact.first_name }}"\n'
    world.ground.enqueue(contacts=f"phone,first_name\n{rows}", campaign='channel = "sms"', steps=(step,))
    world.ground.send_due()
    return world.messages()


def test_twilios_statuses_are_read_when_they_are_likely_to_be_there_and_when_they_are_final(world: World) -> None:
    double = world.serve("twilio")
    first, second, third = texted(world, 3)
    at = world.ago()
    double.pages_of(2)
    double.tell(text(first, at, "delivered"), text(second, at, "sent"), text(third, at, "undelivered", code=30005))
    world.ground.clock.forward(minutes=21)
    assert world.pull().applied.by_type == {"delivered": 1, "accepted": 1, "bounced": 1}
    assert world.suppressed() == {third["recipient"]: "bounced"}
    double.tell(text(second, at, "undelivered", code=30003))
    world.ground.clock.forward(hours=19)
    assert world.pull().applied.by_type == {"deferred": 1}


def test_who_answers_stop_to_twilio_is_suppressed(world: World) -> None:
    double = world.serve("twilio")
    first, second = texted(world, 2)
    answers = [("STOP", first, "i1"), ("stop it? no", second, "i2")]
    for said, message, sid in answers:
        sender = {"from": message["recipient"], "to": "+15005550006", "direction": "inbound", "body": said, "sid": sid}
        double.tell(text(message, world.ago(), "received", **sender))
    world.ground.clock.forward(minutes=21)
    world.pull()
    assert world.suppressed() == {first["recipient"]: "unsubscribed"}
