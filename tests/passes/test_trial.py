"""A test message goes the whole way, marked, and leaves every row of the ledger as it was but one of the audit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, message_from_string, policy
from pathlib import Path
from typing import Any

import pytest

from sendctl.errors import BadInput, ExitCode, SendingDisabled, UsageError
from sendctl.passes import trial
from sendctl.passes.suppress import Asked, suppress
from sendctl.passes.trial import TrialReport, Wanted
from sendctl.providers.base import Outcome, Outgoing, Phase, Scope
from sendctl.settings import ProviderTable
from sendctl.states import AttemptOutcome
from sendctl.store import limits
from tests.http_double import API_KEY, start_http_double
from tests.passes.judge import Judge
from tests.smtp_double import start_smtp_double
from tests.store.ground import DRIP, STEP, Ground, campaign_file

ME = "me@shop.example"
NUMBER = "+4915112345678"
TEXTS = ['name = "ready"\nsubject = "Ready"\ntext = "T {{ token }}"\nsms = "{{ contact.first_name }}, ready. STOP"\n']


@contextmanager
def unmoved(ground: Ground) -> Iterator[None]:
    """Every row of every table is the same afterwards, but for one more line of the audit and the number for it."""
    before = ground.dump()
    yield
    after = ground.dump()
    changed = {name: set(after[name]) ^ set(before[name]) for name in before if after[name] != before[name]}
    assert changed.keys() == {"audit", "id_blocks"}
    assert len(after["audit"]) == len(before["audit"]) + 1
    assert all("'audit'" in row for row in changed["id_blocks"])


def sent(ground: Ground, campaign: str = "sale", to: str = ME, **wanted: Any) -> TrialReport:
    with unmoved(ground):
        return trial.run(ground.context, campaign, Wanted(to, **wanted))


def mails(ground: Ground, provider: str = "primary") -> list[str]:
    return [path.read_text() for path in (ground.folder / provider / "new").iterdir()]


def test_a_campaign_in_the_store_is_tried_with_names_for_values(ground: Ground) -> None:
    ground.enqueue(3, marketing=True)
    states, left = ground.states(), mails_left(ground)
    report = sent(ground)
    assert (report.exit_code, report.outcome.kind, report.sample) == (ExitCode.DONE, "accepted", True)
    (mail,) = mails(ground)
    message = message_from_string(mail, policy=policy.default)
    assert message["Subject"] == "[test] Hello [first_name]"
    assert (message["To"], message["From"]) == (ME, "Shop <news@shop.example>")
    assert message["X-Sendctl-Test"] == "campaign=sale"
    assert message["Message-ID"] == report.message_id == f"<{report.key}@shop.example>"
    token = message["List-Unsubscribe"].strip("<>").rpartition("/")[2]
    assert token.startswith("test-")
    assert ground.one("SELECT count(*) FROM enrollments WHERE token = :token", token=token) == 0
    assert (ground.states(), mails_left(ground)) == (states, left)
    ground.send_due()
    assert ground.states() == {"sent": 3}, "everybody still gets it"


def mails_left(ground: Ground) -> list[Any]:
    return [tuple(row) for row in ground.rows("SELECT id, status, attempts FROM messages ORDER BY id")]


def test_no_two_tests_and_no_planned_message_share_a_key(ground: Ground) -> None:
    ground.enqueue(1)
    planned = ground.one("SELECT provider_key FROM messages")
    keys = [sent(ground).key for _ in range(3)]
    assert len({planned, *keys}) == 4
    assert all(key.startswith("test-") for key in keys)
    assert "-" not in planned
    assert "-" not in ground.one("SELECT token FROM enrollments"), "what is marked by a dash can be no token of ours"


def test_the_data_of_somebody_who_is_enrolled_are_taken_from_the_store(ground: Ground) -> None:
    ground.enqueue(3, steps=[STEP, DRIP])
    report = sent(ground, contact="p00002@x.example", step="reminder")
    assert (report.step, report.sample) == ("reminder", False)
    (mail,) = mails(ground)
    assert "Hello again P2" in mail
    assert "p00002" not in mail
    for contact, problem in (("p00009@x.example", "is not in campaign sale"), ("nobody", "--contact nobody")):
        with pytest.raises(UsageError, match=problem):
            trial.run(ground.context, "sale", Wanted(ME, contact=contact))


def test_a_file_is_tried_before_it_is_enqueued(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "new.toml").write_text(campaign_file("new"))
    (tmp_path / "people.csv").write_text("email,first_name\na@x.example,Ana\nb@x.example,Bob\n")
    file, people = str(tmp_path / "new.toml"), tmp_path / "people.csv"
    assert sent(ground, file).sample
    for pick, name in (({}, "Ana"), ({"row": 2}, "Bob"), ({"contact": "b@x.example"}, "Bob")):
        for path in (tmp_path / "primary" / "new").iterdir():
            path.unlink()
        sent(ground, file, contacts=people, **pick)
        assert f"Hello {name}" in mails(ground)[0]
    assert ground.rows("SELECT 1 FROM campaigns") == []
    assert ground.one("SELECT count(*) FROM audit WHERE campaign_id IS NOT NULL") == 0
    for options, problem in (
        ({"row": 1}, "choose from a contacts file"), ({"contacts": people, "row": 9}, "has no record 9"),
        ({"orders": people}, "has no .trigger."),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=problem):
            trial.run(ground.context, file, Wanted(ME, **options))


def test_what_a_record_lacks_is_said_with_its_place_and_nothing_leaves(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "new.toml").write_text(campaign_file("new"))
    (tmp_path / "people.csv").write_text("email\na@x.example\n")
    before = ground.dump()
    with pytest.raises(BadInput, match=r"new\.toml:\d+.*first_name"):
        trial.run(ground.context, str(tmp_path / "new.toml"), Wanted(ME, contacts=tmp_path / "people.csv"))
    assert ground.dump() == before
    assert not (tmp_path / "primary").exists()


def test_an_order_fills_a_campaign_with_a_trigger(ground: Ground, tmp_path: Path) -> None:
    trigger = '[trigger]\nevent = "order.delivered"\nkey = "{{ order.id }}"\nemail = "{{ order.email }}"\n'
    step = 'name = "a"\nsubject = "Order {{ order.id }}"\ntext = "T"\n'
    (tmp_path / "new.toml").write_text(campaign_file("new", rest=trigger, steps=[step]))
    event = {"id": "e1", "type": "order.delivered", "occurred_at": "2026-03-01T09:00:00Z",
             "order": {"id": "o7", "email": "a@x.example"}}  # fmt: skip
    (tmp_path / "orders.jsonl").write_text(json.dumps(event) + "\n")
    sent(ground, str(tmp_path / "new.toml"), orders=tmp_path / "orders.jsonl")
    assert "Subject: [test] Order o7" in mails(ground)[0]


def test_a_letter_is_tried_from_its_file_and_a_sealed_one_from_nowhere_else(ground: Ground) -> None:
    ground.letter()
    sent(ground, str(ground.folder / "note.toml"))
    assert "Dear Ann" in mails(ground)[0]
    with pytest.raises(UsageError, match="one reader and one text"):
        trial.run(ground.context, str(ground.folder / "note.toml"), Wanted(ME, row=1))
    with pytest.raises(UsageError, match="is in the store"):
        trial.run(ground.context, "note", Wanted(ME, row=1))


def test_whoever_must_not_be_contacted_gets_no_test(ground: Ground) -> None:
    ground.enqueue(1)
    suppress(ground.context, Asked([ME], None, "asked by phone"))
    before = ground.dump()
    with pytest.raises(UsageError, match=f"{ME} must not be contacted: asked by phone"):
        trial.run(ground.context, "sale", Wanted("me@SHOP.example"))
    assert ground.dump() == before
    assert not (ground.folder / "primary").exists()


def test_a_host_that_may_not_send_sends_no_test(ground: Ground) -> None:
    ground.enqueue(1)
    ground.set(enabled=False)
    with pytest.raises(SendingDisabled, match="not enabled"):
        trial.run(ground.context, "sale", Wanted(ME))


@pytest.mark.parametrize(
    ("to", "options", "problem"),
    [
        ("nobody", {}, "sends e-mail only"),
        ("a@", {}, "--to a@"),
        (NUMBER, {}, "sends e-mail only"),
        (ME, {"channel": "sms"}, "sends e-mail only"),
        (ME, {"step": "none"}, "has no step none"),
        (ME, {"provider": "none"}, "there is no provider none"),
        (ME, {"provider": "texts"}, "texts does not carry e-mail"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_leaves(
    sqlite_ground: Ground, to: str, options: dict[str, str], problem: str
) -> None:
    ground = sqlite_ground
    ground.providers["texts"] = ProviderTable("texts", "file", {"path": str(ground.folder / "texts")})
    ground.enqueue(1)
    before = ground.dump()
    with pytest.raises(UsageError, match=problem):
        trial.run(ground.context, "sale", Wanted(to, **options))
    assert ground.dump() == before


def test_a_campaign_whose_provider_another_host_has_needs_one_named(sqlite_ground: Ground) -> None:
    sqlite_ground.enqueue(1, campaign='providers = ["elsewhere"]')
    with pytest.raises(UsageError, match="no provider on this host carries e-mail"):
        trial.run(sqlite_ground.context, "sale", Wanted(ME))
    assert sent(sqlite_ground, provider="fallback").provider == "fallback"
    assert len(mails(sqlite_ground, "fallback")) == 1


def test_texts_are_marked_and_measured(ground: Ground) -> None:
    ground.providers["texts"] = ProviderTable("texts", "file", {"path": str(ground.folder / "texts")})
    ground.set(providers=("primary", "texts"))
    ground.enqueue(contacts="email,phone,first_name\na@x.example,+4915100000000,Ana\n", steps=TEXTS,
                   campaign='channel = "both"')  # fmt: skip
    report = sent(ground, to="+49 151 12345678", contact="a@x.example")
    (line,) = [json.loads(line) for line in (ground.folder / "texts").read_text().splitlines()]
    assert (line["to"], line["text"], line["key"]) == (NUMBER, "TEST: Ana, ready. STOP", report.key)
    assert report.length is not None
    assert (report.length.segments, report.message_id, report.channel) == (1, "", "sms")
    assert sent(ground).channel == "email"


def test_it_goes_the_whole_way_through_a_relay_and_a_service(ground: Ground, tmp_path: Path) -> None:
    ground.enqueue(2)
    (tmp_path / "key").write_text(API_KEY)
    with (
        start_smtp_double(
            tmp_path, keep=True, script=[{"at": "rcpt", "do": "reply:550 5.1.1 no", "recipient": "bad"}]
        ) as relay,
        start_http_double(tmp_path, "postmark") as service,
    ):
        options = {"host": "127.0.0.1", "port": relay.port, "tls": "none"}
        ground.providers["primary"] = ProviderTable("primary", "smtp", options)
        options = {"server_token_file": str(tmp_path / "key"), "base_url": service.url}
        ground.providers["fallback"] = ProviderTable("fallback", "postmark", options)
        ground.close()
        report = sent(ground)
        ((row,),) = (relay.accepted(),)
        assert (row["rcpt"], row["message_id"]) == (ME, report.message_id)
        assert report.outcome.provider_message_id == row["queue_id"]
        report = sent(ground, to="bad@shop.example")
        assert (report.outcome.kind, report.exit_code) == ("refused", ExitCode.NEEDS_PERSON)
        report = sent(ground, provider="fallback")
        (taken,) = service.accepted()
    assert (taken["key"], taken["subject"]) == (report.key, "[test] Hello [first_name]")
    assert {"Name": "X-Sendctl-Test", "Value": "campaign=sale"} in taken["request"]["Headers"]
    assert report.outcome.provider_message_id == taken["id"]


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        ([{"at": "body", "do": "answer", "status": 429, "body": {"name": "rate_limit_exceeded"}}], "deferred", 69),
        ([{"at": "body", "do": "answer", "status": 403, "body": {"name": "invalid_api_key"}}], "halted", 3),
        ([{"at": "reply", "do": "cut"}], "unknown", 3),
    ],
)
def test_each_end_has_its_word_and_its_exit_code_and_nothing_fails_over(
    ground: Ground, tmp_path: Path, script: list[dict[str, Any]], kind: str, code: int
) -> None:
    ground.set(providers=("primary", "fallback"))
    ground.enqueue(1)
    (tmp_path / "key").write_text(API_KEY)
    with start_http_double(tmp_path, "resend", script=script) as service:
        options = {"api_key_file": str(tmp_path / "key"), "base_url": service.url}
        ground.providers["primary"] = ProviderTable("primary", "resend", options)
        report = sent(ground)
    assert (report.outcome.kind, report.exit_code, report.provider) == (kind, code, "primary")
    assert not (tmp_path / "fallback").exists()
    assert ground.rows("SELECT 1 FROM provider_state") == [], "no breaker is moved by a test"


def test_a_provider_that_passes_leave_alone_is_tried_and_that_is_said(ground: Ground) -> None:
    ground.enqueue(1)
    with ground.store.write() as connection:
        limits.note_failure(connection, limits.Breaker("primary"), reason="it was down", halt=True, retry_after_s=None,
                            now=ground.clock.now)  # fmt: skip
    report = sent(ground)
    assert (report.outcome.kind, report.left_alone) == ("accepted", "it was down")


def test_the_audit_says_who_sent_what_to_whom_before_it_leaves(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1)
    seen: list[Any] = []

    def answer(_message: Outgoing) -> Outcome:
        seen.extend(ground.rows("SELECT action, reason, detail, campaign_id FROM audit ORDER BY id DESC LIMIT 1"))
        return Outcome(AttemptOutcome.ACCEPTED, Phase.REPLIED)

    judge.answer = answer
    report = sent(ground, reason="before the launch")
    ((action, reason, detail, campaign_id),) = seen
    assert (action, reason, campaign_id is not None) == ("test-send", "before the launch", True)
    assert json.loads(detail) == {
        "campaign": "sale", "step": "offer", "to": ME, "provider": "primary", "key": report.key,
    }  # fmt: skip


def test_a_defect_of_an_adapter_is_no_verdict(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1)

    def fail(_message: Outgoing) -> Outcome:
        raise RuntimeError("a defect")

    judge.answer = fail
    report = sent(ground)
    assert (report.outcome.error_class, report.exit_code in (3, 69)) == ("internal", True)


@pytest.mark.parametrize(
    ("phase", "kind", "code"),
    [(Phase.UNTOUCHED, "untouched", 75), (Phase.BEGUN, "untouched", 75), (Phase.DOTTED, "unknown", 3)],
)
def test_what_a_signal_cuts_short_is_unknown_from_the_last_byte_on(phase: Phase, kind: str, code: int) -> None:
    outcome = trial._cut_short(phase)
    report = TrialReport("c", "s", "email", ME, "p", False, "", "k", None, outcome, "")
    assert (outcome.kind, outcome.scope, report.exit_code) == (kind, Scope.PROVIDER, code)


def test_the_header_reaches_whoever_takes_the_message_as_it_is(ground: Ground) -> None:
    ground.enqueue(1)
    sent(ground)
    raw = mails(ground)[0].encode()
    names = [name for name, _ in message_from_bytes(raw).items()]
    assert names.count("X-Sendctl-Test") == 1
