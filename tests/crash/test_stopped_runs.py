"""A pass that is stopped (SIGSTOP, a suspended machine) is not dead, and sends nothing more on its old claim."""

from __future__ import annotations

import signal

import pytest
import sqlalchemy as sa

from sendctl.store.tables import attempts, messages
from tests.crash.conftest import NewWorld
from tests.crash.launcher import Command
from tests.crash.world import BATCH_SIZE, CAMPAIGN, CONTACTS, World, wait_for

SHORT = {"SENDCTL_SEND_CLAIM_S": "2", "SENDCTL_SEND_DEADLINE_S": "1"}
STOPS = ("claim.committed", "journal.begun", "provider.before_dot", "journal.dotted", "provider.replied",
         "journal.outcome", "settle.committed")  # fmt: skip


def zombie(world: World, point: str) -> Command:
    """A pass that stands still at a point with a window in flight, and will claim no other when it goes on."""
    windows = 2 if point == "settle.committed" else 1
    command = world.start("send-due", "--limit", str(windows * BATCH_SIZE), failpoint=f"{point}:stop", environ=SHORT)
    assert command.stopped()
    assert world.counts()["sending"] == BATCH_SIZE
    return command


def claims_expired(world: World) -> bool:
    """Whether every claim has been over for longer than a message may take: others may give it up."""
    with world.context() as context, context.store.read() as connection:
        newest = connection.execute(sa.select(sa.func.max(messages.c.claim_expires_at))).scalar_one()
        return bool((context.store.now(connection) - newest).total_seconds() > 1.1)


def evidence_of_unknown(world: World) -> set[str]:
    with world.context() as context, context.store.read() as connection:
        found = sa.select(attempts.c.evidence).where(attempts.c.outcome == "unknown")
        return set(connection.execute(found).scalars())


@pytest.mark.parametrize("point", STOPS)
def test_stopped_run_keeps_its_window_and_sends_nothing_on_an_old_claim(world: World, point: str) -> None:
    command = zombie(world, point)
    wait_for(lambda: claims_expired(world))
    recover = ("recover", "--campaign", CAMPAIGN, "--in-doubt", "resend", "--yes")
    others = [world.start(*verb, environ=SHORT) for verb in (("send-due",), ("reconcile",), recover)]
    assert {other.ended().code for other in others} <= {0, 3}
    # Its lock is held: however late it is, nobody hands its messages out.
    assert world.counts()["sending"] == BATCH_SIZE
    before = world.accepted()
    assert before.total() >= CONTACTS - BATCH_SIZE
    command.send(signal.SIGCONT)
    assert command.ended().code in (0, 3)
    assert world.accepted() == before, "it sent on an expired claim"
    world.finish()
    world.assert_finished()


@pytest.mark.parametrize("point", ["claim.committed", "journal.dotted", "provider.replied", "journal.outcome"])
def test_expired_claim_of_another_host_is_doubt_until_its_owner_speaks(
    new_world: NewWorld, store_url: str, point: str
) -> None:
    world = new_world(store_url)
    command = zombie(world, point)
    wait_for(lambda: claims_expired(world))
    elsewhere = SHORT | {"SENDCTL_JOURNAL_PATH": str(world.folder / "other-journal")}
    assert world.run("reconcile", environ=elsewhere).code == 3
    assert world.counts()["in_doubt"] == BATCH_SIZE
    assert evidence_of_unknown(world) == {"claim_expired"}
    assert world.run("send-due", environ=elsewhere).code in (0, 3)
    assert world.counts()["in_doubt"] == BATCH_SIZE, "nothing of its window is handed out"
    before = world.accepted()
    command.send(signal.SIGCONT)
    command.ended()
    assert world.accepted() == before, "it sent on an expired claim"
    # What it knows settles the doubt: replies it had make messages sent, what it never sent is queued again.
    world.assert_sound()
    assert world.counts()["in_doubt"] == 0
    world.finish()
    world.assert_finished()


def test_late_owner_never_overwrites_a_newer_claim(world: World) -> None:
    first = zombie(world, "journal.dotted")
    wait_for(lambda: claims_expired(world))
    elsewhere = SHORT | {"SENDCTL_JOURNAL_PATH": str(world.folder / "other-journal")}
    resend = ("recover", "--campaign", CAMPAIGN, "--in-doubt", "resend", "--yes", "--expect", str(BATCH_SIZE))
    assert world.run("reconcile", environ=elsewhere).code == 3
    assert world.run(*resend, environ=elsewhere).code == 0  # an operator says so: the window is queued again
    long = {"SENDCTL_JOURNAL_PATH": elsewhere["SENDCTL_JOURNAL_PATH"]}
    second = world.start("send-due", failpoint="provider.replied:stop", environ=long)
    assert second.stopped()
    assert world.counts()["sending"] == BATCH_SIZE
    first.send(signal.SIGCONT)  # it puts its window back, and it is its window no more
    first.ended()
    assert world.counts()["sending"] == BATCH_SIZE
    assert world.run("send-due", environ=long).code in (0, 3)
    second.send(signal.SIGCONT)
    assert second.ended().code in (0, 3)
    world.finish()
    world.assert_finished()
