"""An event in the spool that names a service's id alone stays while the outcome is missing that it may be about."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from sendctl.passes import reconcile
from tests.http_double import API_KEY
from tests.passes.test_asking import twilio, write
from tests.passes.test_ingest import aged, spooled, suppressed, work
from tests.passes.test_key_replay import LOST
from tests.providers.hooks import signing
from tests.store.ground import ACCEPTED, UNKNOWN, Ground

AWAY = {"at": "asked", "do": "answer", "to": "Messages.json", "status": 500, "body": "x"}


def test_a_signed_hard_bounce_counts_once_the_lookup_has_proven_its_message(ground: Ground, tmp_path: Path) -> None:
    """It comes while nobody knows under which id Twilio has the text; Twilio cannot be asked for over an hour."""
    with twilio(ground, tmp_path, LOST | {"to": "0000001"}, AWAY | {"first": 3}) as double:
        spool = spooled(ground)
        write(ground, "sale", "Hello", [1])
        sid = double.accepted()[0]["id"]
        fields = {"MessageSid": sid, "MessageStatus": "undelivered", "ErrorCode": "30005"}
        posted = signing.twilio(fields, token=API_KEY)
        (spool / "a.jsonl").write_text(posted.line(provider="primary", received_at=ground.clock.now.isoformat()))
        aged(ground, spool / "a.jsonl")
        for _ in range(3):
            report = reconcile.run(ground.context)
            assert (report.proven_sent, report.events.waiting, report.events.foreign) == (0, 1, 0)
            ground.clock.forward(minutes=25)
        assert reconcile.run(ground.context).proven_sent == 1
        report = reconcile.run(ground.context)
        assert (report.events.applied.bounced, report.events.files) == (1, 1)
    assert (ground.states(), suppressed(ground)) == ({"bounced": 1}, {"+491510000001": "bounced"})


@pytest.mark.parametrize(
    ("named", "hours", "minutes", "waits"),
    [
        ({"provider": "primary"}, 47, 0, True),
        ({}, 47, 0, True),
        ({"provider": "primary"}, 49, 0, False),
        ({"provider": "fallback"}, 47, 0, False),  # nothing is missing there
        ({"provider": "primary"}, 47, 20, False),  # of before anything was handed over
    ],
)
def test_it_waits_for_two_days_where_an_outcome_is_missing(
    ground: Ground, named: dict[str, object], hours: float, minutes: int, waits: bool
) -> None:
    spool = spooled(ground)
    ground.enqueue(1)
    ground.pass_with(UNKNOWN)
    at = ground.clock.now - timedelta(minutes=minutes)
    ground.clock.forward(hours=hours)
    event = {"type": "bounced", "occurred_at": at.isoformat(), "provider_message_id": "Q7", **named}
    (spool / "a.jsonl").write_text(json.dumps(event) + "\n")
    aged(ground, spool / "a.jsonl", hours)
    report = work(ground)
    assert (report.waiting, report.unmatched) == ((1, 0) if waits else (0, 1))
    assert (spool / "a.jsonl").exists() is waits
    assert (spool / "bad/a.jsonl").exists() is not waits


def bounced_at_postmark(ground: Ground, spool: Path, address: str) -> None:
    """A webhook about an address, and somebody else's message."""
    ground.close()
    ground.providers["primary"] = signing.sections()["marks"]
    ground.context.environ = dict(signing.SECRETS)
    told = {"RecordType": "Bounce", "Type": "HardBounce", "ID": 1, "MessageID": "of-others", "Email": address,
            "BouncedAt": ground.clock.now.isoformat()}  # fmt: skip
    (spool / "a.jsonl").write_text(signing.postmark(told).line(provider="primary"))


def test_what_repeats_our_key_does_not_wait(ground: Ground) -> None:
    """A bounce at Postmark without our key is about somebody else's message, whatever is in doubt."""
    spool = spooled(ground)
    ground.enqueue(1)
    ground.pass_with(UNKNOWN)
    bounced_at_postmark(ground, spool, "x@else.example")
    aged(ground, spool / "a.jsonl", 2)
    report = work(ground)
    assert (report.foreign, report.waiting, report.files) == (1, 0, 1)


@pytest.mark.parametrize(("provider", "heeded"), [("primary", True), ("fallback", False)])
def test_a_dead_address_that_was_sent_to_is_suppressed_whatever_its_message_was(
    ground: Ground, provider: str, heeded: bool
) -> None:
    """As in a line of ours that somebody else has written; a relay's section is an account of its own."""
    spool = spooled(ground)
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    event = {"type": "bounced", "occurred_at": ground.clock.now.isoformat(), "provider_message_id": "Q7",
             "provider": provider, "recipient": "P00001@x.example"}  # fmt: skip
    (spool / "a.jsonl").write_text(json.dumps(event) + "\n")
    aged(ground, spool / "a.jsonl", 2)
    report = work(ground)
    assert (report.applied.suppressed, report.unmatched, report.waiting) == (int(heeded), int(not heeded), 0)
    assert suppressed(ground) == ({"p00001@x.example": "bounced"} if heeded else {})
    assert (spool / "bad/a.jsonl").exists() is not heeded


def test_a_webhook_about_somebody_elses_message_suppresses_a_dead_address_of_ours(ground: Ground) -> None:
    spool = spooled(ground)
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    bounced_at_postmark(ground, spool, "p00001@x.example")
    report = work(ground)
    assert (report.applied.suppressed, report.foreign, report.files) == (1, 0, 1)
    assert suppressed(ground) == {"p00001@x.example": "bounced"}


def test_nothing_waits_where_all_outcomes_are_known(ground: Ground) -> None:
    spool = spooled(ground)
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    event = {"type": "bounced", "occurred_at": ground.clock.now.isoformat(), "provider_message_id": "Q7"}
    (spool / "a.jsonl").write_text(json.dumps(event) + "\n")
    aged(ground, spool / "a.jsonl", 2)
    report = work(ground)
    assert (report.unmatched, report.waiting) == (1, 0)
