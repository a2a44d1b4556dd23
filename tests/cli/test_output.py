"""Output that nobody takes: what was done is done, its exit code stays, and no traceback is ever shown."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sendctl.errors import ExitCode
from tests.cli.world import Ran, World

CLOSED = "sendctl: error: standard output cannot be written: it is closed\n"
FULL = "sendctl: error: standard output cannot be written: No space left on device\n"
DONE = "  hint: what the command did is done.\n"


def shell(world: World, command: str) -> Ran:
    """Run a command line of a shell, in which S is sendctl."""
    ran = subprocess.run(
        ["bash", "-c", command], cwd=world.folder, env=world.environment | {"S": f"{sys.executable} -m sendctl"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Ran(ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize(("stream", "problem"), [(">&-", CLOSED), (">/dev/full", FULL)])
def test_a_pass_whose_summary_is_lost_has_sent_and_says_so(world: World, stream: str, problem: str) -> None:
    world.ready()
    ran = shell(world, f"$S send-due {stream}")
    assert (ran.code, ran.err) == (0, problem + DONE)
    assert world.mails() == 20
    status = world.run("status", "--campaign", "spring", "--json").json
    assert (status["counts"]["sent"], status["last_run"]["result"]) == (20, "done")


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", ">/dev/full 2>/dev/full", ">&- 2>/dev/full"])
@pytest.mark.parametrize("verb", ["send-due", "send-due -q"])
def test_a_pass_without_any_stream_ends_as_it_would(world: World, verb: str, streams: str) -> None:
    world.ready()
    assert shell(world, f"$S {verb} {streams}") == Ran(0, "", "")
    assert world.mails() == 20


def test_the_code_of_the_pass_counts_more_than_its_lost_summary(world: World) -> None:
    world.crash()
    ran = shell(world, "$S send-due >/dev/full")
    assert ran == Ran(ExitCode.NEEDS_PERSON, "", FULL + DONE)


@pytest.mark.parametrize(("stream", "problem"), [(">&-", CLOSED), (">/dev/full", FULL)])
@pytest.mark.parametrize(
    "verb", ["status", "status --json", "messages", "messages --csv", "show 1", "suppress --list", "--help"]
)
def test_an_answer_that_is_lost_is_a_failure_in_one_line(world: World, verb: str, stream: str, problem: str) -> None:
    world.ready()
    world.run("suppress", "person1@recipient.example")
    assert shell(world, f"$S {verb} {stream}") == Ran(ExitCode.UNEXPECTED, "", problem)


def test_a_check_that_is_lost_keeps_its_verdict(world: World) -> None:
    world.ready()
    world.execute("UPDATE messages SET next_attempt_at = '2026-01-01 00:00:00.000000'")
    assert shell(world, "$S status --check >/dev/full").code == 2


def test_an_error_is_no_answer_where_stderr_is_closed(world: World) -> None:
    world.ready()
    assert shell(world, "$S pause nope 2>&-") == Ran(ExitCode.USAGE, "", "")


def test_a_reader_that_has_gone_keeps_the_code_of_the_pass(world: World) -> None:
    world.crash()
    ran = shell(world, "$S send-due | true; echo ${PIPESTATUS[0]}")
    assert (ran.out, ran.err) == (f"{int(ExitCode.NEEDS_PERSON)}\n", "")


def test_a_long_list_ends_when_its_reader_has_gone(world: World) -> None:
    program = (
        "import itertools; from sendctl.cli import messages, streams; streams.guard()\n"
        "for number in messages._while_read(itertools.count()): print(number)"
    )
    ran = shell(world, f"{sys.executable} -c '{program}' | true; echo ${{PIPESTATUS[0]}}")
    assert (ran.out, ran.err) == ("0\n", "")


def test_no_file_of_ours_takes_the_place_of_a_closed_stream(world: World) -> None:
    """What is printed to descriptor 1 would go into it."""
    world.ready()
    program = (
        "import os, sys\nfrom sendctl.cli import streams\nstreams.guard()\n"
        "sys.exit(os.open('sendctl.db', os.O_RDONLY) < 3)"
    )
    ran = subprocess.run(
        ["bash", "-c", f"{sys.executable} -c \"$PROGRAM\" <&- >&- 2>&-"], cwd=world.folder,
        env=os.environ | {"PROGRAM": program}, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0
