"""A pass that is stopped (SIGSTOP, a suspended machine) is not dead, and sends nothing more on its old claim."""

from __future__ import annotations

import signal

import sqlalchemy as sa

from sendctl.store.tables import attempts, messages
from tests.crash.launcher import Command
from tests.crash.world import BATCH_SIZE, CAMPAIGN, CONTACTS, World, wait_for

SHORT = {"SENDCTL_SEND_CLAIM_S": "4", "SENDCTL_SEND_DEADLINE_S": "1"}
STOPS = ("claim.committed", "journal.begun", "provider.before_dot", "journal.dotted", "provider.replied",
         "journal.outcome", "settle.committed")  # fmt: skip
HELD = len(STOPS) * BATCH_SIZE


def zombie(world: World, point: str) -> Command:
    """A pass that stands still at a point with a window in flight, and will claim no other when it goes on."""
    held = world.counts()["sending"]
    windows = 2 if point == "settle.committed" else 1
    command = world.start("send-due", "--limit", str(windows * BATCH_SIZE), failpoint=f"{point}:stop", environ=SHORT)
    assert command.stopped()
    assert world.counts()["sending"] == held + BATCH_SIZE
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


def go_on(world: World, zombies: list[Command]) -> None:
    """Continue them; none may send anything, for the claim of each is long over."""
    before = world.accepted()
    for command in zombies:
        command.send(signal.SIGCONT)
    assert {command.ended().code for command in zombies} <= {0, 3}
    assert world.accepted() == before, "one sent on an expired claim"


def test_stopped_runs_keep_their_windows_and_send_nothing_on_old_claims(world: World) -> None:
    zombies = [zombie(world, point) for point in STOPS]
    wait_for(lambda: claims_expired(world))
    recover = world.start("recover", "--campaign", CAMPAIGN, "--in-doubt", "resend", "--yes", environ=SHORT)
    others = [world.start("send-due"), world.start("reconcile", environ=SHORT), recover]
    assert {other.ended().code for other in others} <= {0, 3}
    # Their locks are held: however late they are, nobody hands their messages out.
    assert world.counts()["sending"] == HELD
    assert world.accepted().total() >= CONTACTS - HELD
    go_on(world, zombies)
    world.finish()
    world.assert_finished()


def test_expired_claims_of_another_host_are_doubt_until_their_owners_speak(world: World) -> None:
    zombies = [zombie(world, point) for point in STOPS]
    wait_for(lambda: claims_expired(world))
    elsewhere = {"SENDCTL_JOURNAL_PATH": str(world.folder / "other-journal")}
    assert world.run("reconcile", environ=elsewhere | SHORT).code == 3
    assert world.counts()["in_doubt"] == HELD
    assert evidence_of_unknown(world) == {"claim_expired"}
    assert world.run("send-due", environ=elsewhere).code in (0, 3)
    assert world.counts()["in_doubt"] == HELD, "nothing of their windows is handed out"
    go_on(world, zombies)
    # What they know settles the doubt: replies they had make messages sent, what they never sent is queued again.
    world.assert_sound()
    assert world.counts()["in_doubt"] == 0
    world.finish()
    world.assert_finished()


def test_late_owner_never_overwrites_a_newer_claim(world: World) -> None:
    first = zombie(world, "journal.dotted")
    wait_for(lambda: claims_expired(world))
    elsewhere = {"SENDCTL_JOURNAL_PATH": str(world.folder / "other-journal")}
    resend = ("recover", "--campaign", CAMPAIGN, "--in-doubt", "resend", "--yes", "--expect", str(BATCH_SIZE))
    assert world.run("reconcile", environ=elsewhere | SHORT).code == 3
    assert world.run("send-due", environ=elsewhere).code in (0, 3)  # everybody else: only the window is left
    assert world.run(*resend, environ=elsewhere).code == 0  # an operator says so: the window is queued again
    second = world.start("send-due", failpoint="provider.replied:stop", environ=elsewhere)
    assert second.stopped()
    assert world.counts()["sending"] == BATCH_SIZE
    first.send(signal.SIGCONT)  # it puts its window back, and it is its window no more
    first.ended()
    assert world.counts()["sending"] == BATCH_SIZE
    assert world.run("send-due", environ=elsewhere).code in (0, 3)
    second.send(signal.SIGCONT)
    assert second.ended().code in (0, 3)
    world.finish()
    world.assert_finished()
