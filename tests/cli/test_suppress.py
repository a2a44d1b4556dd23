"""`suppress` as a command: what it says to people, programs and cron, and what it refuses."""

from __future__ import annotations

import pytest

from sendctl.errors import ExitCode
from tests.cli.world import World

FIRST, SECOND = "person1@recipient.example", "person2@recipient.example"


def test_a_suppressed_person_gets_nothing_and_everybody_else_does(any_world: World) -> None:
    any_world.ready()
    ran = any_world.run("suppress", FIRST.upper(), "--reason", "asked by phone")
    assert ran.out == "1 address suppressed\n1 queued message set aside for good\nno message is in flight\n"
    assert any_world.run("send-due").code == 0
    assert any_world.mails() == 19
    counts = any_world.run("status", "--campaign", "spring", "--json").json["counts"]
    assert (counts["sent"], counts["suppressed"]) == (19, 1)
    told = any_world.run("show", FIRST).out
    assert "not sent: the address must not be contacted" in told
    assert "): asked by phone\n" in told
    last = any_world.run("status", "--json").json["audit"][0]
    assert (last["action"], last["reason"]) == ("suppress", "asked by phone")


def test_what_is_in_flight_is_said(world: World) -> None:
    world.crash()
    (row, *_) = world.run("messages", "--status", "sending", "--json").json
    ran = world.run("suppress", row["to"])
    assert ran.out.endswith("1 message is in flight and will finish within 60 s\n")


def test_an_address_on_the_list_that_nobody_has_is_said_to_be_there(world: World) -> None:
    world.ready()
    world.run("suppress", "stranger@recipient.example", "--reason", "asked by phone")
    ran = world.run("show", "stranger@recipient.example")
    assert ran.code == 2
    assert "nobody has the address stranger@recipient.example" in ran.err
    assert "suppressed since 20" in ran.err
    assert 'for "asked by phone"' in ran.err
    assert "`sendctl suppress --remove stranger@recipient.example`" in ran.err


def test_the_same_again_says_that_nothing_was_new(world: World) -> None:
    world.ready()
    world.run("suppress", FIRST)
    ran = world.run("suppress", FIRST, SECOND)
    assert ran.out.startswith("1 address suppressed\n1 address on the list already\n1 queued message ")
    quiet = world.run("suppress", "-q", FIRST)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert world.run("suppress", FIRST, "--json").json == {
        "schema": "sendctl.suppress/1", "action": "suppress", "addresses": 1, "changed": 0, "messages": 0,
        "in_flight": 0, "deadline_s": 60.0,
    }  # fmt: skip


def test_a_file_and_standard_input_are_taken_whole_or_not_at_all(world: World) -> None:
    world.ready()
    world.write("gone.txt", f"{FIRST}\n\n{SECOND}\nno address\n")
    refused = world.run("suppress", "--file", "gone.txt")
    assert (refused.code, refused.out) == (ExitCode.BAD_INPUT, "")
    assert refused.err.startswith("sendctl: error: gone.txt:4: neither an e-mail address")
    assert "\n  hint: one address on a line and nothing else" in refused.err
    assert world.run("suppress", "--list").out == ""
    piped = world.run("suppress", "--file", "-", stdin=f"{FIRST}\n{SECOND}\n")
    assert piped.out.startswith("2 addresses suppressed\n2 queued messages set aside for good\n")
    assert world.run("suppress", "--file", "-", stdin="1 bad").err.startswith("sendctl: error: <stdin>:1: ")


def test_the_list_is_printed_for_people_and_programs(any_world: World) -> None:
    any_world.ready()
    any_world.run("suppress", SECOND, "+49 30 123456", "--reason", "tab\tand \x1b[31m")
    any_world.run("suppress", FIRST)
    lines = any_world.run("suppress", "--list").out.splitlines()
    assert [line.split()[0] for line in sorted(lines)] == ["+4930123456", FIRST, SECOND]
    assert next(line for line in lines if SECOND in line).endswith("Z  tab\\tand \\x1b[31m")
    rows = any_world.run("suppress", "--list", "--json").json
    assert {row["address"]: row["reason"] for row in rows}[FIRST] == ""
    assert set(rows[0]) == {"schema", "address", "reason", "created_at"}
    assert {row["schema"] for row in rows} == {"sendctl.suppression/1"}


def test_who_is_taken_off_the_list_is_told_of_what_stays(world: World) -> None:
    world.ready()
    world.run("suppress", FIRST)
    ran = world.run("suppress", "--remove", FIRST, SECOND)
    assert ran.out == (
        "1 address taken off the list\n1 address not on the list\n"
        "what was set aside stays so; what is planned from now on reaches them\n"
    )
    assert world.run("suppress", "--list", "--json").json == []
    assert world.run("suppress", "--remove", FIRST, "--json").json["changed"] == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["suppress"], "name an address, or a --file of them"),
        (["suppress", "--remove"], "name an address, or a --file of them"),
        (["suppress", "--list", FIRST], "--list prints the whole list, and takes nothing else"),
        (["suppress", "--list", "--remove"], "--list prints the whole list"),
        (["suppress", "--list", "--file", "x"], "--list prints the whole list"),
        (["suppress", FIRST, "person"], "person is no address: neither an e-mail address"),
        (["suppress", "030 123"], "030 123 is no address: the number must start with +"),
    ],
)
def test_wrong_usage_changes_nothing(world: World, arguments: list[str], problem: str) -> None:
    world.ready()
    ran = world.run(*arguments)
    assert (ran.code, ran.out) == (ExitCode.USAGE, "")
    assert ran.err.startswith(f"sendctl: error: {problem}")
    assert world.run("suppress", "--list").out == ""
