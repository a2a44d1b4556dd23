"""`absent_after_s`: an operator says how long a service's index lags at most, and what it does not have is sent again.

The services' doubles are processes of their own, with their own clock: only the store's clock runs on here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sendctl.passes import enqueue, reconcile
from sendctl.settings import ProviderTable
from tests.http_double import API_KEY, HttpDouble, start_http_double
from tests.passes.test_key_replay import BROKEN, LOST
from tests.store.ground import Ground, campaign_file

SERVICES = {
    "postmark": {"server_token_file": "key"}, "sendgrid": {"api_key_file": "key"},
    "mailgun": {"api_key_file": "key", "domain": "mg.shop.example"},
}  # fmt: skip
SCRIPT = [LOST | {"to": "p00001"}, BROKEN | {"to": "p00002"}]
Start = Callable[..., HttpDouble]


@pytest.fixture
def start(ground: Ground, tmp_path: Path) -> Iterator[Start]:
    """Make a service `primary`: p00001's message is taken without a reply, p00002's is not taken."""
    with ExitStack() as stack:

        def begin(kind: str, *, script: Sequence[dict[str, Any]] = SCRIPT, **options: Any) -> HttpDouble:
            double = stack.enter_context(start_http_double(tmp_path, kind, script=script))
            (tmp_path / "key").write_text(API_KEY)
            secrets = {
                name: str(tmp_path / value) if value == "key" else value for name, value in SERVICES[kind].items()
            }
            table = ProviderTable("primary", kind, secrets | {"base_url": double.url, "connections": 1} | options)
            ground.close()
            ground.providers["primary"] = table
            ground.clock.now = datetime.now(UTC)
            return double

        yield begin


def lost(ground: Ground, policy: str = "hold") -> None:
    ground.enqueue(3, campaign=f'in_doubt = "{policy}"')
    ground.send_due()
    assert ground.states() == {"in_doubt": 2, "sent": 1}


@pytest.mark.parametrize("kind", SERVICES)
def test_what_a_service_does_not_have_after_that_time_is_sent_once(ground: Ground, start: Start, kind: str) -> None:
    double = start(kind, absent_after_s=3600.0)
    lost(ground)
    report = reconcile.run(ground.context)
    assert (report.proven_sent, report.proven_absent, report.in_doubt) == (1, 0, 1)
    (reason,) = report.cannot_tell
    assert reason.startswith("provider primary does not have it yet: that counts in ")
    ground.clock.forward(minutes=61)
    report = reconcile.run(ground.context)
    assert (report.proven_absent, report.in_doubt) == (1, 0)
    assert report.proven_by == {"provider primary does not have it": 1}
    assert ground.rows("SELECT evidence FROM attempts WHERE outcome = 'deferred'") == [("lookup",)]
    ground.clock.forward(hours=1)
    ground.send_due()
    assert ground.states() == {"sent": 3}
    assert sorted(row["to"] for row in double.accepted()) == [f"p0000{number}@x.example" for number in (1, 2, 3)]


@pytest.mark.parametrize("kind", SERVICES)
def test_without_it_absence_proves_nothing_ever(ground: Ground, start: Start, kind: str) -> None:
    start(kind)
    lost(ground)
    for _ in range(3):
        ground.clock.forward(hours=23)
        report = reconcile.run(ground.context)
    assert (report.in_doubt, report.cannot_tell) == (1, {"provider primary does not have it, or has it no more": 1})


SEARCH = "to_email = "  # what SendGrid's log is asked by
OTHERS = {
    "postmark": {"/messages/outbound": {"Messages": [{"MessageID": "other", "Metadata": {"sendctl": "f" * 32}}]}},
    "postmark, without metadata": {"/messages/outbound": {"Messages": [{"MessageID": "other"}]}},
    "postmark, no object": {"/messages/outbound": {"Messages": [7]}},
    "mailgun": {"/events": {"items": [{"event": "accepted", "message": {"headers": {"message-id": "a@b"}}}] * 25}},
    "sendgrid": {
        "/v3/logs/other": {"sg_message_id": "other", "custom_args": {"sendctl": "f" * 32}},
        SEARCH: {"messages": [{"sg_message_id": "other", "to_email": "other@x.example"}]},
    },
    "sendgrid, no object": {SEARCH: {"messages": [7]}},
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_an_answer_about_others_is_no_absence(ground: Ground, start: Start, case: str) -> None:
    """It has ours too, and the filter was not applied."""
    double = start(
        case.partition(",")[0], script=[LOST | {"to": "p00001"}, *answering(OTHERS[case])], absent_after_s=3600.0
    )
    assert told_of_one(ground, double) == "its answer has other messages than the one that it was asked for"


def answering(pages: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The service answers so when it is asked for these."""
    return [
        {"at": "body" if path == SEARCH else "asked", "do": "answer", "to": path, "status": 200, "body": body}
        for path, body in pages.items()
    ]


def told_of_one(ground: Ground, double: HttpDouble) -> str:
    """Why the service cannot say whether it has taken p00001's message two hours ago, which stays in doubt."""
    ground.enqueue(1)
    ground.send_due()
    ground.clock.forward(hours=2)
    report = reconcile.run(ground.context)
    ground.send_due()
    assert (report.proven_absent, len(double.accepted())) == (0, 1)
    (said,) = report.cannot_tell
    return said.removeprefix("provider primary cannot be asked: ")


@pytest.mark.parametrize(
    ("entry", "details"),
    [
        ({}, {}),
        ({"sg_message_id": ""}, {}),
        ({"sg_message_id": 7}, {}),
        ({"sg_message_id": "\ud800"}, {}),
        ({"sg_message_id": "other"}, {}),
        ({"sg_message_id": "other"}, {"custom_args": {}}),
        ({"sg_message_id": "other"}, {"custom_args": [1]}),
    ],
)
def test_an_entry_that_does_not_say_whose_it_is_may_be_ours(
    ground: Ground, start: Start, entry: dict[str, Any], details: dict[str, Any]
) -> None:
    """SendGrid's log is searched by the address: only what an entry carries says whose message it is."""
    pages = {
        "/v3/logs/": {"sg_message_id": "other"} | details,
        SEARCH: {"messages": [{"to_email": "p00001@x.example"} | entry]},
    }
    double = start("sendgrid", script=[LOST | {"to": "p00001"}, *answering(pages)], absent_after_s=3600.0)
    assert told_of_one(ground, double) == "its log has a message to that address that does not say whose it is"


@pytest.mark.parametrize("known", ["\ud800", "a\0b", 7])
def test_what_is_there_under_an_odd_id_is_proven(ground: Ground, start: Start, known: Any) -> None:
    ground.enqueue(1)
    page = {
        "Messages": [{"MessageID": known, "Metadata": {"sendctl": ground.one("SELECT provider_key FROM messages")}}]
    }
    start("postmark", script=[LOST, *answering({"/messages/outbound": page})])
    ground.send_due()
    assert reconcile.run(ground.context).proven_sent == 1
    kept = {"\ud800": "\\ud800", "a\0b": "a\\x00b"}.get(known, str(known))
    assert ground.rows("SELECT provider_message_id FROM attempts") == [(kept,)]


def test_what_carries_something_of_another_program_is_not_ours(ground: Ground, start: Start) -> None:
    """To the same address, in another spelling, within the hour."""
    pages = {
        "/v3/logs/other": {"sg_message_id": "other", "custom_args": {"newsletter": "7"}},
        SEARCH: {"messages": [{"sg_message_id": "other", "to_email": "P00001@X.example"}]},
    }
    start("sendgrid", script=[BROKEN | {"to": "p00001"}, *answering(pages)], absent_after_s=3600.0)
    ground.enqueue(1)
    ground.send_due()
    ground.clock.forward(hours=2)
    assert reconcile.run(ground.context).proven_absent == 1


def test_postmark_is_asked_for_the_stream_that_it_was_given(ground: Ground, start: Start) -> None:
    double = start("postmark", message_stream="broadcast")
    lost(ground)
    reconcile.run(ground.context)
    asked = [row["path"] for row in double.asked("/messages/outbound")]
    assert len(asked) == 2
    assert all("messagestream=broadcast" in path for path in asked)


def test_beyond_what_the_service_keeps_absence_proves_nothing(ground: Ground, start: Start) -> None:
    start("mailgun", absent_after_s=3600.0)
    lost(ground)
    ground.clock.forward(days=1)
    report = reconcile.run(ground.context)
    said = "provider primary does not have it, and need not keep any for more than 1d"
    assert (report.proven_absent, report.cannot_tell) == (0, {said: 1})


def test_while_its_run_may_be_alive_absence_proves_nothing(ground: Ground, start: Start) -> None:
    start("postmark", absent_after_s=3600.0)
    lost(ground)
    ground.change("UPDATE attempts SET evidence = 'claim_expired' WHERE outcome = 'unknown'")
    ground.clock.forward(hours=2)
    report = reconcile.run(ground.context)
    said = "provider primary does not have it, but its run may still be alive"
    assert (report.proven_absent, report.cannot_tell) == (0, {said: 1})


def test_absence_under_another_message_id_than_the_one_that_was_sent_proves_nothing(
    ground: Ground, start: Start
) -> None:
    """A backup from before the sender's domain was changed: what is asked for now is not what Mailgun has."""
    double = start("mailgun", script=[LOST], absent_after_s=3600.0)
    ground.enqueue(1)
    before = ground.backup()
    path = ground.folder / "campaign.toml"
    path.write_text(campaign_file().replace("news@shop.example", "news@mail.shop.example"))
    enqueue.run(ground.context, path)
    ground.send_due()
    ground.put_back(before)
    assert ground.recover(in_doubt="hold").in_doubt == 1
    ground.clock.forward(hours=2)
    report = reconcile.run(ground.context)
    assert "put back to before the contents that were sent" in "".join(report.cannot_tell)
    assert (report.proven_absent, ground.states(), len(double.accepted())) == (0, {"in_doubt": 1}, 1)


@pytest.mark.parametrize("policy", ["resend", "skip"])
def test_no_policy_decides_before_that_time_is_over(ground: Ground, start: Start, policy: str) -> None:
    start("postmark", absent_after_s=7200.0)
    lost(ground, policy)
    ground.clock.forward(seconds=reconcile.POLICY_GRACE_S + 60)
    report = reconcile.run(ground.context)
    assert (report.policy_resent, report.policy_skipped, report.in_doubt) == (0, 0, 1)
    ground.clock.forward(hours=2)
    report = reconcile.run(ground.context)
    assert (report.proven_absent, report.policy_resent, report.policy_skipped) == (1, 0, 0)


def test_a_person_may_decide_before(ground: Ground, start: Start) -> None:
    start("postmark", absent_after_s=7200.0)
    lost(ground)
    assert ground.recover(in_doubt="resend").resent == 1
