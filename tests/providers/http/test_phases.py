"""At every step of a request a failure means exactly one thing: before the body nothing can have been taken."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from sendctl.providers.base import ClaimExpired, Phase, Scope
from sendctl.states import AttemptOutcome
from tests.http_double import start_http_double
from tests.providers.http.world import SECRETS, message_for, outgoing, provider, submit, text
from tests.providers.seeking import sought
from tests.providers.smtp.world import Mark

STOPS = dict.fromkeys(SECRETS, "auth") | {"mailgun": "protocol"}  # its answer is no JSON
DEFERRED, UNKNOWN, UNTOUCHED = AttemptOutcome.DEFERRED, AttemptOutcome.UNKNOWN, AttemptOutcome.UNTOUCHED


@pytest.mark.parametrize("service", SECRETS)
def test_what_is_taken_is_accepted_under_the_services_own_id(tmp_path: Path, service: str) -> None:
    with start_http_double(tmp_path, service) as double:
        (outcome, mark), (second, _) = submit(
            provider(service, double.url), message_for(service), message_for(service, key="k2")
        )
        rows = double.accepted()
    assert (outcome.kind, outcome.phase) == (AttemptOutcome.ACCEPTED, Phase.REPLIED)
    known = [taken.provider_message_id.strip("<>").partition("@")[0] for taken in (outcome, second)]
    assert known == [row["id"] for row in rows]
    assert [row["key"] for row in rows] == (["", ""] if service == "twilio" else ["k1", "k2"])
    assert mark.calls == ["begin", "dot"]


@pytest.mark.parametrize("service", SECRETS)
def test_a_bad_recipient_is_refused_alone_and_a_wrong_key_stops_the_provider(tmp_path: Path, service: str) -> None:
    options = {"access_key_id": "AKIDOFANOTHER"} if service == "ses" else {}
    with start_http_double(tmp_path, service) as double:
        (bad, _), (good, _) = submit(
            provider(service, double.url), message_for(service, bad=True), message_for(service, key="k2")
        )
        [(stopped, _)] = submit(provider(service, double.url, key="another", **options), message_for(service))
        assert len(double.accepted()) == 1
    assert (bad.kind, bad.scope) == (AttemptOutcome.REFUSED, Scope.RECIPIENT)
    assert good.kind is AttemptOutcome.ACCEPTED
    assert (stopped.kind, stopped.scope, stopped.error_class) == (AttemptOutcome.HALTED, Scope.PROVIDER, STOPS[service])


@pytest.mark.parametrize(
    ("at", "do", "kind", "taken"),
    [
        ("headers", "close", UNKNOWN, 0),  # the headers had left, and the body went after them
        ("body", "close", UNKNOWN, 0),
        ("body", "reset", UNKNOWN, 0),
        ("reply", "close", UNKNOWN, 1),
        ("reply", "reset", UNKNOWN, 1),
        ("reply", "cut", UNKNOWN, 1),
        ("reply", "silence", UNKNOWN, 1),
    ],
)
def test_no_whole_reply_is_doubt_whatever_was_taken(
    tmp_path: Path, at: str, do: str, kind: AttemptOutcome, taken: int
) -> None:
    with start_http_double(tmp_path, "resend", script=[{"at": at, "do": do}]) as double:
        [(outcome, mark)] = submit(provider("resend", double.url), seconds=0.5 if do == "silence" else 20)
        assert len(double.accepted()) == taken
    assert (outcome.kind, outcome.phase, outcome.scope) == (kind, Phase.DOTTED, Scope.PROVIDER)
    assert outcome.error_class == "no-reply"
    assert mark.calls == ["begin", "dot"]


def test_without_a_connection_nothing_is_touched(tmp_path: Path) -> None:
    with start_http_double(tmp_path, "resend") as double:
        url = double.url
    [(outcome, mark)] = submit(provider("resend", url))
    assert (outcome.kind, outcome.phase, outcome.scope) == (UNTOUCHED, Phase.UNTOUCHED, Scope.PROVIDER)
    assert outcome.error_class == "connect"
    assert mark.calls == []


def test_a_claim_that_is_over_holds_the_body_back(tmp_path: Path) -> None:
    """The headers are gone by then: without a body nothing can be taken."""

    def refuse() -> None:
        raise ClaimExpired

    with start_http_double(tmp_path, "resend") as double:
        mark = Mark(at_dot=refuse)
        with pytest.raises(ClaimExpired):
            submit(provider("resend", double.url), mark=mark)
        [(after, _)] = submit(provider("resend", double.url), outgoing(key="k2"))
        rows = double.accepted()
    assert mark.calls == ["begin", "dot"]
    assert after.kind is AttemptOutcome.ACCEPTED
    assert [row["key"] for row in rows] == ["k2"]


def test_no_time_left_touches_nothing(tmp_path: Path) -> None:
    with start_http_double(tmp_path, "resend") as double:
        [(outcome, mark)] = submit(provider("resend", double.url), seconds=-1)
        assert double.heard() == []
    assert outcome.kind is UNTOUCHED
    assert mark.calls == []


def test_an_answer_that_defers_leaves_the_connection_to_the_next(tmp_path: Path) -> None:
    script = [{"at": "body", "do": "answer", "status": 429, "body": "{}", "first": 1}]
    with start_http_double(tmp_path, "resend", script=script) as double:
        outcomes = submit(provider("resend", double.url), *(outgoing(key=f"k{number}") for number in range(3)))
    assert [outcome.kind for outcome, _ in outcomes] == [DEFERRED, AttemptOutcome.ACCEPTED, AttemptOutcome.ACCEPTED]


def test_the_same_key_is_taken_once_by_a_service_that_knows_keys(tmp_path: Path) -> None:
    with start_http_double(tmp_path, "resend") as double:
        (first, _), (again, _) = submit(provider("resend", double.url), outgoing(), outgoing(attempt=2))
        assert len(double.accepted()) == 1
        bodies = {row["body"] for row in double.heard()}
    assert first.provider_message_id == again.provider_message_id
    assert len(bodies) == 1


@pytest.mark.parametrize("service", ["postmark", "mailgun", "sendgrid", "resend"])
def test_what_a_service_has_taken_is_found(tmp_path: Path, service: str) -> None:
    content = outgoing().content if service == "resend" else b""
    with start_http_double(tmp_path, service) as double:
        one = provider(service, double.url)
        [(outcome, _)] = submit(one)
        assert one.find(sought()._replace(content=content)) == outcome.provider_message_id
        assert one.find(sought("k2")._replace(content=content.replace(b"you", b"thou"))) is None
        assert one.find(sought("k2", "c@x.example")) is None
        with pytest.raises(OSError, match=r"HTTP 40[13]"):
            provider(service, double.url, key="another").find(sought())
    with pytest.raises(OSError):
        one.find(sought())


@pytest.mark.parametrize("service", ["postmark", "mailgun", "sendgrid", "resend", "twilio"])
@pytest.mark.parametrize(
    ("status", "body"),
    [(429, "{}"), (500, "<html>"), (200, "<html>"), (200, '{"items": 1, "messages": 1, "Messages": 1}'), (200, "{}")],
)
def test_an_answer_that_is_none_is_no_proof(tmp_path: Path, service: str, status: int, body: str) -> None:
    script = [{"at": at, "do": "answer", "status": status, "body": body, "first": 1} for at in ("asked", "body")]
    with start_http_double(tmp_path, service, script=script) as double, pytest.raises(OSError):
        provider(service, double.url).find(sought())


@pytest.mark.parametrize(
    "item",
    [
        {"event": "accepted", "message": {"headers": {"message-id": "k2@shop.example"}}},
        {"event": "rejected", "message": {"headers": {"message-id": "k1@shop.example"}}},
        {"event": "accepted", "message": None},
    ],
)
def test_only_an_event_that_names_the_message_proves_that_it_was_taken(tmp_path: Path, item: dict[str, Any]) -> None:
    answer = json.dumps({"items": [item, 1]})
    script = [{"at": "asked", "do": "answer", "status": 200, "body": answer, "first": 1}]
    with (
        start_http_double(tmp_path, "mailgun", script=script) as double,
        pytest.raises(OSError, match="other messages"),
    ):
        provider("mailgun", double.url).find(sought())


@pytest.mark.parametrize("metadata", [{"sendctl": "k2"}, {}, None])
def test_only_an_entry_that_carries_our_key_proves_that_it_was_taken(tmp_path: Path, metadata: Any) -> None:
    """A filter that is not applied gives the newest message of the server, whosever it is: nor is it an absence."""
    answer = json.dumps({"TotalCount": 1, "Messages": [{"MessageID": "another", "Metadata": metadata}, 1]})
    script = [{"at": "asked", "do": "answer", "status": 200, "body": answer, "first": 1}]
    with (
        start_http_double(tmp_path, "postmark", script=script) as double,
        pytest.raises(OSError, match="other messages"),
    ):
        provider("postmark", double.url).find(sought())


def test_a_log_that_cannot_be_searched_to_its_end_proves_nothing(tmp_path: Path) -> None:
    with start_http_double(tmp_path, "sendgrid") as double:
        one = provider("sendgrid", double.url)
        submit(one, *(outgoing(key=f"k{number}") for number in range(20)))
        with pytest.raises(OSError, match="20 or more messages"):
            one.find(sought("other"))
        with pytest.raises(OSError, match="quote"):
            one.find(sought(recipient='"a b"@x.example'))


NOW = datetime.now(UTC)
TEXT = {
    "sid": "SM1", "to": "+4915112345678", "body": "Grüße", "direction": "outbound-api",
    "date_created": format_datetime(NOW),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, "SM1"),
        ({"body": "Grüsse"}, None),
        ({"to": "+4915112345679"}, None),
        ({"direction": "inbound"}, None),
        ({"date_created": format_datetime(NOW - timedelta(minutes=61))}, None),
        ({"date_created": format_datetime(NOW + timedelta(minutes=61))}, None),
        ({"sid": "SM of another"}, None),
        ({"sid": None}, None),
    ],
)
def test_a_text_is_known_by_its_number_its_words_and_its_time(
    tmp_path: Path, changes: dict[str, Any], found: str | None
) -> None:
    asked = sought(recipient="+4915112345678")._replace(
        content="Grüße".encode(), handed_over_at=NOW, is_another=lambda known: known == "SM of another"
    )
    body = json.dumps({"messages": [TEXT | changes], "next_page_uri": None})
    script = [{"at": "asked", "do": "answer", "status": 200, "body": body, "first": 1}]
    with start_http_double(tmp_path, "twilio", script=script) as double:
        assert provider("twilio", double.url).find(asked) == found


def test_texts_are_looked_through_page_by_page_as_far_as_the_time(tmp_path: Path) -> None:
    asked = sought(recipient="+4915112345678")
    with start_http_double(tmp_path, "twilio") as double:
        one = provider("twilio", double.url)
        submit(one, text(), *([text()._replace(content=b"Later")] * 150))
        assert one.find(asked._replace(content=text().content)) == double.accepted()[0]["id"]
        assert one.find(asked._replace(content=b"never")) is None
        assert len([row for row in double.heard() if row["method"] == "GET"]) == 4


def test_the_list_of_e_mails_is_looked_through_page_by_page_as_far_as_the_time(tmp_path: Path) -> None:
    asked = sought()._replace(content=outgoing().content)
    other = outgoing()._replace(content=outgoing().content.replace(b"you", b"thou"))
    with start_http_double(tmp_path, "resend") as double:
        one = provider("resend", double.url)
        submit(one, outgoing(key="first"), *(other._replace(key=f"k{n}", recipient="c@x.example") for n in range(120)))
        first = double.accepted()[0]["id"]
        assert one.find(asked) == first
        assert one.find(asked._replace(is_another=lambda known: known == first)) is None
        assert one.find(asked._replace(handed_over_at=asked.handed_over_at + timedelta(hours=2))) is None
        assert one.find(asked._replace(handed_over_at=asked.handed_over_at - timedelta(hours=2))) is None
        assert len([row for row in double.heard() if "limit" in row["path"]]) == 7


@pytest.mark.parametrize(
    "answer",
    [
        {"messages": [], "next_page_uri": "https://elsewhere.example/x"},
        {"messages": [TEXT | {"date_created": "never"}], "next_page_uri": None},
        {"messages": None},
    ],
)
def test_a_list_of_texts_that_is_none_is_no_proof(tmp_path: Path, answer: dict[str, Any]) -> None:
    script = [{"at": "asked", "do": "answer", "status": 200, "body": json.dumps(answer), "first": 1}]
    with start_http_double(tmp_path, "twilio", script=script) as double, pytest.raises(OSError):
        provider("twilio", double.url).find(sought(recipient="+4915112345678")._replace(content="Grüße".encode()))
