"""send-due is killed, or fails, at every named point: nobody gets a second message and nobody is lost."""

from __future__ import annotations

import signal

import pytest

from sendctl.faults import FAILPOINTS
from tests.crash.conftest import NewWorld
from tests.crash.launcher import Finished
from tests.crash.world import BATCH_SIZE, CAMPAIGN, CONNECTIONS, Death, World

OTHERS = (
    "import.", "lookup.", "proof.", "recover.", "enqueue.", "ingest.", "pull.", "cancel.", "reschedule.", "rotate.",
)  # fmt: skip
POINTS = [name for name in FAILPOINTS if not name.startswith(OTHERS)]
ONCE_A_RUN = ("run.recorded", "run.before_finish", "run.finished")  # passed by the parent, whatever the workers do
IN_THE_NETWORK = ("journal.begun", "provider.before_dot", "journal.dotted", "provider.replied")
BESIDE_THE_NETWORK = ("settle.before_commit", "settle.committed")  # a thread settles while the next window is sent
WORKERS = 3

# What the import of the first killed pass must find of its one window: (recorded, queued again, least in doubt). What
# is not named is in doubt: other connections may have sent their dot by the time of the first reply.
FIRST_DEATH: dict[str, tuple[int, int, int]] = {
    "run.recorded": (0, 0, 0),
    "claim.before_commit": (0, 0, 0),
    "claim.committed": (0, BATCH_SIZE, 0),
    "journal.begun": (0, BATCH_SIZE, 0),
    "provider.before_dot": (0, BATCH_SIZE, 0),
    "journal.dotted": (0, BATCH_SIZE - 1, 1),
    "provider.replied": (0, 0, 1),
    "journal.outcome": (1, 0, 0),
    "settle.before_commit": (BATCH_SIZE, 0, 0),
    "settle.committed": (0, BATCH_SIZE, 0),
    "run.before_finish": (0, 0, 0),
}
IN_FLIGHT_AT_DEATH = {"run.recorded": 0, "claim.before_commit": 0, "run.before_finish": 0}


def world_for(new_world: NewWorld, store_url: str, point: str) -> World:
    # Cooling down makes turns that record nothing: only those pass claim.* a second time in one run.
    return new_world(store_url, controls='cooldown = "1s"' if point.startswith("claim.") else "")


def broken_pass(world: World, point: str, action: str, passage: int, *, workers: int = 1) -> Finished:
    """One pass with an armed failpoint. A pass that goes on to its end is a short one, so that several fit."""
    short = action == "raise" or point in ONCE_A_RUN
    limit = ("--limit", str(WORKERS * BATCH_SIZE)) if short else ()
    ran = world.run(
        "send-due", *limit, failpoint=f"{point}:{action}:{passage}", environ={"SENDCTL_SEND_WORKERS": str(workers)}
    )
    world.assert_sound()
    return ran


def assert_as_documented(point: str, deaths: list[Death]) -> None:
    """What each phase proves: before the dot nothing is in doubt, after it something is, an outcome is recorded."""
    assert all(death.in_doubt <= CONNECTIONS for death in deaths), deaths
    recorded, requeued, in_doubt = FIRST_DEATH[point]
    first = deaths[0]
    assert (first.recorded, first.in_doubt >= in_doubt, first.requeued >= requeued) == (recorded, True, True), first
    assert first.recorded + first.requeued + first.in_doubt == IN_FLIGHT_AT_DEATH.get(point, BATCH_SIZE), first
    if point in ("journal.dotted", "provider.replied"):
        assert all(death.in_doubt >= 1 for death in deaths), deaths
    elif point in BESIDE_THE_NETWORK:  # but for the first: no message of a next window had been claimed
        assert first.in_doubt == 0, first
    elif point not in ("journal.begun", "provider.before_dot", "journal.outcome"):  # no other connection is at work
        assert all(death.in_doubt == 0 for death in deaths), deaths


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_failing_passes_repeat_nobody_and_lose_nobody(
    new_world: NewWorld, store_url: str, point: str
) -> None:
    world = world_for(new_world, store_url, point)
    passages = (1,) if point in ONCE_A_RUN else (1, 2, 3)
    for passage in passages:
        killed = broken_pass(world, point, "kill", passage)
        assert killed.code == -signal.SIGKILL, killed
    killed = broken_pass(world, point, "kill", 1, workers=WORKERS)  # each worker, or the parent
    assert killed.code == (-signal.SIGKILL if point in ONCE_A_RUN else 75), killed
    raised = broken_pass(world, point, "raise", 1)
    # A defect in a provider concerns one message; anywhere else it ends the pass.
    assert raised.code in ((0, 3) if point in IN_THE_NETWORK else (1,)), raised
    assert world.run("tune", CAMPAIGN, "--cooldown", "0s").code == 0
    world.finish()
    world.assert_finished()
    deaths = world.deaths()
    if point == "run.finished":
        assert deaths == []  # the store has the run's end: nothing died
    else:
        assert len(deaths) == len(passages) + 1 + (raised.code == 1)
        assert_as_documented(point, deaths[: len(passages)])
        assert all(death.in_doubt <= WORKERS * CONNECTIONS for death in deaths), deaths
    if point in IN_THE_NETWORK:
        world.assert_settled_by_choice()
