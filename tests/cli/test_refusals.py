"""What cannot be done is said in a clear word with its own exit code, also to cron, and nothing is changed by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sendctl.errors import ExitCode
from tests.cli.world import CAMPAIGN, Ran, World, contacts

HUGE = "9" * 30
ABROAD = CAMPAIGN.replace("[controls]", 'providers = ["abroad"]\n[controls]')


def without_stdin(world: World, *arguments: str) -> Ran:
    """Run a command whose standard input is closed."""
    ran = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "sendctl", *arguments], cwd=world.folder,
        env=world.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def test_command_without_standard_input_reads_the_file_that_was_named(world: World) -> None:
    world.run("migrate")
    world.write("spring.toml", CAMPAIGN)
    world.write("people.csv", contacts(3))
    for verb in ("preview", "enqueue"):
        assert without_stdin(world, verb, "spring.toml", "--contacts", "people.csv").code == 0
        refused = without_stdin(world, verb, "spring.toml", "--contacts", "-")
        assert refused.code == ExitCode.BAD_INPUT
        assert refused.err.startswith("sendctl: error: <stdin>: standard input is closed")


def test_campaign_that_no_provider_here_can_send_is_told_of_by_enqueue_and_each_pass(any_world: World) -> None:
    any_world.run("migrate")
    any_world.write("spring.toml", ABROAD)
    any_world.write("people.csv", contacts(3))
    planned = any_world.run("enqueue", "spring.toml", "--contacts", "people.csv", "-q")
    assert planned.code == 0
    assert "sendctl: warning: no provider of (abroad) is configured on this host" in planned.err
    assert "[providers.abroad]" in planned.err
    for _ in range(2):
        ran = any_world.run("send-due", "-q")
        assert ran.code == ExitCode.UNREACHABLE
        assert "sendctl: warning: campaign spring: no provider of (abroad) is configured on this host" in ran.err
    report = any_world.run("send-due", "--json").json
    assert (report["ended"], "no provider of (abroad)" in report["blocked"]) == ("blocked", True)


def test_unconfigured_provider_is_told_of_beside_one_that_is_known_to_be_away(world: World) -> None:
    world.ready(people=4)
    path = world.folder / "sendctl.toml"
    path.write_text(path.read_text().partition("type =")[0] + RELAY_AWAY)
    assert world.run("send-due", "-q").code == ExitCode.UNREACHABLE
    assert world.run("send-due", "-q").err == ""
    world.write("letter.toml", ABROAD.replace('"spring"', '"letter"'))
    assert world.run("enqueue", "letter.toml", "--contacts", "people.csv").code == 0
    ran = world.run("send-due", "-q")
    assert (ran.code, "no provider of (abroad) is configured" in ran.err) == (ExitCode.UNREACHABLE, True)


RELAY_AWAY = 'type = "smtp"\nhost = "127.0.0.1"\nport = 1\ntls = "none"\n'


def test_quiet_pass_that_fails_says_why_before_the_provider_is_left_alone(world: World) -> None:
    world.ready(people=1)
    path = world.folder / "sendctl.toml"
    path.write_text(path.read_text().partition("type =")[0] + RELAY_AWAY)
    ran = world.run("send-due", "-q", "--limit", "1")
    assert ran.code == ExitCode.UNREACHABLE
    assert "Connection refused" in ran.err


def test_missing_folder_of_the_store_is_one_problem_with_one_code(bare_world: World) -> None:
    bare_world.configure("sqlite:///nowhere/sendctl.db")
    for verb in (["send-due", "-q"], ["send-due"], ["status"], ["reconcile", "-q"], ["migrate"]):
        ran = bare_world.run(*verb)
        assert ran.code == ExitCode.UNREACHABLE, verb
        assert "the store's folder" in ran.err
        assert not (bare_world.folder / "nowhere").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["messages", "--after", HUGE],
        ["messages", "--limit", HUGE],
        ["send-due", "--limit", HUGE],
        ["show", HUGE],
        ["show", "9" * 5000],
        ["send-due", "--max-seconds", "nan"],
        ["send-due", "--max-seconds", "inf"],
        ["status", "--watch", "--every", "nan"],
    ],
)
def test_number_that_nothing_can_count_to_is_wrong_usage(any_world: World, arguments: list[str]) -> None:
    any_world.run("migrate")
    ran = any_world.run(*arguments)
    assert (ran.code, ran.out) == (ExitCode.USAGE, "")
    assert ran.err.startswith("sendctl: error: ")
    assert max(map(len, ran.err.splitlines())) < 200


def test_cancel_without_a_person_needs_a_yes(world: World) -> None:
    world.ready()
    for more in ([], ["--json"]):
        refused = world.run("cancel", "spring", *more)
        assert (refused.code, refused.out) == (ExitCode.USAGE, "")
        assert "--yes" in refused.err
    assert world.run("status", "--campaign", "spring", "--json").json["status"] == "running"
    assert world.run("cancel", "spring", "--yes", "--json").json["status"] == "cancelled"


def test_provider_that_is_left_alone_is_resumed_by_name(world: World) -> None:
    world.ready(people=4)
    path = world.folder / "sendctl.toml"
    before = path.read_text()
    path.write_text(before.partition("type =")[0] + RELAY_AWAY)
    assert world.run("send-due").code == ExitCode.UNREACHABLE
    path.write_text(before)
    assert world.run("send-due", "-q").code == ExitCode.UNREACHABLE
    resumed = world.run("resume", "--provider", "outbox", "--reason", "it is back")
    assert (resumed.code, resumed.out) == (0, "provider outbox: tried again with the next message\n")
    assert world.run("send-due", "-q") == Ran(0, "", "")
    assert world.mails() == 4
    again = world.run("resume", "--provider", "outbox", "--json").json
    assert (again["schema"], again["changed"], again["was_open_until"]) == ("sendctl.provider/1", False, None)
    assert world.run("status", "--json").json["audit"][0]["reason"] == "it is back"
    assert world.run("resume", "--provider", "nobody").code == ExitCode.USAGE
    assert world.run("resume", "spring", "--provider", "outbox").code == ExitCode.USAGE


def test_name_given_twice_is_one_name(world: World) -> None:
    world.ready()
    assert world.run("pause", "spring", "--campaign", "spring").code == 0
    assert world.run("resume", "spring", "--campaign", "autumn").code == ExitCode.USAGE


def test_check_of_an_unknown_campaign_is_unknown_to_monitoring(world: World) -> None:
    world.ready()
    ran = world.run("status", "--check", "--campaign", "nope")
    assert (ran.code, ran.out) == (3, "SENDCTL UNKNOWN - there is no campaign nope\n")


def test_part_that_a_message_does_not_have_is_said(bare_world: World) -> None:
    bare_world.write("spring.toml", CAMPAIGN.replace("html = ", "# html = "))
    ran = bare_world.run("preview", "spring.toml", "--part", "html")
    assert (ran.code, ran.out) == (0, "")
    assert "sendctl: note: step offer has no html part" in ran.err
    assert "has no" not in bare_world.run("preview", "spring.toml", "--part", "text").err


def test_init_has_its_result_as_data(bare_world: World) -> None:
    begun = bare_world.run("init", "--json").json
    assert begun["schema"] == "sendctl.init/1"
    assert begun["files"] == ["sendctl.toml", "campaign.toml", "contacts.csv"]
    assert all(Path(bare_world.folder, name).is_file() for name in begun["files"])
    assert begun["url"].startswith("sqlite:///")
