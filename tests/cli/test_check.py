"""`check` as a command: one screen for people, one document for programs, silence for cron, and its exit codes."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.cli.world import World
from tests.http_double import API_KEY, start_http_double

SERVICE = '[providers.api]\ntype = "resend"\napi_key_env = "KEY"\nbase_url = "{}"\n'


def test_a_host_that_is_well_is_told_so_in_80_columns(any_world: World) -> None:
    any_world.ready(2)
    ran = any_world.run("check")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"this host\n  settings    ok           {any_world.folder}/sendctl.toml\n")
    assert f"outbox (maildir)\n  maildir     ok           {any_world.folder}/Maildir," in ran.out
    assert ran.out.endswith("nothing failed\n")
    lines = [line for line in ran.out.splitlines() if "/" not in line]
    assert max(map(len, lines)) <= 80
    assert any_world.run("-q", "check").out == ""
    assert any_world.run("check", "outbox").code == 0


def test_what_failed_is_said_with_what_to_do_and_is_all_that_cron_hears_of(world: World, tmp_path: Path) -> None:
    world.ready(2)
    with start_http_double(tmp_path, "resend") as double:
        world.configure(more=SERVICE.format(double.url))
        world.write("pending.toml", CAMPAIGN.format("pending.example"))
        ran = world.run("-q", "check", "--campaign", "pending.toml", KEY=API_KEY)
        assert ran.code == 78
        assert ran.out == (
            "api (resend)\n"
            "  sender news@pending.example\n"
            "              failed       pending.example is not verified: pending\n"
            "              to do        add and verify the domain: resend.com/domains.\n"
        )
        world.write("good.toml", CAMPAIGN.format("shop.example"))
        assert world.run("check", "--campaign", "good.toml", KEY=API_KEY).code == 0
        ran = world.run("check", "--campaign", "good.toml", KEY="wrong")
    assert ran.code == 78
    assert "wrong" not in ran.out, "a key is never shown"


CAMPAIGN = """\
[campaign]
name = "new"
purpose = "transactional"
from = "Shop <news@{}>"
providers = ["api"]
[[steps]]
name = "offer"
subject = "Hello"
text = "Hello"
"""


def test_programs_get_a_document(world: World) -> None:
    world.ready(1)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        world.configure(more=SERVICE.format(f"http://127.0.0.1:{held.getsockname()[1]}"))
        ran = world.run("check", "api", "--json", KEY=API_KEY)
    assert ran.code == 69
    assert (ran.json["schema"], ran.json["failed"], ran.json["exit_code"]) == ("sendctl.check/1", 1, 69)
    last = ran.json["checks"][-1]
    assert (last["provider"], last["type"], last["what"], last["standing"]) == ("api", "resend", "service", "failed")
    assert last["to_do"].startswith("does this machine reach the service?")
    assert {one["standing"] for one in ran.json["checks"]} == {"ok", "failed"}


def test_what_cannot_be_told_is_one_word_for_programs(world: World) -> None:
    assert world.run("migrate").code == 0
    found = {one["what"]: one["standing"] for one in world.run("check", "--json").json["checks"]}
    assert found["senders"] == "cannot_tell"
    assert "senders     cannot tell  no running or paused campaign names one\n" in world.run("check").out


def test_a_host_without_a_store_hears_of_the_rest(world: World) -> None:
    ran = world.run("check")
    assert ran.code == 78
    assert "store       failed" in ran.out
    assert "maildir     ok" in ran.out
    assert not (world.folder / "sendctl.db").exists()


def test_wrong_names_and_files_are_refused(world: World) -> None:
    world.ready(1)
    for arguments, code, problem in (
        (["nobody"], 2, "there is no provider nobody on this host"),
        (["--campaign", "nobody"], 2, "there is no campaign nobody"),
        (["--campaign", "nobody.toml"], 65, "nobody.toml"),
    ):
        ran = world.run("check", *arguments)
        assert (ran.code, ran.out) == (code, "")
        assert problem in ran.err
