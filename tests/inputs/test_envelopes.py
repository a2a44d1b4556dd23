"""Lines that carry a service's request: what is one, what is wrong with one that is none, and what becomes of it."""

from __future__ import annotations

import base64
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sendctl.inputs.contact_rows import BadRow
from sendctl.inputs.events import LINE_MAX_CHARACTERS, Event, EventFile, open_events
from sendctl.providers.hooks.envelope import Envelope, Opened
from sendctl.providers.hooks.opening import Opener
from tests.providers.events import test_mailgun, test_postmark, test_resend, test_sendgrid, test_ses, test_twilio
from tests.providers.hooks import signing
from tests.providers.hooks.signing import SECRETS, Posted, certificate, sections

OPENER = Opener(sections(), SECRETS, lambda _url: certificate())
OWN = '{"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "token": "t"}\n'
EVERY = [
    signing.resend(test_resend.event("email.clicked", click={"timestamp": test_resend.AT, "link": "https://a/"})),
    signing.resend(test_resend.contact("contact.updated", unsubscribed=True), ident="msg_2"),
    signing.mailgun(test_mailgun.event("failed", severity="permanent", reason="suppress-bounce")),
    signing.sendgrid([test_sendgrid.event("delivered"), test_sendgrid.event("open")]),
    signing.postmark(test_postmark.bounce("HardBounce")),
    signing.postmark(test_postmark.change("ManualSuppression", MessageID=None)),
    signing.twilio(test_twilio.callback("undelivered", ErrorCode="30005")),
    signing.twilio(test_twilio.text("Stop")),
    signing.sns(test_ses.event("Bounce", bounce=test_ses.bounce("Transient", "MailboxFull"))),
]


def read(folder: Path, *lines: str, opener: Opener = OPENER) -> list[Event | BadRow]:
    with opened(folder, *lines, opener=opener) as file:
        return list(file.rows())


def opened(folder: Path, *lines: str, opener: Opener = OPENER) -> EventFile:
    path = folder / "hooks.jsonl"
    path.write_text("".join(lines))
    return open_events(path, opener=opener)


def test_lines_of_each_service_are_events_as_ours_are(tmp_path: Path) -> None:
    rows = read(tmp_path, OWN, *(posted.line() for posted in EVERY), OWN)

    events = [row for row in rows if isinstance(row, Event)]
    assert [row for row in rows if isinstance(row, BadRow)] == []
    assert [(row.line, row.type, row.by) for row in events] == [
        (1, "opened", "token"), (2, "clicked", "key"), (3, "unsubscribed", "address"), (4, "bounced", "key"),
        (5, "delivered", "key"), (5, "opened", "key"), (6, "bounced", "key"), (7, "unsubscribed", "address"),
        (8, "bounced", "provider id"), (9, "unsubscribed", "address"), (10, "deferred", "key"), (11, "opened", "token"),
    ]  # fmt: skip
    assert [row.source for row in events] == [
        "", "letters", "letters", "guns", "grid", "grid", "marks", "marks", "texts", "texts", "amazon", "",
    ]  # fmt: skip
    assert [row.of_others for row in events if row.of_others] == ["later"]
    assert (events[9].of, events[9].address, events[9].whom()) == (("+49301234567", ""), *["+49301234567"] * 2)


def test_the_file_says_what_it_has_passed_over_and_what_a_person_must_do(tmp_path: Path) -> None:
    asked = signing.sns("?", kind="SubscriptionConfirmation", Token="1", SubscribeURL="https://confirm.example/")
    stored = signing.mailgun(test_mailgun.event("stored"))
    with opened(tmp_path, stored.line(), asked.line(), OWN) as file:
        for _ in range(2):  # each reading counts anew
            assert len(list(file.rows())) == 1
            assert file.ignored == 2
            assert file.notices == [f"SNS asks to confirm the subscription to {signing.TOPIC}: open"
                                    " https://confirm.example/"]  # fmt: skip


def test_bad_envelopes_stand_beside_good_lines(tmp_path: Path) -> None:
    good = EVERY[0]
    forged = Posted(good.provider, good.headers, good.body.replace(b"clicked", b"bounced"))
    rows = read(tmp_path, good.line(), forged.line(), OWN)

    assert [isinstance(row, Event) for row in rows] == [True, False, True]
    assert isinstance(rows[1], BadRow)
    assert "svix-signature is not that of webhook_secret" in rows[1].reason
    assert json.loads(rows[1].raw)["headers"] == dict(good.headers)


def test_of_an_envelope_with_a_bad_event_the_good_ones_count_and_the_line_is_bad(tmp_path: Path) -> None:
    events = [test_sendgrid.event("delivered"), {"event": "open"}, test_sendgrid.event("open")]
    rows = read(tmp_path, signing.sendgrid(events).line(), OWN)

    assert [isinstance(row, Event) for row in rows] == [True, True, False, True]
    assert isinstance(rows[2], BadRow)
    assert (rows[2].line, rows[2].reason) == (1, "event 2 of 3: 'None' is no time in seconds since 1970")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reason": "a\0b"}, "character U+0000 cannot be stored"),
        ({"reason": "\ud800"}, "character U+D800 cannot be stored"),
        ({"id": "x" * 600}, "an event of guns: id: has 611 characters"),
    ],
)
def test_what_no_store_can_keep_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    event = test_mailgun.event("delivered") | change
    posted = signing.mailgun({})
    body = json.dumps({"signature": json.loads(posted.body)["signature"], "event-data": event}).encode()
    [bad] = read(tmp_path, Posted("guns", {}, body).line())

    assert isinstance(bad, BadRow)
    assert said in bad.reason


class Recorded(Opener):
    """Opens nothing, and remembers what it was asked to."""

    def __init__(self) -> None:
        super().__init__({}, {})
        self.seen: list[Envelope] = []

    def open(self, envelope: Envelope) -> Opened:
        self.seen.append(envelope)
        return Opened([])


def envelope_of(folder: Path, **fields: Any) -> Envelope:
    recorded = Recorded()
    assert read(folder, json.dumps({"provider": "p", "headers": {}, "body": "b"} | fields), opener=recorded) == []
    return recorded.seen[0]


def test_names_of_headers_are_the_same_in_any_case_and_empty_ones_are_none(tmp_path: Path) -> None:
    found = envelope_of(tmp_path, headers={"Svix-ID": "a", "svix-id": "a", "Authorization": ""})

    assert found.headers == {"svix-id": "a"}


def test_a_body_is_the_bytes_that_came(tmp_path: Path) -> None:
    assert envelope_of(tmp_path, body="Grüße\r\n").body == "Grüße\r\n".encode()
    given = {"body_base64": base64.b64encode(b"\xff\0").decode()}
    recorded = Recorded()
    assert read(tmp_path, json.dumps({"provider": "p", "headers": {}} | given), opener=recorded) == []
    assert recorded.seen[0].body == b"\xff\0"


def test_without_its_time_an_envelope_came_when_the_file_was_written(tmp_path: Path) -> None:
    path = tmp_path / "hooks.jsonl"
    path.write_text('{"provider": "p", "headers": {}, "body": ""}\n')
    os.utime(path, (1795424402, 1795424402))
    recorded = Recorded()
    with open_events(path, opener=recorded) as file:
        assert list(file.rows()) == []
    assert recorded.seen[0].received_at == datetime(2026, 11, 23, 9, 0, 2, tzinfo=UTC)
    told = envelope_of(tmp_path, received_at="2026-11-23T10:00:00+01:00", method="get", url="https://a/")
    assert (told.received_at, told.method, told.url) == (datetime(2026, 11, 23, 9, tzinfo=UTC), "GET", "https://a/")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"provider": ""}, "provider: must be given: the name of the section"),
        ({"provider": 3}, "provider: must be a string, is 3"),
        ({"headers": ["svix-id"]}, "headers: must be an object"),
        ({"headers": {"svix-id": 3}}, "headers: 'svix-id' must be a string, is 3"),
        ({"headers": {"svix-id": "a", "Svix-Id": "b"}}, "headers: 'Svix-Id' stands there twice, and not the same"),
        ({"body": 3}, "body: must be a string, is 3"),
        ({"body_base64": ""}, "body: must be given, as it came; or body_base64, and not both"),
        ({"received_at": "today"}, "received_at: 'today' is no time with its offset"),
        ({"received_at": 7}, "received_at: must be a string"),
        ({"provider": "p"}, "there is no section [providers.p] here, but letters, guns"),
    ],
)
def test_what_is_wrong_with_an_envelope_is_named(tmp_path: Path, fields: dict[str, Any], wrong: str) -> None:
    [bad] = read(tmp_path, json.dumps({"provider": "letters", "headers": {}, "body": "b"} | fields))

    assert isinstance(bad, BadRow)
    assert wrong in f"{bad.column}: {bad.reason}"


def test_body_base64_that_is_none_is_named(tmp_path: Path) -> None:
    [bad] = read(tmp_path, '{"provider": "letters", "headers": {}, "body_base64": "?"}')

    assert isinstance(bad, BadRow)
    assert (bad.column, bad.reason) == ("body_base64", "is not base64")


def test_a_whole_batch_of_sendgrid_fits_into_a_line(tmp_path: Path) -> None:
    events = [test_sendgrid.event("open", timestamp=1795424402 + place) for place in range(2500)]
    posted = signing.sendgrid(events)
    assert 700_000 < len(posted.body) < 1_000_000  # 768 KB are what it posts at most
    assert len(read(tmp_path, posted.line(), OWN)) == 2501


def test_a_line_that_is_too_long_is_named_and_the_next_is_read(tmp_path: Path) -> None:
    rows = read(tmp_path, json.dumps({"body": "x" * LINE_MAX_CHARACTERS}) + "\n", OWN)

    assert isinstance(rows[0], BadRow)
    assert "has more than 4194304 characters" in rows[0].reason
    assert isinstance(rows[1], Event)


@pytest.mark.parametrize("kind", ["unsubscribed", "complained", "bounced"])
def test_an_address_alone_is_enough_for_what_suppresses(tmp_path: Path, kind: str) -> None:
    line = {"type": kind, "occurred_at": "2026-11-23T09:00:00Z"}
    email, phone = read(tmp_path, *(json.dumps(line | one) + "\n" for one in ({"email": "Ana@X.Example"},
                                                                             {"phone": "+49 30 1234567"})))  # fmt: skip
    assert isinstance(email, Event)
    assert isinstance(phone, Event)
    assert [(one.by, one.of) for one in (email, phone)] == [
        ("address", ("ana@x.example", "")),
        ("address", ("+49301234567", "")),
    ]


@pytest.mark.parametrize("more", [{"type": "opened"}, {"type": "bounced", "permanent": False}])
def test_what_was_done_with_a_message_must_name_one(tmp_path: Path, more: dict[str, Any]) -> None:
    line = {"occurred_at": "2026-11-23T09:00:00Z", "email": "ana@x.example"} | more
    [bad] = read(tmp_path, json.dumps(line))

    assert isinstance(bad, BadRow)
    assert "must be about something that was sent: give campaign as well" in bad.reason
