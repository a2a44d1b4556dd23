"""The quiet pass that finds nothing due: it is answered early, and whatever is not just that is not."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from sendctl.cli.idle import answered
from sendctl.errors import ExitCode, StoppedEarly
from sendctl.settings import Settings
from tests.cli.world import World

# What the console script does, and then what it had to import.
_PROGRAM = (
    "import atexit, sys; heavy = ('typer', 'sqlalchemy', 'rich', 'asyncio');"
    "atexit.register(lambda: print(','.join(name for name in heavy if name in sys.modules)));"
    "from sendctl.__main__ import main; main()"
)


def _passed(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], cwd=world.folder, env=world.environment, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


def _passes(world: World) -> int:
    with closing(sqlite3.connect(world.folder / "sendctl.db")) as connection:
        (count,) = connection.execute("SELECT passes FROM store").fetchone()
    return int(count)


@pytest.fixture
def idle_world(world: World) -> World:
    world.ready(people=3)
    assert world.run("send-due").code == 0
    assert world.run("send-due").out == "nothing is due\n"
    return world


@pytest.mark.parametrize(
    "arguments",
    [("send-due", "-q"), ("-q", "send-due"), ("--quiet", "send-due", "--config", "sendctl.toml"),
     ("send-due", "--config=sendctl.toml", "-q")],
    ids=" ".join,
)  # fmt: skip
def test_a_quiet_pass_with_nothing_due_imports_nothing_heavy_and_counts(
    idle_world: World, arguments: tuple[str, ...]
) -> None:
    before = _passes(idle_world)
    ran = _passed(idle_world, *arguments)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "\n", "")
    assert _passes(idle_world) == before + 1


def test_a_quiet_pass_with_something_due_sends_it(idle_world: World) -> None:
    (idle_world.folder / "more.csv").write_text("email,name\nlate@x.example,Late\n")
    assert idle_world.run("enqueue", "spring.toml", "--contacts", "more.csv").code == 0
    ran = _passed(idle_world, "send-due", "-q")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "sqlalchemy" in ran.stdout
    assert idle_world.mails() == 4


def test_a_bad_configuration_is_explained_once(idle_world: World) -> None:
    (idle_world.folder / "sendctl.toml").write_text("[send\n")
    ran = _passed(idle_world, "send-due", "-q")
    assert ran.returncode == 78
    assert ran.stderr.count("sendctl: error:") == 1


def test_a_host_that_may_not_send_is_told_so(idle_world: World) -> None:
    path = idle_world.folder / "sendctl.toml"
    path.write_text(path.read_text().replace("enabled = true", "enabled = false"))
    ran = _passed(idle_world, "send-due", "-q")
    assert (ran.returncode, ran.stderr.count("sendctl: error:")) == (5, 1)


def test_a_pass_that_the_store_kept_waiting_does_not_begin_anew(
    idle_world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def waits(_settings: Settings) -> bool:
        raise StoppedEarly("another command kept the store busy", hint="run again.")

    monkeypatch.chdir(idle_world.folder)
    monkeypatch.setattr("sendctl.passes.idle.is_idle", waits)
    assert answered(("send-due", "-q")) is ExitCode.STOPPED_EARLY
    assert capfd.readouterr().err.count("sendctl: error: another command kept the store busy") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("send-due",), ("status", "-q"), ("send-due", "-q", "--limit", "3"), ("send-due", "-q", "extra"),
        ("send-due", "send-due", "-q"), ("send-due", "-q", "--config"), ("--help", "send-due", "-q"),
        ("send-due", "-qv"), ("send-due", "--quiet=1"), ("send-due", "-q", "--json"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_other_command_line_is_left_to_the_whole_program(arguments: tuple[str, ...]) -> None:
    assert answered(arguments) is None
