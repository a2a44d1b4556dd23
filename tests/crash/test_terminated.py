"""SIGTERM at every moment outside of the sending loop: the command ends with 75, in good order, and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.conftest import NewWorld
from tests.crash.launcher import ROOT, RUN_S
from tests.crash.world import CAMPAIGN, World, wait_for

PEOPLE = 12
STRIDE = 10  # deeds between two moments of a sweep: a pass has sixty to a hundred
PAUSE = {"x86_64": "34", "aarch64": "73"}[os.uname().machine]  # pause(2) in /proc; on ARM it is a ppoll
SAID = "stopped by SIGTERM; nothing is lost, run the command again\n"

_REAL_PROGRAM = """
import runpy, sys
from tests.crash.launcher import terminate_at
terminate_at({event})
sys.argv = ["sendctl", *{arguments!r}]
runpy.run_module("sendctl", run_name="__main__")
"""


@pytest.fixture
def world(new_world: NewWorld, store_url: str) -> World:
    return new_world(store_url, contacts=PEOPLE)


def in_pause(pid: int) -> bool:
    """Whether it waits in a failpoint."""
    syscall = Path(f"/proc/{pid}/syscall").read_text().split()
    return syscall[0] == PAUSE


def swept(world: World, *arguments: str, workers: int = 1, stride: int = STRIDE) -> int:
    """Stop a command at moment after moment, until one is beyond its end; returns how many stopped it."""
    environ = {"SENDCTL_SEND_WORKERS": str(workers)}
    for moment in range(0, 100_000, stride):
        ended = world.start(*arguments, environ=environ, terminated_at=moment).ended()
        if ended.code in (0, 3):
            return moment // stride
        assert ended.code == 75, (moment, ended)
        assert "Traceback" not in ended.err, (moment, ended)
        assert SAID in ended.err or "stopped on request" in ended.out, (moment, ended)
    raise AssertionError("it never ended by itself")


@pytest.mark.parametrize("workers", [1, 3])
def test_pass_that_is_terminated_anywhere_ends_in_good_order(world: World, workers: int) -> None:
    assert swept(world, "send-due", "--limit", "6", workers=workers) > 4
    world.assert_sound()
    world.finish()
    world.assert_finished(PEOPLE)
    assert world.counts()["sent"] == PEOPLE  # nobody in doubt: everything in flight was waited for


@pytest.mark.parametrize(
    "arguments",
    [("reconcile",), ("recover", "--campaign", CAMPAIGN, "--yes", "--reason", "test"), ("status",), ("messages",)],
    ids=lambda arguments: arguments[0],
)
def test_other_commands_that_are_terminated_anywhere_change_nothing_by_halves(
    world: World, arguments: tuple[str, ...]
) -> None:
    world.run("send-due", failpoint="journal.dotted:kill:3")  # something to put right
    assert swept(world, *arguments, stride=2 if arguments[0] in ("status", "messages") else STRIDE) > 2
    world.assert_sound()
    world.finish()
    world.assert_finished(PEOPLE)


def test_enqueue_that_is_terminated_anywhere_has_planned_nobody_or_everybody(
    new_world: NewWorld, store_url: str
) -> None:
    world = new_world(store_url, contacts=PEOPLE, enqueued=False)
    campaign, contacts = str(world.folder / "campaign.toml"), str(world.folder / "contacts.csv")
    for moment in range(0, 100_000, STRIDE):
        ended = world.start("enqueue", campaign, "--contacts", contacts, terminated_at=moment).ended()
        assert world.counts().total() in (0, PEOPLE)
        if ended.code == 0:
            break
        assert (ended.code, SAID in ended.err) == (75, True), ended
    assert world.counts().total() == PEOPLE


@pytest.mark.parametrize("event", [0, 150, 400])
def test_program_that_is_terminated_while_it_imports_ends_in_good_order(world: World, event: int) -> None:
    arguments = ["--config", str(world.folder / "sendctl.toml"), "send-due"]
    ended = subprocess.run(
        [sys.executable, "-c", _REAL_PROGRAM.format(event=event, arguments=arguments)], cwd=ROOT,
        env=world.environ, capture_output=True, text=True, timeout=RUN_S, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (75, f"sendctl: {SAID}")
    assert world.counts()["queued"] == PEOPLE


@pytest.mark.parametrize(
    ("point", "workers", "number"),
    [
        ("run.recorded", 1, signal.SIGTERM), ("run.recorded", 3, signal.SIGTERM), ("run.recorded", 1, signal.SIGINT),
        ("run.before_finish", 1, signal.SIGTERM), ("run.finished", 3, signal.SIGTERM),
    ],
)  # fmt: skip
def test_run_that_is_recorded_is_ended_when_it_is_terminated(
    world: World, point: str, workers: int, number: signal.Signals
) -> None:
    environ = {"SENDCTL_SEND_WORKERS": str(workers)}
    command = world.start("send-due", failpoint=f"{point}:wait", environ=environ)
    wait_for(lambda: in_pause(command.pid))
    command.send(number)
    ended = command.ended()
    assert ended.code == (0 if point == "run.finished" else 75), ended
    assert world.counts()["sent"] == (0 if point == "run.recorded" else PEOPLE)
    assert not list((world.folder / "journal").glob("*.lock"))  # ended and confirmed: the next pass takes nothing over
    assert "had died" not in world.run("send-due").out
    world.assert_finished(PEOPLE)


def test_stopped_command_is_silent_when_silence_was_asked_for(world: World) -> None:
    ended = world.start("-q", "reconcile", terminated_at=5).ended()
    assert (ended.code, ended.out, ended.err) == (75, "", "")


def test_signal_that_is_ignored_for_the_program_stays_ignored(world: World) -> None:
    """A shell ignores SIGINT for what it runs in the background: a Ctrl-C beside it is not meant for it."""
    script = 'trap "" INT; exec "$@"'
    arguments = ["--config", str(world.folder / "sendctl.toml"), "send-due"]
    environ = {**world.environ, "SENDCTL_FAILPOINT": "journal.begun:wait"}
    with subprocess.Popen(
        ["sh", "-c", script, "sh", sys.executable, "-m", "sendctl", *arguments], cwd=ROOT, env=environ,
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        wait_for(lambda: in_pause(process.pid))
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(RUN_S) == 75
    world.assert_sound()
