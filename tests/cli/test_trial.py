"""`test-send` as a command: what it prints, its exit codes, and what it says when it is killed or told to stop."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.world import World
from tests.crash.world import wait_for
from tests.http_double import API_KEY, start_http_double
from tests.smtp_double import start_smtp_double

ME = "me@shop.example"
SERVICE = '[providers.api]\ntype = "resend"\napi_key_env = "KEY"\nbase_url = "{}"\n'


def test_one_message_is_sent_and_told(any_world: World) -> None:
    any_world.ready(3)
    ran = any_world.run("test-send", "spring", "--to", ME, "--contact", "person2@recipient.example")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[:3] == [
        "test of campaign spring, step offer: accepted",
        f"  to            {ME}",
        "  through       outbox",
    ]
    assert lines[3].startswith("  message id    <test-")
    (mail,) = (any_world.folder / "Maildir" / "new").iterdir()
    assert "Subject: [test] Hello Person 2" in mail.read_text()
    status = any_world.run("status", "--campaign", "spring", "--json").json
    assert (status["counts"]["queued"], status["counts"]["sent"], status["planned"]) == (3, 0, 3)
    assert status["audit"][0]["action"] == "test-send"
    assert any_world.run("messages", "--to", ME, "--json").json == []
    assert any_world.run("-q", "test-send", "spring", "--to", ME, "--contact", "person2@recipient.example").out == ""


def test_a_file_is_tried_with_names_for_values_and_that_is_said(world: World) -> None:
    world.ready(1)
    ran = world.run("test-send", "spring.toml", "--to", ME, "--json")
    assert (ran.code, ran.err) == (0, "")
    document = ran.json
    assert (document["schema"], document["outcome"], document["sample"]) == ("sendctl.test-send/1", "accepted", True)
    assert (document["sms"], document["exit_code"], document["phase"]) == (None, 0, "replied")
    assert "names in brackets stood for values" in world.run("test-send", "spring.toml", "--to", ME).err


def test_refusals_have_their_codes(world: World) -> None:
    world.ready(1)
    assert world.run("suppress", "gone@shop.example", "--reason", "left").code == 0
    for arguments, code, problem in (
        (["spring", "--to", "gone@shop.example"], 2, "must not be contacted: left"),
        (["none", "--to", ME], 2, "there is no campaign none"),
        (["none.toml", "--to", ME], 65, "none.toml"),
        (["spring"], 2, "missing option '--to'"),
    ):
        ran = world.run("test-send", *arguments)
        assert (ran.code, ran.out) == (code, ""), arguments
        assert problem in ran.err
    ran = world.run("test-send", "spring", "--to", ME, SENDCTL_SEND_ENABLED="false")
    assert ran.code == 5
    assert "SENDCTL_SEND_ENABLED=true sendctl test-send" in ran.err
    assert world.mails() == 0


def test_a_provider_that_is_left_alone_is_named(world: World) -> None:
    world.ready(1)
    world.execute(
        "INSERT INTO provider_state VALUES ('outbox', 'open', 1, 1, '2999-01-01 00:00:00.000000', 'no room',"
        " '2026-01-01 00:00:00.000000')"
    )
    ran = world.run("test-send", "spring", "--to", ME)
    assert (ran.code, "passes leave provider outbox alone for now: no room" in ran.err) == (0, True)


def test_a_test_that_is_stopped_after_the_last_byte_says_that_it_is_unknown(world: World, tmp_path: Path) -> None:
    world.ready(1)
    with start_http_double(tmp_path, "resend", script=[{"at": "body", "do": "silence"}]) as double:
        world.configure(more=SERVICE.format(double.url))
        process = _started(world, "--provider", "api")
        wait_for(double.heard)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (3, "")
    assert out.startswith("test of campaign spring, step offer: unknown\n")
    assert "got as far as dotted" in out
    assert "it may have been accepted" in " ".join(out.split())


def test_a_test_that_is_stopped_before_the_last_byte_was_not_sent(world: World, tmp_path: Path) -> None:
    world.ready(1)
    with start_smtp_double(tmp_path, transcript=True, script=[{"at": "rcpt", "do": "silence"}]) as double:
        world.configure(
            more=f'[providers.relay]\ntype = "smtp"\nhost = "127.0.0.1"\nport = {double.port}\ntls = "none"\n'
        )
        process = _started(world, "--provider", "relay")
        wait_for(lambda: any(line.startswith("RCPT") for line in double.heard()))
        process.send_signal(signal.SIGTERM)  # who runs the tests may have them ignore SIGINT
        out, _ = process.communicate(timeout=60)
        assert double.accepted() == []
    assert process.returncode == 75
    assert out.startswith("test of campaign spring, step offer: not sent\n")


def test_a_test_that_is_killed_leaves_the_ledger_as_it_was(world: World) -> None:
    world.ready(3)
    for point in ("provider.before_dot", "provider.replied"):
        assert world.run("test-send", "spring", "--to", ME, SENDCTL_FAILPOINT=f"{point}:kill:1").code == -9
    assert world.run("send-due").code == 0
    assert world.run("reconcile").code == 0
    counts = world.run("status", "--campaign", "spring", "--json").json["counts"]
    assert (counts["sent"], counts["in_doubt"]) == (3, 0)


def _started(world: World, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sendctl", "test-send", "spring", "--to", ME, "--contact", "person1@recipient.example",
         *arguments],
        cwd=world.folder, env=world.environment | {"KEY": API_KEY}, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
