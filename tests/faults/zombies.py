"""A command that is stopped (SIGSTOP) at each failpoint until its claims are over, while others repair; then SIGCONT.

The others run on its own host, where its lock says that it lives, or on another, where nobody can say so.
"""

from __future__ import annotations

import json
import signal
import time
from datetime import UTC, datetime

import sqlalchemy as sa

from sendctl.faults import FAILPOINTS
from sendctl.store.tables import events, messages
from tests.crash.launcher import Command, Finished
from tests.crash.world import BATCH_SIZE, CAMPAIGN, World, wait_for
from tests.faults.ground import DOCUMENTED, Line, close_account, new_ground
from tests.faults.traffic import VERBS
from tests.kill.drills import Range

SHORT = {
    "SENDCTL_SEND_CLAIM_S": "4", "SENDCTL_SEND_DEADLINE_S": "1", "SENDCTL_EVENTS_SPOOL": "{folder}/spool",
}  # fmt: skip
PEOPLE = 4 * BATCH_SIZE  # who wait when a command is stopped
# Where nothing of the open window has left when the command is stopped: an operator elsewhere may send it again.
UNSENT = ("claim.committed", "journal.begun", "provider.before_dot", "journal.dotted", "settle.committed")
RESEND = ("recover", "--campaign", CAMPAIGN, "--in-doubt", "resend", "--yes")


# Not of letters: nothing of them stands open when such a command is stopped, and the ground has none. Nor does its
# relay have events to pull, or answer questions: tests/crash/test_killed_lookups.py has that.
ELSEWHERE = ("cancel.", "reschedule.", "rotate.", "pull.", "lookup.", "proof.")
ALL = tuple(name for name in FAILPOINTS if not name.startswith(ELSEWHERE))


def zombies(store_url: str, *, elsewhere: bool, points: tuple[str, ...] = ALL) -> Line:
    """One zombie after the other at the named points, in one world."""
    begun_s = time.monotonic()
    where = "another host" if elsewhere else "its own host"
    line = Line(f"stopped, repaired on {where}, continued", "postgres" if store_url else "sqlite", "zombies")
    with new_ground(store_url, contacts=0, enqueued=False, environ=SHORT) as world:
        (world.folder / "spool").mkdir()
        ground = Range(world)
        repairer = {"SENDCTL_JOURNAL_PATH": str(world.folder / "other-journal")} if elsewhere else {}
        for point in points:
            ground.enqueue(PEOPLE)
            _one(ground, point, repairer, line)
        close_account(world, line, ground.tally.planned)
        _compare_events(world, line)
    line.note, line.seconds = f"{len(points)} failpoints, {line.note}", time.monotonic() - begun_s
    return line


def _one(ground: Range, point: str, repairer: dict[str, str], line: Line) -> None:
    world = ground.world
    zombie = _stopped(ground, point)
    if not zombie.stopped():
        line.wrong.append(f"{point} was not passed: {zombie.ended()}")
        return
    line.hits += 1
    wait_for(lambda: _claims_are_over(world))
    again = bool(repairer) and point in UNSENT
    ended = _sent_again(world, repairer) if again else _beside(world, repairer)
    before = world.accepted()
    zombie.send(signal.SIGCONT)
    ended.append(zombie.ended())
    wrong = [each for each in ended if each.code not in DOCUMENTED or "Traceback" in each.err]
    line.wrong += [f"{point}: {each}" for each in wrong]
    if again and world.accepted() != before:
        line.wrong.append(f"{point}: it went on and sent on an old claim")
    world.finish()
    ground.look()
    ground.compare()


def _beside(world: World, repairer: dict[str, str]) -> list[Finished]:
    """All that may run at the same time; what is in doubt is held."""
    others = [world.start(*arguments, environ=repairer) for arguments in VERBS.values()]
    return [other.ended() for other in others]


def _sent_again(world: World, repairer: dict[str, str]) -> list[Finished]:
    """Its window is in doubt on another host; an operator there has it sent again, and it is."""
    return [world.run(*arguments, environ=repairer) for arguments in (("reconcile",), RESEND, ("send-due",))]


def _stopped(ground: Range, point: str) -> Command:
    """A command on its way to the point at which it stops."""
    family, world = point.partition(".")[0], ground.world
    if family == "ingest":
        assert world.run("send-due", "--limit", str(BATCH_SIZE)).code in (0, 3)
        _spool_events(world, point)
    if family in ("import", "recover"):  # there must be something to take up; the dot of it has not left
        assert world.run("send-due", failpoint="journal.dotted:kill").code == -signal.SIGKILL
    match family:
        case "import" | "ingest":
            arguments = ["reconcile"]
        case "recover":
            arguments = [*RESEND]
        case "enqueue":
            arguments = ground.contacts(BATCH_SIZE)
        case _:
            arguments = ["send-due", "--limit", str(2 * BATCH_SIZE)]
    return world.start(*arguments, failpoint=f"{point}:stop")


def _spool_events(world: World, name: str) -> None:
    """A file that says of everybody who has a message that they have opened it: `opened` for each, once."""
    spool = world.folder / "spool"
    at = datetime.now(UTC).isoformat()
    opened = [
        {"type": "opened", "occurred_at": at, "message_id": row["message_id"], "id": f"{name} {row['message_id']}"}
        for row in world.judge.accepted()
    ]
    half = spool / f".{name}"
    half.write_text("".join(f"{json.dumps(one)}\n" for one in opened))
    half.rename(spool / f"{name}.jsonl")


def _compare_events(world: World, line: Line) -> None:
    """Each event that lay in the spool is known once, and its file is done with."""
    spool = world.folder / "spool"
    told = sum(len(path.read_text().splitlines()) for path in (spool / "done").rglob("*.jsonl"))
    with world.context() as context, context.store.read() as connection:
        known = connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one()
    if known != told or list(spool.glob("*.jsonl")):
        line.wrong.append(f"{told} events lay in files that are done with, {known} are known")
    line.note = f"{known} events known once"


def _claims_are_over(world: World) -> bool:
    """Whether every claim has been over for longer than a message may take: others may give it up."""
    with world.context() as context, context.store.read() as connection:
        newest = sa.select(sa.func.max(messages.c.claim_expires_at)).where(messages.c.status == "sending")
        expires_at = connection.execute(newest).scalar_one()
        return expires_at is None or (context.store.now(connection) - expires_at).total_seconds() > 1.1
