"""`init`, `migrate`, `enqueue`, `preview`, `send-due`, `reconcile`, `recover` and the live controls, as commands."""

from __future__ import annotations

import socket
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from sendctl.definition import Controls
from sendctl.errors import ExitCode, SendctlError
from sendctl.inputs.campaign_file import load_definition
from sendctl.passes.control import changed_controls
from tests.cli.world import CAMPAIGN, World


def test_init_gives_a_new_user_a_campaign_that_can_be_sent(bare_world: World) -> None:
    ran = bare_world.run("init")
    assert ran.code == 0, ran.err
    assert stat.S_IMODE((bare_world.folder / "sendctl.toml").stat().st_mode) == 0o600
    assert stat.S_IMODE((bare_world.folder / "sendctl.db").stat().st_mode) == 0o600
    assert bare_world.run("preview", "campaign.toml", "--contacts", "contacts.csv").code == 0
    assert bare_world.run("enqueue", "campaign.toml", "--contacts", "contacts.csv").code == 0
    assert bare_world.run("send-due").code == ExitCode.DISABLED
    assert bare_world.run("send-due", SENDCTL_SEND_ENABLED="true").code == 0
    assert bare_world.run("status", "--campaign", "hello", "--json").json["counts"]["sent"] == 4


def test_init_overwrites_nothing(bare_world: World) -> None:
    bare_world.write("contacts.csv", "mine\n")
    ran = bare_world.run("init")
    assert ran.code == ExitCode.USAGE
    assert "contacts.csv" in ran.err
    assert (bare_world.folder / "contacts.csv").read_text() == "mine\n"
    assert not (bare_world.folder / "sendctl.toml").exists()


def test_migrate_again_changes_nothing(any_world: World) -> None:
    assert any_world.run("migrate").out.startswith("created the store ")
    assert "is up to date" in any_world.run("migrate").out
    again = any_world.run("migrate", "--json").json
    assert again["before"] == again["after"]


def test_copied_store_sends_only_after_adoption(world: World) -> None:
    world.ready()
    world.execute("UPDATE store SET bound_to = 'old-machine:/old/store.db'")
    refused = world.run("send-due")
    assert refused.code == ExitCode.DISABLED
    assert "migrate --adopt" in refused.err
    assert world.mails() == 0
    adopted = world.run("migrate", "--adopt")
    assert adopted.code == 0
    assert "  before: old-machine:/old/store.db" in adopted.out
    assert "adopt" in [entry["action"] for entry in world.run("status", "--json").json["audit"]]
    assert world.run("send-due").code == 0
    assert world.mails() == 20


def test_enqueue_reports_rows_that_stand_twice_with_their_lines(world: World) -> None:
    world.run("migrate")
    world.write("spring.toml", CAMPAIGN)
    world.write("people.csv", "email,name\na@recipient.example,A\nb@recipient.example,B\nA@recipient.example,A\n")
    ran = world.run("enqueue", "spring.toml", "--contacts", "people.csv")
    assert ran.code == 0
    assert "campaign spring (new): 2 messages planned" in ran.out
    assert "line 4: a@recipient.example" in ran.out
    again = world.run("enqueue", "spring.toml", "--contacts", "people.csv", "--json").json
    assert (again["enrolled"], again["known"], again["schema"]) == (0, 2, "sendctl.enqueue/1")


def test_bad_row_is_named_and_nothing_is_written(world: World) -> None:
    world.run("migrate")
    world.write("spring.toml", CAMPAIGN)
    world.write("people.csv", "email,name\na@recipient.example,A\nnot an address,B\n")
    ran = world.run("enqueue", "spring.toml", "--contacts", "people.csv")
    assert ran.code == ExitCode.BAD_INPUT
    assert ran.err.startswith("sendctl: error: people.csv:3:1: ")
    assert world.run("status", "--json").json["campaigns"] == []
    kept = world.run("enqueue", "spring.toml", "--contacts", "-", "--skip-bad", "bad.csv",
                     stdin=(world.folder / "people.csv").read_text())  # fmt: skip
    assert kept.code == 0
    assert "bad, left out    1" in kept.out
    assert "not an address" in (world.folder / "bad.csv").read_text()


def test_enqueue_at_a_moment_and_dry(world: World) -> None:
    world.run("migrate")
    world.write("spring.toml", CAMPAIGN)
    world.write("people.csv", "email,name\na@recipient.example,A\n")
    dry = world.run("enqueue", "spring.toml", "--contacts", "people.csv", "--at", "+2h", "--dry-run")
    assert (dry.code, "nothing was written" in dry.out) == (0, True)
    assert world.run("status", "--json").json["campaigns"] == []
    assert world.run("enqueue", "spring.toml", "--contacts", "people.csv", "--at", "tomorrow").code == ExitCode.USAGE
    world.run("enqueue", "spring.toml", "--contacts", "people.csv", "--at", "+2h")
    assert world.run("send-due").out == "nothing is due\n"


def test_preview_needs_no_configuration(bare_world: World) -> None:
    bare_world.write("spring.toml", CAMPAIGN)
    bare_world.write("people.csv", "email,name\na@recipient.example,Ana\nb@recipient.example,Bo\n")
    ran = bare_world.run("preview", "spring.toml", "--contacts", "people.csv", "--row", "2")
    assert ran.code == 0
    assert "To: b@recipient.example" in ran.out
    assert "\nHello Bo, it is spring." in ran.out
    text = bare_world.run("preview", "spring.toml", "--contacts", "people.csv", "--to", "a@recipient.example",
                          "--part", "text")  # fmt: skip
    assert text.out == "Hello Ana, it is spring.\n"
    sample = bare_world.run("preview", "spring.toml", "--part", "text")
    assert sample.out == "Hello [name], it is spring.\n"
    assert "--contacts" in sample.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["preview", "none.toml"], ExitCode.BAD_INPUT),
        (["preview", "spring.toml", "--step", "nope"], ExitCode.USAGE),
        (["preview", "spring.toml", "--row", "2"], ExitCode.USAGE),
        (["preview", "spring.toml", "--contacts", "people.csv", "--row", "9"], ExitCode.USAGE),
        (["preview", "spring.toml", "--contacts", "nameless.csv"], ExitCode.BAD_INPUT),
    ],
)
def test_preview_of_what_is_not_there(bare_world: World, arguments: list[str], code: ExitCode) -> None:
    bare_world.write("spring.toml", CAMPAIGN)
    bare_world.write("people.csv", "email,name\na@recipient.example,Ana\n")
    bare_world.write("nameless.csv", "email,other\na@recipient.example,Ana\n")
    ran = bare_world.run(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("sendctl: error: ")


def test_send_due_is_silent_for_cron_and_speaks_otherwise(any_world: World) -> None:
    any_world.ready()
    assert any_world.run("send-due", "--dry-run").out == "spring: 20 messages due\n"
    first = any_world.run("send-due", "--limit", "5")
    assert (first.code, first.out.startswith("sent 5  in ")) == (0, True)
    assert any_world.run("send-due", "-q") == any_world.run("send-due", "-q", "--campaign", "spring")
    silent = any_world.run("send-due", "-q")
    assert (silent.code, silent.out, silent.err) == (0, "", "")
    assert any_world.mails() == 20
    report = any_world.run("send-due", "--json").json
    assert (report["schema"], report["run"], report["exit_code"]) == ("sendctl.send-due/1", None, 0)


def test_quiet_passes_speak_of_a_provider_when_it_is_left_alone_and_when_a_probe_fails(world: World) -> None:
    world.ready(people=4)
    path = world.folder / "sendctl.toml"
    relay = 'type = "smtp"\nhost = "127.0.0.1"\nport = 1\ntls = "none"\n'
    path.write_text(path.read_text().partition("type =")[0] + relay)
    found = world.run("send-due", "-q")
    assert (found.code, "provider outbox is left alone for a while" in found.err) == (ExitCode.UNREACHABLE, True)
    silent = world.run("send-due", "-q")
    assert (silent.code, silent.out, silent.err) == (ExitCode.UNREACHABLE, "", "")
    assert "no provider is usable now" in world.run("send-due").out
    world.execute("UPDATE provider_state SET retry_at = '2026-01-01 00:00:00.000000'")
    probed = world.run("send-due", "-q")
    assert (probed.code, "provider outbox is left alone for a while" in probed.err) == (ExitCode.UNREACHABLE, True)


def test_send_due_for_an_unknown_campaign_is_wrong_usage(world: World) -> None:
    world.ready()
    assert world.run("send-due", "--campaign", "other").code == ExitCode.USAGE


def test_quiet_pass_that_finds_a_dead_run_with_doubt_speaks(world: World) -> None:
    world.crash()
    ran = world.run("send-due", "-q")
    assert ran.code == ExitCode.NEEDS_PERSON
    assert "1 run had died: 2 recorded, " in ran.out
    assert "1 in doubt" in ran.out


def test_reconcile_says_what_it_put_right(any_world: World) -> None:
    any_world.ready()
    quiet = any_world.run("reconcile", "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    any_world.crash_again()
    report = any_world.run("reconcile", "--json").json
    assert report["schema"] == "sendctl.reconcile/1"
    assert (report["in_doubt"], report["violations"]) == (1, [])
    assert "1 message in doubt" in any_world.run("reconcile").out


def test_recover_shows_a_plan_and_changes_nothing_without_a_yes(world: World) -> None:
    world.crash()
    dry = world.run("recover", "--campaign", "spring", "--dry-run")
    assert dry.code == ExitCode.NEEDS_PERSON
    assert "Worst case: 0 people may get it twice, 1 person may never get it: held in doubt.\n" in dry.out
    assert max(map(len, dry.out.splitlines())) <= 80
    refused = world.run("recover", "--campaign", "spring")
    assert refused.code == ExitCode.USAGE
    assert "--yes" in refused.err
    assert world.run("status", "--campaign", "spring", "--json").json["counts"]["sending"] > 0


def test_recover_resends_only_the_number_that_was_agreed_to(any_world: World) -> None:
    any_world.crash()
    choice = ["recover", "--campaign", "spring", "--in-doubt", "resend", "--yes", "--reason", "customer asked"]
    wrong = any_world.run(*choice, "--expect", "2")
    assert wrong.code == ExitCode.USAGE
    assert any_world.run("status", "--campaign", "spring", "--json").json["counts"]["sending"] > 0
    right = any_world.run(*choice, "--expect", "1", "--json")
    assert right.code == 0, right.err
    assert right.json["worst_case_duplicates"] == 1
    assert right.json["applied"]["resent"] == 1
    status = any_world.run("status", "--campaign", "spring", "--json").json
    assert status["counts"]["in_doubt"] == 0
    assert status["audit"][0]["action"] == "recover"
    assert status["audit"][0]["reason"] == "customer asked"
    assert any_world.run("send-due").code == 0
    attempts = [row["attempts"] for row in any_world.run("messages", "--status", "sent", "--json").json]
    assert len(attempts) == 20
    assert attempts.count(2) >= 1


def test_recover_asks_a_person_for_the_number_of_duplicates(world: World) -> None:
    world.crash()
    choice = ["recover", "--campaign", "spring", "--in-doubt", "resend"]
    refused = world.typed(*choice, answers="because\n7\n")
    assert refused.code == ExitCode.STOPPED_EARLY
    assert "1 person may get it twice" in refused.err
    assert world.run("status", "--campaign", "spring", "--json").json["counts"]["sending"] > 0
    agreed = world.typed(*choice, answers="because\n1\n")
    assert agreed.code == 0
    assert "Done: " in agreed.out
    assert world.run("status", "--json").json["audit"][0]["reason"] == "because"


def test_recover_without_a_reason_leaves_what_was_asked_for_in_the_audit(world: World) -> None:
    world.crash()
    asked = ["--in-doubt", "resend", "--failed", "--expect", "1"]
    for more, said in ((asked, " ".join(asked)), ([], "what the campaign says")):
        assert world.run("recover", "--campaign", "spring", *more, "--yes").code == 0
        reason = world.run("status", "--json").json["audit"][0]["reason"]
        assert reason == f"no reason given; asked for: {said}"


def test_recover_of_an_unknown_campaign_is_wrong_usage(world: World) -> None:
    world.ready()
    assert world.run("recover", "--campaign", "other", "--yes").code == ExitCode.USAGE


def test_paused_campaign_sends_nothing_until_it_is_resumed(any_world: World) -> None:
    any_world.ready()
    paused = any_world.run("pause", "spring", "--reason", "wrong price")
    assert paused.out == "campaign spring: paused\nno message is in flight\n"
    assert "already paused" in any_world.run("pause", "--campaign", "spring").out
    assert any_world.run("send-due").out == "nothing is due\n"
    assert any_world.mails() == 0
    status = any_world.run("status", "--campaign", "spring", "--json").json
    assert (status["status"], status["overdue"]) == ("paused", 0)
    assert [entry["action"] for entry in status["audit"]] == ["pause", "enqueue"]
    assert any_world.run("resume", "spring", "--json").json["status"] == "running"
    assert any_world.run("send-due").code == 0
    assert any_world.mails() == 20
    assert any_world.run("pause", "spring").code == 0  # completed: a retry may be to come, and shall not
    assert any_world.run("cancel", "spring", "--yes").code == 0
    assert any_world.run("pause", "spring").code == ExitCode.USAGE


def test_pause_counts_what_is_in_flight(world: World) -> None:
    world.crash()
    ran = world.run("pause", "spring")
    assert ran.out.endswith(" messages are in flight and will finish within 60 s\n")


def test_cancelled_campaign_never_sends_again(any_world: World) -> None:
    any_world.ready()
    any_world.run("send-due", "--limit", "5")
    ran = any_world.run("cancel", "spring", "--yes")
    assert "15 queued messages cancelled" in ran.out
    assert any_world.run("cancel", "spring", "--yes").code == 0
    assert any_world.run("resume", "spring").code == ExitCode.USAGE
    any_world.run("send-due")
    assert any_world.mails() == 5
    counts = any_world.run("status", "--campaign", "spring", "--json").json["counts"]
    assert (counts["sent"], counts["cancelled"]) == (5, 15)


def test_cancel_asks_a_person(world: World) -> None:
    world.ready()
    kept = world.typed("cancel", "spring", answers="n\n")
    assert kept.code == ExitCode.STOPPED_EARLY
    assert "20 queued messages will never be sent. Cancel campaign spring for good?" in kept.err
    assert world.run("status", "--campaign", "spring", "--json").json["status"] == "running"
    assert world.typed("cancel", "other", answers="").code == ExitCode.USAGE
    assert world.typed("cancel", "spring", answers="y\n").code == 0
    assert world.run("status", "--campaign", "spring", "--json").json["status"] == "cancelled"


def test_cancel_with_yes_asks_nobody(world: World) -> None:
    world.ready()
    assert world.typed("cancel", "spring", "--yes", answers="\n").out.startswith("campaign spring: cancelled\n")


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "tune"])
def test_controls_of_an_unknown_campaign_are_wrong_usage(world: World, verb: str) -> None:
    world.ready()
    ran = world.run(verb, "other")
    assert (ran.code, "there is no campaign other" in ran.err) == (ExitCode.USAGE, True)


def test_tune_changes_what_the_next_window_reads(world: World) -> None:
    world.ready()
    ran = world.run("tune", "spring", "--rate", "3/h", "--batch-size", "2", "--reason", "provider complained")
    assert "rate          3/h   (was none)" in ran.out
    assert world.run("send-due").code == 0
    assert world.mails() < 20
    assert world.run("tune", "spring", "--rate", "none", "--json").json["controls"] == {
        "batch_size": 2, "rate": "none", "cooldown": "0s", "max_attempts": 3, "retry_base": "1m",
    }  # fmt: skip
    assert world.run("send-due").code == 0
    assert world.mails() == 20


CONTROL_FORMS = {
    "batch_size": ["1", "10000", "0", "10001"],
    "max_attempts": ["1", "20", "0", "21"],
    "cooldown": ["0s", "7d", "8d", "soon"],
    "retry_base": ["1s", "6h", "0s", "7h"],
    "rate": ["50/s", "20000/day", "0/s", "fast"],
}


@pytest.mark.parametrize(("key", "text"), [(key, text) for key, texts in CONTROL_FORMS.items() for text in texts])
def test_tune_takes_what_the_campaign_file_takes(tmp_path: Path, key: str, text: str) -> None:
    value = text if key in ("batch_size", "max_attempts") else f'"{text}"'
    path = tmp_path / "campaign.toml"
    path.write_text(CAMPAIGN.replace("batch_size = 7", f"{key} = {value}"))
    try:
        expected: Controls | None = load_definition(path).controls
    except SendctlError:
        expected = None
    try:
        tuned: Controls | None = changed_controls(Controls(), {key: text})
    except SendctlError:
        tuned = None
    assert tuned == expected


def test_a_lost_host_may_be_given_up_as_it_is_shown(world: World) -> None:
    world.ready()
    assert world.run("send-due", "--limit", "3").code == 0
    with closing(sqlite3.connect(world.folder / "sendctl.db")) as store, closing(sqlite3.connect(":memory:")) as backup:
        store.backup(backup)
        assert world.run("send-due", "--limit", "3").code == 0
        backup.backup(store)
    host_id = (world.folder / "sendctl-journal" / "host-id").read_text().strip()
    refused = world.run("recover", "--campaign", "spring", "--lost-host", f"nobody ({host_id}x)", "--yes")
    assert refused.code == 2
    assert f"there is no host {host_id}x to give up" in refused.err
    ran = world.run("recover", "--campaign", "spring", "--lost-host", f"{socket.gethostname()} ({host_id})", "--yes")
    assert ran.code == 0, ran.err


def test_a_resend_is_looked_at_agreed_to_and_said(world: World) -> None:
    world.ready(2)
    world.run("send-due")
    assert "say why, with --reason" in world.run("resend", "1").err
    alone = world.run("resend", "1", "--reason", "lost")
    assert (alone.code, alone.out.splitlines()[0]) == (
        2,
        f"message 1 to {_first(world)}: offer of campaign spring",
    )
    assert "nobody is here to agree" in alone.err
    assert world.run("resend", "1", "--reason", "lost", "--json").code == ExitCode.USAGE
    assert world.run("resend", "1", "--to", "a@b.example").err.startswith("sendctl: error: name a message, or")
    assert world.run("resend").code == ExitCode.USAGE
    planned = world.run("resend", "1", "--dry-run", "--json").json
    assert (planned["copy"], planned["sent_before"], planned["new_message"]) == (1, 1, None)
    assert world.typed("resend", "1", "--reason", "lost", answers="n\n").code == ExitCode.STOPPED_EARLY
    assert world.mails() == 2
    agreed = world.typed("resend", "1", "--reason", "lost", answers="y\n")
    assert agreed.code == 0, agreed
    assert "has had it 1 time. Send it once more?" in agreed.out + agreed.err
    again = world.run("resend", "1", "--reason", "lost", "--yes")
    assert (again.code, "is queued already" in again.err) == (ExitCode.USAGE, True)
    world.run("send-due")
    assert world.mails() == 3
    told = world.run("status", "--campaign", "spring", "--json").json
    assert (told["resent"], told["planned"], told["counts"]["sent"]) == (1, 3, 3)
    assert "resent     1 message of these, by operators" in world.run("status", "--campaign", "spring").out
    row = world.run("messages", "--json").json[-1]
    assert (row["copy"], row["occurrence"]) == (1, 0)
    assert " (copy 1)  sent" in world.run("messages").out
    shown = world.run("show", str(row["id"]), "--json").json
    assert shown["enrollments"][0]["why"] == "every step is over"


def _first(world: World) -> str:
    return str(world.run("messages", "--limit", "1", "--json").json[0]["to"])
