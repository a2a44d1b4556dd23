"""`ingest` as a command, and events in `show`, `messages`, `status` and `reconcile`: for people, programs and cron."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sendctl.errors import ExitCode
from tests.cli.world import World

FIRST, SECOND = "person1@recipient.example", "person2@recipient.example"


def line(kind: str, **keys: Any) -> str:
    return json.dumps({"type": kind, "occurred_at": "2026-11-23T09:00:00Z"} | keys) + "\n"


def sent(world: World) -> None:
    """Twenty people, ten of whom have got it."""
    world.ready()
    assert world.run("send-due", "--limit", "10").code == 0


def test_events_are_told_of_and_the_same_again_is_known(any_world: World) -> None:
    sent(any_world)
    gone = line("unsubscribed", campaign="spring", email="person15@recipient.example")
    any_world.write("events.jsonl", line("bounced", message_id=1) + gone)
    ran = any_world.run("ingest", "events.jsonl")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "2 new events: bounced 1, unsubscribed 1\n1 message bounced\n1 enrollment stopped\n1 queued message cancelled\n"
        "2 addresses suppressed\n"
    )
    again = any_world.run("ingest", "events.jsonl")
    assert (again.code, again.out) == (0, "0 new events\n2 events known before: nothing changed\n")
    quiet = any_world.run("ingest", "-q", "events.jsonl")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    counts = any_world.run("status", "--campaign", "spring", "--json").json["counts"]
    assert (counts["sent"], counts["bounced"], counts["cancelled"], counts["queued"]) == (9, 1, 1, 9)


def test_events_stand_where_an_operator_looks(any_world: World) -> None:
    sent(any_world)
    any_world.run("ingest", "-", stdin=line("delivered", message_id=1) + line("clicked", message_id=1, link="/offer")
                  + line("opened", message_id=2) + line("submitted", campaign="spring", email=FIRST))  # fmt: skip
    told = any_world.run("show", "1").out
    assert "event: delivered\n" in told
    assert 'event: clicked\n                        {"link":"/offer"}' in told
    rows = any_world.run("messages", "--json").json
    assert [row["progress"] for row in rows[:3]] == ["submitted", "opened", None]
    assert [row["id"] for row in any_world.run("messages", "--event", "clicked", "--json").json] == [1]
    chosen = any_world.run("messages", "--event", "opened", "--campaign", "spring", "--json").json
    assert [row["id"] for row in chosen] == [2]
    table = any_world.run("messages", "--campaign", "spring").out.splitlines()
    assert ["sent, submitted" in table[1], "sent, opened" in table[2], "sent  " in table[3]] == [True, True, True]
    assert max(map(len, table)) <= 80
    events = any_world.run("status", "--campaign", "spring", "--json").json["events"]
    assert {kind: number for kind, number in events.items() if number} == {
        "delivered": 1, "clicked": 1, "opened": 1, "submitted": 1,
    }  # fmt: skip
    assert len(events) == 11
    assert any_world.run("status", "--json").json["campaigns"][0]["events"] == events
    assert (
        "events     delivered 1, opened 1, clicked 1, submitted 1\n"
        in any_world.run("status", "--campaign", "spring").out
    )
    header = any_world.run("messages", "--csv").out.splitlines()[0]
    assert ",last_error,progress," in header


def test_an_event_of_somebody_who_got_nothing_yet_is_on_their_timeline(any_world: World) -> None:
    any_world.ready()
    any_world.run("ingest", "-", stdin=line("unsubscribed", campaign="spring", email=FIRST))
    told = any_world.run("show", FIRST).out
    assert "event: unsubscribed\n" in told
    assert "not sent: its step was removed, or its campaign or enrollment has ended" in told
    assert "): unsubscribed\n" in told
    assert "event: " not in any_world.run("show", SECOND).out


def test_a_bad_line_is_named_and_nothing_is_written(world: World) -> None:
    sent(world)
    world.write("events.jsonl", line("bounced", message_id=1) + line("bounce", message_id=2))
    ran = world.run("ingest", "events.jsonl")
    assert (ran.code, ran.out) == (ExitCode.BAD_INPUT, "")
    assert ran.err.startswith(
        "sendctl: error: events.jsonl:2:type: 'bounce' is no type of event; did you mean bounced?"
    )
    assert "hint: correct the line, or go on without the bad ones: --skip-bad FILE" in ran.err
    assert "bounced 0" in world.run("status", "--campaign", "spring").out


def test_what_matches_nothing_is_listed_with_its_place(world: World) -> None:
    sent(world)
    text = line("opened", message_id=1) + line("opened", token="nobodys") + line("opened", message_id=99)
    ran = world.run("ingest", "-", "--skip-bad", "left.jsonl", stdin=text + "no event\n")
    assert ran.code == ExitCode.NEEDS_PERSON
    assert ran.out == "1 new event: opened 1\n"
    assert ran.err.splitlines() == [
        "sendctl: warning: <stdin>:2: token nobodys is nothing that this store knows",
        "sendctl: warning: <stdin>:3: message_id 99 is nothing that this store knows",
        "sendctl: warning: 3 lines left out, kept in left.jsonl",
    ]
    document = world.run("ingest", "left.jsonl", "--json", "--skip-bad", "again.jsonl").json
    assert document["schema"] == "sendctl.ingest/1"
    assert (document["events"], document["unmatched"], document["bad"], document["exit_code"]) == (0, 2, 1, 3)


def test_the_spool_is_worked_off_by_reconcile_and_by_hand(world: World) -> None:
    sent(world)
    spool = world.folder / "spool"
    spool.mkdir()
    (spool / "a.jsonl").write_text(line("opened", message_id=1) + line("opened", message_id=99))
    ran = world.run("reconcile", SENDCTL_EVENTS_SPOOL="spool")
    assert ran.code == 0
    assert ran.out == "1 new event: opened 1\n1 event about nothing known yet, left in the spool\n"
    ran = world.run("ingest", "spool", SENDCTL_EVENTS_WAIT_S="0")
    assert ran.code == ExitCode.NEEDS_PERSON
    assert ran.out == "0 new events\n1 event known before: nothing changed\n1 file done with\n"
    assert (
        ran.err.splitlines()[-1] == "sendctl: warning: not used: spool/bad/a.jsonl, and why: spool/bad/a.jsonl.reason"
    )
    assert sorted(path.name for path in spool.iterdir()) == ["bad", "done"]
    document = world.run("reconcile", "--json", SENDCTL_EVENTS_SPOOL="gone").json
    assert document["ingested"]["files"] == 0
    assert document["spool_trouble"].endswith("gone cannot be used: no such file or directory")
    assert document["exit_code"] == ExitCode.NEEDS_PERSON


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["ingest"], ExitCode.USAGE, "missing argument 'FILE|DIR|-'"),
        (["ingest", "none.jsonl"], ExitCode.BAD_INPUT, "none.jsonl: cannot read: no such file or directory"),
        (["ingest", "-", "--skip-bad", "-"], ExitCode.USAGE, "--skip-bad -: bad lines go to a file"),
        (["ingest", ".", "--skip-bad", "x"], ExitCode.USAGE, "--skip-bad is about one file"),
        (["ingest", "sendctl.toml", "--skip-bad", "sendctl.toml"], ExitCode.USAGE, "is the file of events itself"),
        (["messages", "--event", "seen"], ExitCode.USAGE, "invalid value for '--event'"),
    ],
)
def test_wrong_usage_is_refused_and_moves_nothing(
    world: World, arguments: list[str], code: int, problem: str
) -> None:  # fmt: skip
    world.ready()
    before = sorted(path.name for path in world.folder.iterdir())
    ran = world.run(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert problem in ran.err
    assert {path.name for path in world.folder.iterdir()} <= {*before, ".stdin", ".stdout", ".stderr"}


def test_envelopes_are_checked_with_what_the_section_names(any_world: World) -> None:
    sent(any_world)
    key = any_world.run("messages", "--json").json[0]["message_id"].strip("<>").partition("@")[0]
    body = json.dumps({"type": "email.delivered", "created_at": "2026-11-23T09:00:05Z",
                       "data": {"email_id": "e1", "tags": {"sendctl_key": key}}})  # fmt: skip
    digest = hmac.digest(b"secret", f"msg_1.1795424400.{body}".encode(), "sha256")
    headers = {"svix-id": "msg_1", "svix-timestamp": "1795424400",
               "svix-signature": f"v1,{base64.b64encode(digest).decode()}"}  # fmt: skip
    envelope = {"provider": "letters", "received_at": "2026-11-23T09:00:01Z", "headers": headers, "body": body}
    section = {"SENDCTL_PROVIDERS_LETTERS_TYPE": "resend", "SENDCTL_PROVIDERS_LETTERS_API_KEY": "re_1"}
    secret = {"SENDCTL_PROVIDERS_LETTERS_WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"secret").decode()}
    any_world.write("hooks.jsonl", json.dumps(envelope) + "\n")

    ran = any_world.run("ingest", "hooks.jsonl", **section)
    assert ran.code == ExitCode.BAD_INPUT
    assert "hooks.jsonl:1:1: nothing unsigned is read: set webhook_secret_env" in ran.err
    ran = any_world.run("ingest", "hooks.jsonl", **section, **secret)
    assert (ran.code, ran.out, ran.err) == (0, "1 new event: delivered 1\n", "")
    any_world.write("forged.jsonl", json.dumps(envelope | {"body": body.replace("delivered", "bounced")}) + "\n")
    ran = any_world.run("ingest", "forged.jsonl", **section, **secret)
    assert (ran.code, ran.out) == (ExitCode.BAD_INPUT, "")
    assert "forged.jsonl:1:1: svix-signature is not that of webhook_secret" in ran.err
    any_world.write("theirs.jsonl", json.dumps(signed(body.replace(key, "x"), headers, envelope)) + "\n")
    ran = any_world.run("ingest", "theirs.jsonl", **section, **secret)
    assert (ran.code, ran.out) == (
        0, "0 new events\n1 event about messages of others in the same accounts, passed over\n",
    )  # fmt: skip


def test_what_nobody_can_check_now_is_told_and_stays_in_the_spool(world: World) -> None:
    sent(world)
    spool = world.folder / "spool"
    spool.mkdir()
    headers = {"svix-id": "m", "svix-timestamp": "1795424400", "svix-signature": "v1,eA=="}
    envelope = {"provider": "letters", "received_at": "2026-11-23T09:00:01Z", "headers": headers, "body": "{}"}
    (spool / "a.jsonl").write_text(json.dumps(envelope) + "\n")
    section = {
        "SENDCTL_PROVIDERS_LETTERS_TYPE": "resend", "SENDCTL_PROVIDERS_LETTERS_API_KEY": "re_1",
        "SENDCTL_PROVIDERS_LETTERS_WEBHOOK_SECRET_FILE": "secret.txt", "SENDCTL_EVENTS_SPOOL": "spool",
    }  # fmt: skip

    ran = world.run("reconcile", **section)
    assert ran.code == ExitCode.NEEDS_PERSON
    assert "left in the spool, as nobody can tell now whether it is genuine: " in ran.err
    assert "a.jsonl: [providers.letters]: cannot read " in ran.err
    assert [path.name for path in spool.iterdir()] == ["a.jsonl"]
    assert world.run("send-due", **section).code == 0  # which needs no secret of a webhook
    for unusable in ("whsec_Grüße", "whsec_", "whsec_a-b"):
        world.write("secret.txt", unusable)
        ran = world.run("reconcile", **section)
        assert (ran.code, [path.name for path in spool.iterdir()]) == (ExitCode.NEEDS_PERSON, ["a.jsonl"])
        assert "Traceback" not in ran.err
    world.write("secret.txt", "whsec_eA==")
    ran = world.run("reconcile", **section)
    assert "not used: " in ran.err
    assert "svix-signature is not that of webhook_secret" in (spool / "bad" / "a.jsonl.reason").read_text()
    assert not [line for line in (ran.out + ran.err).splitlines() if "whsec_eA" in line]


def test_a_public_key_that_is_none_keeps_no_doubt_from_being_settled(world: World) -> None:
    world.crash()
    spool = world.folder / "spool"
    spool.mkdir()
    names = ("x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp")
    envelope = {
        "provider": "letters", "received_at": "2026-11-23T09:00:01Z", "body": "[]",
        "headers": dict.fromkeys(names, "1"),
    }  # fmt: skip
    (spool / "a.jsonl").write_text(json.dumps(envelope) + "\n")
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    shown = curve.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    unknown = shown.replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030106"))  # prime239v3
    section = {
        "SENDCTL_PROVIDERS_LETTERS_TYPE": "sendgrid", "SENDCTL_PROVIDERS_LETTERS_API_KEY": "SG.1",
        "SENDCTL_PROVIDERS_LETTERS_WEBHOOK_PUBLIC_KEY": base64.b64encode(unknown).decode(),
        "SENDCTL_EVENTS_SPOOL": "spool",
    }  # fmt: skip
    ran = world.run("reconcile", **section)
    assert ran.code == ExitCode.NEEDS_PERSON
    assert "is no verification key as SendGrid shows it" in ran.err
    assert [path.name for path in spool.iterdir()] == ["a.jsonl"]
    assert world.run("status", "--campaign", "spring", "--json").json["counts"]["sending"] == 0


def signed(body: str, headers: dict[str, str], envelope: dict[str, Any]) -> dict[str, Any]:
    """The envelope with another body, and its signature."""
    digest = hmac.digest(b"secret", f"msg_1.1795424400.{body}".encode(), "sha256")
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return envelope | {"body": body, "headers": headers | {"svix-signature": signature}}
