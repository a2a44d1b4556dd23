"""Services' own requests from a spool: checked, taken in once in any order, and never lost; and wishes by address."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from sendctl.errors import BadConfig, BadInput, ExitCode
from sendctl.passes import reconcile
from sendctl.passes.ingest import run
from sendctl.passes.suppress import Asked, unsuppress
from sendctl.settings import ProviderTable
from tests.passes.test_ingest import (
    address,
    aged,
    enrollments,
    fact,
    ingest,
    message,
    spooled,
    suppressed,
    token,
    work,
    write,
)
from tests.passes.two_channels import NUMBER, STEPS, people, with_texts
from tests.providers.events import test_mailgun, test_postmark, test_resend, test_sendgrid, test_ses, test_twilio
from tests.providers.hooks import signing
from tests.providers.hooks.signing import SECRETS, Posted
from tests.store.ground import ACCEPTED, DRIP, STEP, UNKNOWN, Ground


@pytest.fixture
def host(ground: Ground) -> Ground:
    """A host with a spool, and a section for each service."""
    spooled(ground)
    ground.providers |= signing.sections()
    ground.close()
    ground.context.environ = dict(SECRETS)
    return ground


def key(ground: Ground, number: int = 1) -> str:
    return str(ground.one("SELECT provider_key FROM messages WHERE id = :id", id=message(ground, number)))


def put(ground: Ground, name: str, *lines: str, hours: float = 0.0) -> Path:
    assert ground.events.spool is not None
    path = ground.events.spool / name
    path.write_text("".join(lines))
    return aged(ground, path, hours)


def delivered(ground: Ground, number: int, ident: str) -> Posted:
    tags = {"sendctl_key": key(ground, number)}
    return signing.resend(test_resend.event("email.delivered", tags=tags), ident=ident)


def bounced(ground: Ground, number: int) -> Posted:
    variables = {"user-variables": {"sendctl": key(ground, number)}, "id": f"bounce-{number}"}
    status = {"severity": "permanent", "reason": "bounce", "delivery-status": {"enhanced-code": "5.1.1"}}
    return signing.mailgun(test_mailgun.event("failed", **variables, **status))


def complained(ground: Ground, number: int) -> Posted:
    told = test_ses.event("Complaint", complaint={"timestamp": test_ses.AT, "complaintFeedbackType": "abuse"})
    told["mail"]["tags"]["sendctl"] = [key(ground, number)]
    told["mail"]["messageId"] = f"ses-{number}"  # what the event's own id is made of
    return signing.sns(told)


def pinned(ground: Ground) -> None:
    """Amazon's certificate is in a file: no test leaves this machine."""
    path = ground.folder / "sns.pem"
    path.write_bytes(signing.certificate())
    options = {"sns_topic_arn": signing.TOPIC, "sns_certificate_file": str(path)}
    ground.providers["amazon"] = ProviderTable("amazon", "ses", options)


def test_envelopes_and_lines_of_ours_do_what_they_say(host: Ground) -> None:
    pinned(host)
    host.enqueue(4, steps=(STEP, DRIP))
    host.pass_with(ACCEPTED)
    own = json.dumps(fact("clicked", token=token(host, 4))) + "\n"
    put(host, "hooks.jsonl", delivered(host, 1, "msg_1").line(), bounced(host, 2).line(), own,
        complained(host, 3).line())  # fmt: skip

    report = work(host)

    assert report.applied.by_type == {"bounced": 1, "clicked": 1, "complained": 1, "delivered": 1}
    assert (report.exit_code, report.files, report.bad) == (ExitCode.DONE, 1, 0)
    assert suppressed(host) == {address(2): "bounced", address(3): "complained"}
    assert host.one("SELECT status FROM messages WHERE id = :id", id=message(host, 2)) == "bounced"
    assert [status for status, _ in enrollments(host)] == ["active", "stopped", "stopped", "active"]


def test_the_services_own_id_is_learned_from_an_event_that_proves_an_acceptance(host: Ground) -> None:
    """A later event names nothing else: its complaint would be taken for somebody else's."""
    host.enqueue(1, campaign='providers = ["letters"]')
    host.pass_with(UNKNOWN)
    put(host, "a.jsonl", delivered(host, 1, "msg_1").line())
    assert work(host).applied.proven == 1
    known = test_resend.event("email.delivered")["data"]["email_id"]
    assert host.rows("SELECT outcome, provider_message_id FROM attempts") == [("accepted", known)]
    put(host, "b.jsonl", json.dumps(fact("complained", provider_message_id=known)) + "\n")
    assert work(host).applied.by_type == {"complained": 1}
    assert suppressed(host) == {address(1): "complained"}


@pytest.mark.parametrize(
    "more", [{"known_as": 7}, {"known_as": ""}, {"deeper": {"known_as": "x"}}, {"known_as": "x", "provider": "another"}]
)
def test_what_only_looks_like_an_id_is_kept_and_not_learned(host: Ground, more: dict[str, object]) -> None:
    host.enqueue(1)
    host.pass_with(UNKNOWN)
    put(host, "a.jsonl", json.dumps(fact("delivered", message_id=key(host), **more)) + "\n")
    assert work(host).applied.proven == 1
    assert host.rows("SELECT outcome, provider_message_id FROM attempts") == [("accepted", None)]


def test_copies_and_disorder_change_nothing(host: Ground) -> None:
    pinned(host)
    host.enqueue(3, steps=(STEP, DRIP))
    host.pass_with(ACCEPTED)
    lines = [delivered(host, 1, "msg_1").line(), bounced(host, 2).line(), complained(host, 3).line(),
             complained(host, 2).line()]  # fmt: skip
    backup, ends = host.backup(), set[str]()
    for place, order in enumerate(itertools.permutations(lines)):
        host.put_back(backup)
        for piece in (order, order[:2], order[::-1]):
            put(host, f"{place}.jsonl", *piece)
            work(host)
        events = [tuple(row) for row in host.rows("SELECT dedup_key, type FROM events ORDER BY 1")]
        ends.add(str((sorted(suppressed(host).items()), enrollments(host), host.states(), events)))
    assert len(ends) == 1
    assert suppressed(host) == {address(2): "complained", address(3): "complained"}


def test_an_event_with_our_key_settles_doubt(host: Ground) -> None:
    host.enqueue(2)
    host.pass_with(UNKNOWN)
    put(host, "hooks.jsonl", delivered(host, 1, "msg_1").line())

    report = reconcile.run(host.context)

    assert report.events.applied.proven == 1
    assert host.states() == {"sent": 1, "in_doubt": 1}
    assert host.one("SELECT evidence FROM attempts WHERE message_id = :id", id=message(host, 1)) == "event"


def test_forged_and_foreign_lines_go_aside_and_good_ones_count(host: Ground) -> None:
    host.enqueue(2)
    host.pass_with(ACCEPTED)
    good = delivered(host, 1, "msg_1")
    forged = replace(good, body=good.body.replace(b"delivered", b"complained"))
    lines = [good.line(), forged.line(), replace(good, provider="nobody").line(), '{"headers": {}, "provider": "x"}\n']
    put(host, "hooks.jsonl", *lines, bounced(host, 2).line())
    assert host.events.spool is not None

    report = work(host)

    assert (report.applied.fresh, report.bad, report.exit_code) == (2, 3, ExitCode.NEEDS_PERSON)
    bad = host.events.spool / "bad" / "hooks.jsonl"
    assert bad.read_text() == "".join(lines[1:])
    reasons = bad.with_name("hooks.jsonl.reason").read_text()
    assert [line[:7] for line in reasons.splitlines()] == ["line 2,", "line 3,", "line 4,"]
    for said in ("svix-signature is not that of webhook_secret", "[providers.nobody]", "key body: must be given"):
        assert said in reasons
    assert not [secret for secret in SECRETS.values() if secret in reasons]
    assert suppressed(host) == {address(2): "bounced"}


def test_a_file_named_by_hand_with_a_forged_line_is_refused_whole(host: Ground) -> None:
    host.enqueue(1)
    host.pass_with(ACCEPTED)
    good = delivered(host, 1, "msg_1")
    path = write(host.folder / "hooks.jsonl", good.line().rstrip(), good.having("Svix-Id", "msg_2").line().rstrip())
    with pytest.raises(BadInput, match=r"hooks\.jsonl:2:1: svix-signature is not that of webhook_secret"):
        run(host.context, path)
    assert host.one("SELECT count(*) FROM events") == 0


def test_a_section_without_its_secret_sets_the_line_aside_and_it_comes_back(host: Ground) -> None:
    host.enqueue(1)
    host.pass_with(ACCEPTED)
    table = host.providers["letters"]
    host.providers["letters"] = replace(table, options={})
    put(host, "hooks.jsonl", delivered(host, 1, "msg_1").line())
    assert host.events.spool is not None
    assert work(host).bad == 1
    bad = host.events.spool / "bad" / "hooks.jsonl"
    assert "set webhook_secret_env, webhook_secret_file" in bad.with_name("hooks.jsonl.reason").read_text()

    host.providers["letters"] = table
    bad.rename(host.events.spool / "again.jsonl")
    assert work(host).applied.by_type == {"delivered": 1}


def test_a_secret_that_is_not_at_hand_leaves_the_file_where_it_is(host: Ground) -> None:
    host.enqueue(2)
    host.pass_with(ACCEPTED)
    path = put(host, "a.jsonl", delivered(host, 1, "msg_1").line())
    other = put(host, "b.jsonl", bounced(host, 2).line())
    del host.context.environ["RESEND"]  # type: ignore[attr-defined]

    report = reconcile.run(host.context)

    assert path.exists()
    assert not other.exists()
    assert report.exit_code is ExitCode.NEEDS_PERSON
    [told] = report.events.unopened
    assert told.startswith(f"{path}: [providers.letters]: the environment variable $RESEND")
    with pytest.raises(BadConfig, match=r"\$RESEND"):
        run(host.context, path)
    host.context.environ |= {"RESEND": SECRETS["RESEND"]}  # type: ignore[operator]
    assert work(host).applied.by_type == {"delivered": 1}
    assert not path.exists()


def test_events_of_messages_that_others_send_are_passed_over(host: Ground) -> None:
    host.enqueue(1)
    host.pass_with(ACCEPTED)
    theirs = signing.resend(test_resend.event("email.delivered", tags={"app": "shop"}))
    forgotten = signing.resend(test_resend.event("email.opened", tags={"sendctl_key": "f" * 32}), ident="msg_9")
    put(host, "a.jsonl", theirs.line(), signing.twilio(test_twilio.callback("delivered")).line())
    put(host, "b.jsonl", forgotten.line(), hours=2)

    first = work(host)

    assert (first.foreign, first.waiting) == (0, 1)  # a number's outcome may not be known yet
    assert (first.unmatched, first.files) == (1, 1)  # what has our key is never somebody else's
    host.clock.forward(hours=2)
    again = work(host)
    assert (again.foreign, again.unmatched, again.files, again.exit_code) == (2, 0, 1, ExitCode.DONE)


def test_what_services_tell_besides_is_counted(host: Ground) -> None:
    pinned(host)
    asked = signing.sns("?", kind="SubscriptionConfirmation", Token="1", SubscribeURL="https://confirm.example/")
    put(host, "a.jsonl", asked.line(), signing.mailgun(test_mailgun.event("stored")).line())

    report = work(host)

    assert (report.ignored, report.files, report.exit_code) == (2, 1, ExitCode.NEEDS_PERSON)
    assert report.notices == [f"SNS asks to confirm the subscription to {signing.TOPIC}: open https://confirm.example/"]
    assert report.as_detail()["notices"] == report.notices


def test_several_events_of_one_envelope_that_match_nothing_set_its_line_aside_once(host: Ground) -> None:
    told = [{"sendctl": one * 32} for one in "ab"]
    events = [test_sendgrid.event("open", **one) for one in told]
    line = signing.sendgrid(events).line()
    put(host, "a.jsonl", line, hours=2)
    assert host.events.spool is not None

    assert work(host).unmatched == 2
    assert (host.events.spool / "bad" / "a.jsonl").read_text() == line
    kept = host.folder / "left.jsonl"
    run(host.context, write(host.folder / "b.jsonl", line.rstrip()), skip_bad=kept)
    assert len(kept.read_text().splitlines()) == 1


# -- an address, and no message -----------------------------------------------------------------------------------


def test_who_texts_stop_is_suppressed_and_their_last_campaign_ends(ground: Ground) -> None:
    both = with_texts(ground)
    both.providers |= {"twilio": ProviderTable("twilio", "twilio", {"auth_token_env": "TWILIO"})}
    both.context.environ = dict(SECRETS)
    both.enqueue(contacts=people(["ana", "bob"]), campaign='channel = "both"', steps=STEPS)
    both.pass_with(ACCEPTED)
    number = f"{NUMBER}000"
    stop = replace(signing.twilio(test_twilio.text("STOP", From=number)), provider="twilio")

    for fresh in (1, 0):
        report = run(both.context, write(both.folder / "stop.jsonl", stop.line().rstrip()))
        assert report.applied.fresh == fresh

    assert suppressed(both) == {number: "unsubscribed"}  # the number, not the e-mail address of its owner
    rows = both.rows("SELECT m.recipient, e.type, e.proves_sent FROM events e JOIN messages m ON m.id = e.message_id")
    assert [tuple(row) for row in rows] == [(number, "unsubscribed", 0)]
    assert sorted(enrollments(both)) == [("active", None), ("stopped", "unsubscribed")]
    assert both.violations() == []


def test_a_stop_ends_what_was_texted_last_and_no_later_letter(ground: Ground) -> None:
    both = with_texts(ground)
    both.enqueue(contacts=people(["ana"]), campaign='channel = "both"', steps=STEPS)
    both.pass_with(ACCEPTED)
    both.enqueue(name="letters", contacts=people(["ana"]), steps=(STEP, DRIP))
    clerk = both.clerk("letters")
    clerk.turn(both.done(clerk.turn([], 9), ACCEPTED), 0)

    ingest(both, fact("unsubscribed", phone=f"{NUMBER}000"))

    ended = both.rows("SELECT c.name, e.status FROM enrollments e JOIN campaigns c ON c.id = e.campaign_id ORDER BY 1")
    assert [tuple(row) for row in ended] == [("letters", "active"), ("sale", "stopped")]


def test_a_stop_in_doubt_proves_no_message(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(UNKNOWN)
    assert ingest(ground, fact("unsubscribed", email=address(1))).applied.proven == 0
    assert ground.states() == {"in_doubt": 1}


@pytest.mark.parametrize("kind", ["bounced", "complained", "unsubscribed"])
def test_an_address_that_was_never_written_to_is_suppressed_all_the_same(ground: Ground, kind: str) -> None:
    ground.enqueue(2)

    report = ingest(
        ground, fact(kind, email="nobody@x.example"), fact(kind, email=address(1)), fact(kind, email=address(1))
    )

    assert (report.applied.fresh, report.applied.known, report.unmatched) == (2, 1, 0)
    assert (report.applied.suppressed, report.applied.set_aside) == (2, 1)
    assert report.applied.by_type == {kind: 2}
    assert suppressed(ground) == {"nobody@x.example": kind, address(1): kind}
    assert ground.states() == {"suppressed": 1, "queued": 1}
    assert ground.violations() == []
    again = ingest(ground, fact(kind, email="nobody@x.example"), fact(kind, email=address(1)))
    assert (again.applied.fresh, again.applied.known) == (0, 2)


def test_the_strongest_reason_of_an_address_stays(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    for kinds in itertools.permutations(("bounced", "complained", "unsubscribed")):
        who = f"{kinds[0]}-{kinds[1]}@x.example"
        for kind in kinds:
            ingest(ground, fact(kind, email=who))
        assert suppressed(ground)[who] == "complained"
    ingest(ground, *(fact(kind, email="a@x.example") for kind in ("bounced", "complained", "unsubscribed")))
    assert suppressed(ground)["a@x.example"] == "complained"


def test_it_stands_beside_the_last_message_to_that_address(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    ground.clock.forward(minutes=90)  # after the moment of the first event
    ground.enqueue(1, name="other")
    clerk = ground.clerk("other")
    clerk.turn(ground.done(clerk.turn([], 9), ACCEPTED), 0)
    later = fact("unsubscribed", email=address(1), id="2") | {"occurred_at": "2026-03-02T11:00:00Z"}

    ingest(ground, later, fact("unsubscribed", email=address(1), id="1"))

    rows = ground.rows(
        "SELECT c.name, e.dedup_key FROM events e JOIN campaigns c ON c.id = e.campaign_id ORDER BY e.dedup_key"
    )
    assert [tuple(row) for row in rows] == [("sale", "id::1"), ("other", "id::2")]


def test_a_replay_does_not_suppress_again_whom_an_operator_has_taken_off(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    ingest(ground, fact("unsubscribed", email=address(1), id="1"))
    unsuppress(ground.context, Asked([address(1)]))

    report = ingest(ground, fact("unsubscribed", email=address(1), id="1"))

    assert (report.applied.fresh, report.applied.known) == (0, 1)
    assert suppressed(ground) == {}


def test_postmarks_own_list_suppresses_by_address(host: Ground) -> None:
    host.enqueue(1)
    told = test_postmark.change("ManualSuppression", MessageID=None, Recipient=address(1).upper(), Metadata={})
    put(host, "a.jsonl", signing.postmark(told).line())

    assert work(host).applied.set_aside == 1
    assert suppressed(host) == {address(1): "unsubscribed"}
