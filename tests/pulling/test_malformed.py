"""An entry that is not as its service documents it keeps no other from counting, and no page from ending."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from sendctl.providers.http.feeds import postmark
from tests.pulling.forms import bounce, listed_by_sendgrid, of_ses, suppression, text
from tests.pulling.test_queue import in_queue
from tests.pulling.world import World, hard


def page(path: str, body: Any, **more: Any) -> dict[str, Any]:
    """The service answers so when it is asked for this."""
    return {"at": "asked", "do": "answer", "to": path, "status": 200, "body": body, **more}


FLAWS: list[dict[str, Any] | None] = [
    {"created_at": "2026-03-02 09:00 UTC"}, {"created_at": None}, {"created_at": "0001-01-01T00:00:00Z"},
    {"created_at": "1970-01-01T00:00:00Z"}, {"id": None}, None,
]  # fmt: skip


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("flaw", FLAWS)
def test_resends_list_is_read_on_whatever_is_wrong_with_one_entry(lite: World, place: int, flaw: Any) -> None:
    """Its pages go on behind the last entry, and end with what is old enough."""
    people = [{"recipient": f"p{n}@x.example", "provider_message_id": None} for n in (1, 2, 3)]
    first, _, third = people
    at = lite.ago(60)
    entries: list[Any] = [
        suppression(one, at - timedelta(seconds=n), "bounce", f"s{n}") for n, one in enumerate(people[:2])
    ]
    entries.insert(place, suppression(third, at, "bounce", "s9") | flaw if flaw else 7)
    more = {"object": "list", "has_more": True, "data": entries}
    older = [suppression(third, at - timedelta(seconds=9), "bounce", "s3")]
    older.append(suppression(first, at - timedelta(days=9), "bounce", "s4"))
    rest = {"object": "list", "has_more": True, "data": older}
    no_emails = page("/emails", {"object": "list", "has_more": False, "data": []})
    lite.serve("resend", page("after=", rest), page("/suppressions", more), no_emails)
    lite.ground.clock.forward(hours=2)
    report = lite.pull()
    assert (report.trouble, report.more) == ({}, [])
    assert set(lite.suppressed()) == {one["recipient"] for one in people}
    assert report.unread <= 1
    lite.ground.clock.forward(hours=20)
    assert lite.pull().unread == 0, "it is said once: its neighbours say when it was"


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "flaw", [{"BouncedAt": "yesterday"}, {"BouncedAt": None}, {"BouncedAt": "0001-01-01T00:00:00Z"}, None]
)
def test_postmarks_list_is_read_beyond_its_border_whatever_is_wrong_with_one_entry(
    world: World, monkeypatch: pytest.MonkeyPatch, place: int, flaw: Any
) -> None:
    monkeypatch.setattr(postmark, "_COUNT", 3)
    monkeypatch.setattr(postmark, "_MOST", 3)
    people = [{"recipient": f"p{n}@x.example", "provider_message_id": f"e{n}"} for n in (1, 2, 3)]
    messages = world_sent(world, people)
    at = world.ago(60)
    entries: list[Any] = [bounce(one, at - timedelta(seconds=n), n) for n, one in enumerate(messages[:2], 1)]
    entries.insert(place, bounce(messages[2], at, 9) | flaw if flaw else 7)
    older = {"Bounces": [bounce(messages[2], at - timedelta(seconds=9), 3)]}
    world.serve("postmark", page("/bounces", {"Bounces": entries}, first=1), page("/bounces", older))
    report = world.pull()
    assert report.trouble == {}
    assert len(world.suppressed()) == 3


def world_sent(world: World, people: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages that were sent through Postmark."""
    world.serve("postmark")
    return world.sent(len(people))


@pytest.mark.parametrize("service", ["mailgun", "sendgrid", "twilio"])
def test_what_is_no_object_at_all_keeps_no_other_from_counting(lite: World, service: str) -> None:
    lite.serve(service)
    message = {"recipient": "p1@x.example", "provider_key": "0" * 32, "provider_message_id": "SM1"}
    at = lite.ago(3000)
    answers: dict[str, tuple[str, Any]] = {
        "mailgun": ("events", {"items": [7, hard(message, at)], "paging": {"next": "http://x/v3/mg.shop.example/events/2"}}),
        "sendgrid": ("suppression/bounces", [7, listed_by_sendgrid(message, at, status="5.1.1")]),
        "twilio": ("Messages.json", {"messages": [7, text(message, at, "delivered")], "next_page_uri": None}),
    }  # fmt: skip
    path, answer = answers[service]
    lite.serve(service, page(path, answer, first=2))
    lite.ground.clock.forward(hours=1 if service != "twilio" else 23)
    report = lite.pull()
    assert report.unread >= 1
    assert "7" in report.not_understood[0]
    assert report.applied.fresh + report.foreign >= 1


@pytest.mark.parametrize(
    "flaw", [{"Attributes": {}}, {"Attributes": {"SentTimestamp": "9" * 30}}, {"ReceiptHandle": ""}, None]
)
def test_a_queue_is_read_on_whatever_is_wrong_with_one_message(lite: World, flaw: Any) -> None:
    double = lite.serve("ses")
    (message,) = lite.sent(1)
    event = of_ses("Delivery", message, lite.ago())
    in_queue(lite, event)
    sent = str(int(lite.ago().timestamp() * 1000))
    good = {"Body": json.dumps(event), "ReceiptHandle": "0-receipt", "Attributes": {"SentTimestamp": sent}}
    answer = {"Messages": [{**good, "Body": "{}", **flaw} if flaw else 7, good]}
    double.stop()
    script = {"at": "body", "do": "answer", "to": "MaxNumberOfMessages", "status": 200}
    double = lite.serve("ses", script | {"body": answer, "first": 1}, script | {"body": {}})
    in_queue(lite, event)
    report = lite.pull()
    assert (report.trouble, report.applied.fresh, report.unread >= 1) == ({}, 1, True)


@pytest.mark.parametrize("messages", [None, 7])
def test_a_queue_whose_answer_has_no_list_is_trouble_and_no_defect(lite: World, messages: Any) -> None:
    script = {"at": "body", "do": "answer", "to": "MaxNumberOfMessages", "status": 200}
    lite.serve("ses", script | {"body": {"Messages": messages}})
    assert lite.pull().trouble == {"primary": "the answer has no list of Messages"}


@pytest.mark.parametrize("service", ["postmark", "ses"])
def test_certificates_that_cannot_be_read_keep_no_doubt_from_being_settled(world: World, service: str) -> None:
    world.serve(service, ca_file=str(world.ground.folder / "gone.pem"))
    report = world.reconcile()
    assert list(report.pulled.trouble) == ["primary"]
    assert "No such file" in report.pulled.trouble["primary"]
