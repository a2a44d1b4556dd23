"""`enqueue --letter`, `reschedule`, `cancel` and `rotate-key` as commands: what they print, and their exit codes."""

from __future__ import annotations

from pathlib import Path

from sendctl.errors import ExitCode
from tests.cli.world import World

LETTER = """\
[letter]
name = "note"
to = "ann@r.example"
timezone = "Europe/Berlin"
from = "me@shop.example"
notify = "me@shop.example"
encrypt = true
subject = "Hello"
text = "the code is xyzzy"
"""


def test_a_letter_is_planned_moved_shown_and_too_late_to_cancel(world: World) -> None:
    world.write("one.key", "1" * 64)
    world.write("two.key", "2" * 64)
    world.configure(more='[letters]\nkey_file = "one.key"\n')
    assert world.run("migrate").code == 0
    world.write("note.toml", LETTER)
    assert world.run("enqueue", "--letter", "note.toml").code == ExitCode.BAD_INPUT
    both = world.run("enqueue", "note.toml", "--letter", "note.toml")
    assert (both.code, "nothing else can be given" in both.err) == (ExitCode.USAGE, True)
    planned = world.run("enqueue", "--letter", "note.toml", "--at", "2031-03-03 09:00")
    assert planned.out.splitlines() == [
        "letter note (new): 1 message planned", "  to               ann@r.example",
        "  is due           2031-03-03 08:00:00Z",
    ]  # fmt: skip
    letter = world.run("status", "--campaign", "note", "--json").json["letter"]
    assert letter == {"notify": "me@shop.example", "encrypted": True, "about": None, "unreadable": None}
    assert "encrypted letter, tells me@shop.example" in world.run("status", "--campaign", "note").out
    assert "encrypted letter, tells me@shop.example" in world.run("show", "ann@r.example").out
    skipped = world.run("reschedule", "note", "--at", "2031-03-30 02:30")
    assert (skipped.code, "does not exist in Europe/Berlin" in skipped.err) == (ExitCode.USAGE, True)
    moved = world.run("reschedule", "note", "--at", "2031-04-01 09:00", "--json").json
    assert moved == {
        "schema": "sendctl.reschedule/1", "campaign": "note", "letter": True, "status": "running", "changed": True,
        "moved": 1, "before": "2031-03-03T08:00:00Z", "due_at": "2031-04-01T07:00:00Z",
    }  # fmt: skip
    assert world.run("reschedule", "note", "--at", "2031-04-01 09:00").out == (
        "letter note: due 2031-04-01 07:00:00Z already\n"
    )
    assert world.run("reschedule", "note").code == ExitCode.USAGE
    world.configure(more='[letters]\nkey_file = "two.key"\n')
    blocked = world.run("rotate-key")
    assert (blocked.code, "which this host does not have" in blocked.err) == (ExitCode.NEEDS_PERSON, True)
    world.configure(more='[letters]\nkey_file = "two.key"\nprevious_key_file = "one.key"\n')
    assert world.run("rotate-key", "--json").json["resealed"] == 1
    assert world.run("reschedule", "note", "--at", "now").code == 0
    assert world.run("send-due").code == 0
    for command in (("cancel", "note", "--yes"), ("reschedule", "note", "--at", "+1d")):
        late = world.run(*command)
        assert (late.code, late.out, "it was sent at" in late.err) == (ExitCode.TOO_LATE, "", True)
    assert world.mails() == 2
    printed = "".join(world.run(*command).out for command in (("messages", "--json"), ("show", "1"), ("status",)))
    assert "xyzzy" not in printed + (world.folder / "sendctl.db").read_bytes().decode("latin-1")


def test_help_explains_exit_code_8_where_it_can_be_met(world: World) -> None:
    for verb in ("cancel", "reschedule"):
        assert " 8 " in world.run(verb, "--help").out.partition("Exit status")[2]
    assert "too late: it is already being sent, or was sent" in world.run("--help").out


def test_a_literal_key_and_a_previous_key_alone_are_refused(world: World, tmp_path: Path) -> None:
    world.configure(more=f'[letters]\nkey = "{"1" * 64}"\n')
    literal = world.run("status")
    assert literal.code == ExitCode.BAD_CONFIG
    assert '"key" is a secret written in the file' in literal.err
    assert "1111" not in literal.err
    world.configure(more='[letters]\nprevious_key_file = "one.key"\n')
    alone = world.run("status")
    assert (alone.code, "a key is wanted beside it" in alone.err) == (ExitCode.BAD_CONFIG, True)
