"""What cannot be read is said, keeps its place, and keeps nothing else from being done."""

from __future__ import annotations

from typing import Any

import pytest

from sendctl.errors import ExitCode
from sendctl.settings import ProviderTable
from tests.pulling.world import World, hard, mailgun

EVENTS = "/events"


def answer(status: int, body: Any = "", **headers: str) -> dict[str, Any]:
    return {"at": "asked", "do": "answer", "to": EVENTS, "status": status, "body": body, "headers": headers}


WRONG: list[tuple[dict[str, Any], str]] = [
    (answer(401, "Forbidden"), "HTTP 401: Forbidden; the key must be allowed to read the events of the domain"),
    (answer(403, {"message": "no"}), "the key must be allowed to read the events of the domain"),
    (answer(404, {"message": "Domain not found"}), "HTTP 404"),
    (answer(500, "<html>"), "HTTP 500: <html>"),
    (answer(200, "<html>a proxy's page</html>"), "HTTP 200: <html>a proxy's page</html>"),
    (answer(200, {"entries": []}), "the answer has no list of items"),
    (answer(200, {"items": [{"event": "stored"}]}), "its next page is 'None', not below /v3/mg.shop.example/events/"),
    (
        answer(200, {"items": [{"event": "stored"}], "paging": {"next": "https://evil.example/steal"}}),
        "its next page is 'https://evil.example/steal', not below",
    ),
    ({"at": "asked", "do": "close", "to": EVENTS}, "disconnected"),
    ({"at": "answered", "do": "cut", "to": EVENTS}, "peer closed connection"),
]


@pytest.mark.parametrize(("rule", "said"), WRONG, ids=[said[:40] for _, said in WRONG])
def test_a_service_that_cannot_be_read_is_said_and_the_events_come_later(
    lite: World, rule: dict[str, Any], said: str
) -> None:
    double = lite.serve("mailgun", {**rule, "first": 1})
    (message,) = lite.sent(1)
    double.tell(hard(message, lite.ago(60)))
    report = lite.reconcile()
    assert said in report.pulled.trouble["primary"]
    assert report.exit_code is ExitCode.NEEDS_PERSON
    assert lite.events() == []
    lite.ground.clock.forward(minutes=5)
    assert lite.reconcile().exit_code is ExitCode.DONE
    assert lite.events() == [(message["recipient"], "bounced")]


def test_a_service_that_is_not_there_is_said(lite: World) -> None:
    lite.serve("mailgun").stop()
    report = lite.pull()
    assert "refused" in report.trouble["primary"].lower()


def test_who_is_asked_too_often_is_left_alone_as_long_as_it_says(world: World) -> None:
    double = world.serve("mailgun", {**answer(429, "Too many", **{"Retry-After": "600"}), "first": 1})
    (message,) = world.sent(1)
    double.tell(mailgun("delivered", message, world.ago(60)))
    report = world.reconcile()
    assert report.pulled.asked_to_wait == {"primary": "HTTP 429: Too many"}
    assert report.exit_code is ExitCode.DONE, "nobody has to do anything"
    asked = len(double.asked("/v3/mg.shop.example/events"))
    world.ground.clock.forward(seconds=599)
    assert "not before" in world.pull().asked_to_wait["primary"]
    assert len(double.asked("/v3/mg.shop.example/events")) == asked
    world.ground.clock.forward(seconds=2)
    assert world.pull().applied.fresh == 1


def test_a_moments_wait_is_waited_for(lite: World) -> None:
    double = lite.serve("mailgun", {**answer(429, "Too many", **{"Retry-After": "0"}), "first": 3})
    (message,) = lite.sent(1)
    double.tell(mailgun("delivered", message, lite.ago(60)))
    report = lite.pull()
    assert (report.applied.fresh, report.asked_to_wait) == (1, {})


def test_a_page_that_the_service_has_forgotten_is_begun_again(lite: World) -> None:
    gone = {"at": "asked", "do": "answer", "to": "/events/", "status": 404, "body": {"message": "no such page"}}
    double = lite.serve("mailgun", {**gone, "first": 1})
    messages = lite.sent(4)
    double.pages_of(1)
    double.tell(*(mailgun("delivered", one, lite.ago(60 + number)) for number, one in enumerate(messages)))
    assert "no such page" in lite.pull().trouble["primary"]
    assert lite.pull().trouble == {}
    assert len(lite.events()) == 4


def test_an_entry_that_is_no_event_keeps_no_other_from_counting(lite: World) -> None:
    double = lite.serve("mailgun")
    first, second = lite.sent(2)
    broken = mailgun("delivered", first, lite.ago(60), ident="broken") | {"user-variables": {"sendctl": "x"}}
    broken["message"] = {}
    double.tell(broken, mailgun("delivered", first, lite.ago(60), ident="a\0b"))
    double.tell(mailgun("delivered", second, lite.ago(60)))
    assert lite.pull().applied.fresh == 1
    lite.ground.clock.forward(hours=1)
    report = lite.pull()
    assert report.unread == 2
    assert "it names no message" in report.not_understood[0]
    assert "U+0000 cannot be stored" in report.not_understood[1]
    assert report.exit_code is ExitCode.NEEDS_PERSON
    assert lite.pull().unread == 0, "it is said once"


def test_one_provider_in_trouble_keeps_no_other_from_being_read(lite: World) -> None:
    double = lite.serve("mailgun")
    (message,) = lite.sent(1)
    no_key = {"api_key_env": "NOT_SET", "domain": "mg.shop.example", "pull_events": True}
    others = lite.ground.providers
    lite.ground.providers = {"broken": ProviderTable("broken", "mailgun", no_key)} | others
    lite.ground.close()
    double.tell(mailgun("delivered", message, lite.ago(60)))
    report = lite.reconcile()
    assert report.pulled.applied.fresh == 1
    assert "NOT_SET" in report.pulled.trouble["broken"]
    assert report.exit_code is ExitCode.NEEDS_PERSON


def test_a_backlog_of_more_than_a_day_is_said(lite: World) -> None:
    double = lite.serve("mailgun", {**answer(500, "away"), "skip": 6, "first": 40})
    lite.sent(1)
    assert lite.pull().behind == {}
    lite.ground.clock.forward(days=2)
    while not lite.pull().trouble:
        lite.ground.clock.forward(minutes=5)
    lite.ground.clock.forward(days=2)
    report = lite.pull()
    assert list(report.behind) == ["primary"]
    assert report.exit_code is ExitCode.NEEDS_PERSON
    double.stop()
