"""Passes run as one user: what root does beside it shuts nobody out, and what has shut it out is named."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sendctl.cli.app import run
from tests.cli.world import World, contacts

OTHER = pwd.getpwnam("nobody").pw_uid


def owned_by_another(folder: Path) -> str:
    """All in a folder belongs to somebody who is not root; returns the name."""
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, OTHER, -1)
    return pwd.getpwuid(folder.stat().st_uid).pw_name


@contextmanager
def as_root(world: World) -> Iterator[None]:
    """This process counts as root's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 0)
        patch.chdir(world.folder)
        for name, value in world.environment.items():
            patch.setenv(name, value)
        yield


def files(world: World) -> dict[Path, int]:
    """All there is, and whose."""
    return {path: path.stat().st_uid for path in world.folder.rglob("*")}


@pytest.mark.parametrize("verb", [["send-due"], ["reconcile"], ["recover", "--campaign", "spring", "--yes"]])
@pytest.mark.parametrize("due", [True, False])
def test_root_never_runs_a_pass_in_the_place_of_another_user(
    world: World, verb: list[str], due: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    world.ready()
    assert world.run("send-due").code == 0
    if due:
        world.write("more.csv", contacts(25))
        assert world.run("enqueue", "spring.toml", "--contacts", "more.csv").code == 0
    user, before = owned_by_another(world.folder), files(world)
    with as_root(world):
        assert run(verb) == 78
    said = " ".join(capsys.readouterr().err.split())
    assert f"the journal folder {world.folder}/sendctl-journal belongs to {user}" in said
    assert f"hint: run it as {user}: sudo -u '{user}' sendctl" in said
    assert files(world) == {path: owner for path, owner in before.items() if path in files(world)}


def test_root_makes_no_journal_folder_beside_the_store_of_another_user(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.ready()
    user = owned_by_another(world.folder)
    with as_root(world):
        assert run(["send-due"]) == 78
    assert f"the store {world.folder}/sendctl.db belongs to {user}" in capsys.readouterr().err
    assert not (world.folder / "sendctl-journal").exists()


@pytest.mark.parametrize(
    "verb", [["status"], ["status", "--check"], ["messages", "--campaign", "spring"], ["show", "1"]]
)
def test_root_may_look_and_leaves_nothing_behind(
    world: World, verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    world.ready()
    assert world.run("send-due").code == 0
    (world.folder / "sendctl-journal/host-id").unlink()
    owned_by_another(world.folder)
    before = files(world)
    with as_root(world):
        assert run(verb) == 0
    assert "witness" not in capsys.readouterr().out
    assert set(files(world)) <= set(before)
    assert all(before[path] == owner for path, owner in files(world).items())


def test_status_names_a_journal_folder_that_passes_cannot_use(world: World) -> None:
    world.ready()
    assert world.run("send-due", "--limit", 5).code == 0
    journal = world.folder / "sendctl-journal"
    if os.geteuid() == 0:
        os.chown(next(journal.glob("*.done")), OTHER, -1)
        matter = f"passes cannot use the journal folder {journal}: it belongs to root and has files of nobody."
        matter += f" Give them back: chown -R 'root' {journal}"
    else:
        journal.chmod(0o500)
        user = pwd.getpwuid(os.geteuid()).pw_name
        matter = f"the journal folder {journal} belongs to {user}, and {user} cannot use it"
    found = world.run("status", "--json").json
    assert found["journal_trouble"] == matter
    assert [(one["level"], one["matter"]) for one in found["advice"]] == [
        ("critical", f"nothing is sent from here: {matter}")
    ]
    assert world.run("status", "--check").code == 2
