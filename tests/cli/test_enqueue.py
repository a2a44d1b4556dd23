"""`enqueue` as its operator meets it: what it refuses, what it warns of even when silent, how its numbers add up."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import sendctl.passes.enqueue
import sendctl.passes.preview  # noqa: F401  what the verbs import is there before the user changes
from sendctl.cli.app import run
from sendctl.errors import ExitCode
from tests.cli.world import CAMPAIGN, Commands, World, contacts

NOBODY = 65534


def prepared(world: World) -> World:
    """A store, and a campaign for three people that is not enqueued yet."""
    world.run("migrate")
    world.write("spring.toml", CAMPAIGN)
    world.write("people.csv", contacts(3))
    return world


@pytest.fixture
def spring(world: World) -> World:
    return prepared(world)


@pytest.fixture
def open_spring(commands: Commands) -> Iterator[World]:
    """The same where every user may look: pytest's own folders are their owner's alone."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), commands)
        world.configure()
        prepared(world)
        if os.geteuid() == 0:
            for path in (world.folder, *world.folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)
        yield world


def test_bad_rows_never_go_to_a_file_that_is_there(spring: World) -> None:
    before = (spring.folder / "sendctl.db").read_bytes()
    for name in ("sendctl.db", "sendctl.toml", "spring.toml", "people.csv"):
        ran = spring.run("enqueue", "spring.toml", "--contacts", "people.csv", "--skip-bad", name)
        assert (ran.code, ran.out) == (ExitCode.USAGE, "")
        assert f"--skip-bad {name}" in ran.err
        assert "hint: name a " in ran.err
    assert (spring.folder / "sendctl.db").read_bytes() == before
    assert spring.run("status", "--json").json["campaigns"] == []


def test_bad_rows_never_go_to_standard_output(spring: World) -> None:
    ran = spring.run("enqueue", "spring.toml", "--contacts", "people.csv", "--skip-bad", "-")
    assert ran.code == ExitCode.USAGE
    assert "not to standard output" in ran.err
    assert not (spring.folder / "-").exists()


def test_an_empty_export_is_said_even_when_silence_was_asked_for(spring: World) -> None:
    spring.write("none.csv", "email,name\n")
    for arguments in (["-q"], ["--json"]):
        ran = spring.run("enqueue", "spring.toml", "--contacts", "none.csv", *arguments)
        assert ran.code == 0
        assert ran.err == "sendctl: warning: none.csv has no records: nobody was added to campaign spring\n"
    assert ran.json["warnings"] == ["none.csv has no records: nobody was added to campaign spring"]
    assert spring.run("enqueue", "-q", "spring.toml", "--contacts", "people.csv").err == ""


def test_rows_are_accounted_for_the_first_time_and_later(spring: World) -> None:
    spring.write("people.csv", contacts(30) + "person2@recipient.example,Again\nPERSON2@recipient.example,Again\n")
    arguments = ["enqueue", "spring.toml", "--contacts", "people.csv"]
    first = spring.run(*arguments)
    assert "rows             32\n  repeated         2 rows of 1 address, which " in first.out
    later = spring.run(*arguments)
    assert "rows             32\n  known before     30\n  repeated         2 rows of 1 address, which " in later.out
    report = spring.run(*arguments, "--json").json
    assert report["rows"] == report["enrolled"] + report["known"] + report["repeated_count"] == 32
    assert (report["known"], report["repeated_addresses"], report["first_due_at"]) == (30, 1, None)
    assert spring.run("-q", *arguments) == spring.run(*arguments, "-q")
    assert spring.run(*arguments, "-q").err == ""


def test_at_now_is_a_start_that_wins_over_the_files(spring: World) -> None:
    spring.write("spring.toml", CAMPAIGN.replace("[controls]", "start_at = 2099-01-01T00:00:00Z\n[controls]"))
    assert "first is due     2099" in spring.run("enqueue", "spring.toml", "--contacts", "people.csv", "--dry-run").out
    ran = spring.run("enqueue", "spring.toml", "--contacts", "people.csv", "--at", "now")
    assert "first is due     now" in ran.out


def as_nobody(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a command as a user who may not read everything: root may. Returns its exit status and stderr."""
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        for stream in (1, 2):
            os.dup2(os.open(f".stream{stream}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        code = run(list(arguments))
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), (folder / ".stream2").read_text()


@pytest.mark.parametrize(
    ("verb", "unreadable"), [("enqueue", "spring.toml"), ("preview", "spring.toml"), ("preview", "people.csv")]
)
def test_a_file_that_cannot_be_read_is_bad_input_whichever_it_is(
    open_spring: World, capfd: pytest.CaptureFixture[str], verb: str, unreadable: str
) -> None:
    (open_spring.folder / unreadable).chmod(0)
    with capfd.disabled():
        code, err = as_nobody(open_spring.folder, verb, "spring.toml", "--contacts", "people.csv")
    assert code == ExitCode.BAD_INPUT
    assert f"{unreadable}: cannot" in err
    assert "permission denied" in err.lower()


def test_the_sample_reads_well_where_a_cell_is_empty(bare_world: World) -> None:
    assert bare_world.run("init").code == 0
    for row, said in (("1", "sendctl. Your town is Lisbon.\n"), ("3", "sendctl.\n")):
        ran = bare_world.run(
            "preview", "campaign.toml", "--contacts", "contacts.csv", "--row", row, "--part", "text"
        )  # fmt: skip
        assert ran.out.endswith(f"this is the sample campaign of {said}")
