"""What repairs is killed too: imports of dead runs, reconcile, recover and enqueue, before and after each commit."""

from __future__ import annotations

import signal

import pytest

from tests.crash.conftest import NewWorld
from tests.crash.world import CAMPAIGN, CONTACTS, World

RECOVER = ("recover", "--campaign", CAMPAIGN, "--in-doubt", "hold", "--yes")
IMPORTERS = {"send-due": ("send-due",), "reconcile": ("reconcile",), "recover": RECOVER}


def dead_passes(world: World, count: int) -> None:
    """Passes that were killed at the same time, each with a message in doubt: the first must not take up the others."""
    passes = [world.start("send-due", failpoint="journal.dotted:stop") for _ in range(count)]
    assert all(command.stopped() for command in passes)
    for command in passes:
        command.send(signal.SIGKILL)
        assert command.ended().code == -signal.SIGKILL


@pytest.mark.parametrize("importer", IMPORTERS)
def test_killed_import_is_done_once_by_the_next(world: World, importer: str) -> None:
    dead_passes(world, 3)
    for failpoint in ("import.before_commit:kill:2", "import.committed:kill:1", "import.before_commit:raise:1"):
        broken = world.run(*IMPORTERS[importer], failpoint=failpoint)
        assert broken.code == (1 if "raise" in failpoint else -signal.SIGKILL), broken
        world.assert_sound()
    world.finish()
    world.assert_finished()
    assert [death.in_doubt for death in world.deaths()] == [1, 1, 1]
    assert world.counts()["in_doubt"] == 3


@pytest.mark.parametrize("choice", ["resend", "skip"])
def test_killed_recover_is_applied_whole_or_not_at_all(world: World, choice: str) -> None:
    dead_passes(world, 2)
    for action, code in (("raise", 1), ("kill", -signal.SIGKILL)):
        broken = world.recover(choice, failpoint=f"recover.before_commit:{action}")
        assert broken.code == code, broken
        world.assert_sound()
        assert world.counts()["in_doubt"] == 2  # the import stands, the choice does not
    broken = world.recover(choice, failpoint="recover.committed:kill")
    assert broken.code == -signal.SIGKILL, broken
    assert world.counts()["in_doubt"] == 0
    assert world.recover(choice).code == 0
    # The dot was announced and never left: a resend makes no duplicate here.
    world.finish()
    counts = world.counts()
    assert (counts["sent"], counts["failed"]) == ((CONTACTS, 0) if choice == "resend" else (CONTACTS - 2, 2))
    assert not world.duplicates()


@pytest.mark.parametrize("point", ["enqueue.before_commit", "enqueue.committed"])
def test_killed_enqueue_adds_everybody_or_nobody(world: World, point: str) -> None:
    longer = world.folder / "longer.csv"
    rows = [f"late{number}@example.com,Late {number}" for number in range(10)]
    longer.write_text((world.folder / "contacts.csv").read_text() + "\n".join(rows) + "\n")
    enqueue = ("enqueue", str(world.folder / "campaign.toml"), "--contacts", str(longer))
    for action, code in (("kill", -signal.SIGKILL), ("raise", 1)):
        broken = world.run(*enqueue, failpoint=f"{point}:{action}")
        assert broken.code == code, broken
        assert len(world.states()) == (CONTACTS if point == "enqueue.before_commit" else CONTACTS + 10)
    again = world.run(*enqueue)
    assert again.code == 0, again
    assert len(world.states()) == CONTACTS + 10
    world.finish()
    world.assert_finished(CONTACTS + 10)


def test_enqueue_killed_on_an_empty_store_leaves_no_campaign(new_world: NewWorld, store_url: str) -> None:
    world = new_world(store_url, enqueued=False)
    enqueue = ("enqueue", str(world.folder / "campaign.toml"), "--contacts", str(world.folder / "contacts.csv"))
    assert world.run(*enqueue, failpoint="enqueue.before_commit:kill").code == -signal.SIGKILL
    assert world.states() == {}
    assert world.run("send-due").code == 0
    assert world.run(*enqueue).code == 0
    world.finish()
    world.assert_finished()
