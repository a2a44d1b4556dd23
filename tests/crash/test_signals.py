"""SIGTERM drains, a second one stops at once; workers outlive their parent only to finish what is in flight."""

from __future__ import annotations

import os
import signal

from sendctl.journal import records
from tests.crash.conftest import NewWorld
from tests.crash.launcher import Command
from tests.crash.world import CONNECTIONS, CONTACTS, World, wait_for

PEOPLE = 60
SLOW_MS = 150  # the server's reply to each dot: long enough for a signal to find messages in flight


def slow_world(new_world: NewWorld, store_url: str) -> World:
    """A window holds more than there are connections, so that some of it is untouched while the first are in flight."""
    return new_world(store_url, contacts=PEOPLE, batch_size=3 * CONNECTIONS, latency_ms=SLOW_MS)


def sending(world: World, workers: int = 1) -> Command:
    """A pass, as soon as the judge has accepted a message on each connection; it answers later."""
    command = world.start("send-due", environ={"SENDCTL_SEND_WORKERS": str(workers)})
    wait_for(lambda: world.accepted().total() >= workers * CONNECTIONS)
    return command


def stopped_in_flight(world: World, first_worker: int) -> bool:
    """Stop the first worker of the run; whether it waits for a reply now. Else it goes on."""
    os.kill(first_worker, signal.SIGSTOP)
    journals = (world.folder / "journal").glob("*.0.journal")
    if any(trace.dotted and trace.outcome is None for path in journals for trace in records.read(path).traces.values()):
        return True
    os.kill(first_worker, signal.SIGCONT)
    return False


def ended_after(command: Command, number: signal.Signals) -> bool:
    """Whether it has ended; if not, it is asked once more."""
    if command.finished() is None:
        command.send(number)
    return command.finished() is not None


def test_terminated_pass_finishes_what_is_in_flight_and_puts_the_rest_back(new_world: NewWorld, store_url: str) -> None:
    world = slow_world(new_world, store_url)
    command = sending(world)
    command.send(signal.SIGTERM)
    ended = command.ended()
    assert ended.code == 75, ended
    counts = world.counts()
    assert 0 < counts["sent"] < PEOPLE, counts
    assert counts["queued"] == PEOPLE - counts["sent"], counts  # nothing in flight, nothing in doubt
    world.assert_sound()
    world.finish()
    world.assert_finished(PEOPLE)
    assert world.counts()["sent"] == PEOPLE


def test_second_signal_stops_at_once(new_world: NewWorld, store_url: str) -> None:
    world = new_world(store_url, script=[{"at": "reply", "do": "silence"}])  # nothing in flight can ever finish
    command = sending(world)
    command.send(signal.SIGTERM)
    assert command.finished() is None, "it waits for what is in flight"
    # Signals in quick succession are one request: a terminal sends Ctrl-C to every process of the group.
    wait_for(lambda: ended_after(command, signal.SIGTERM))
    assert command.ended().code == 75
    assert world.run("reconcile").code == 3
    counts = world.counts()
    assert 0 < counts["in_doubt"] <= CONNECTIONS, counts
    assert counts["queued"] == CONTACTS - counts["in_doubt"]
    world.assert_sound()


def test_signal_to_the_parent_drains_all_workers(new_world: NewWorld, store_url: str) -> None:
    world = slow_world(new_world, store_url)
    command = sending(world, workers=3)
    command.send(signal.SIGTERM)
    ended = command.ended()
    assert ended.code == 75, ended
    counts = world.counts()
    assert counts["sent"] + counts["queued"] == PEOPLE, counts
    world.assert_sound()
    world.finish()
    assert world.counts()["sent"] == PEOPLE
    world.assert_finished(PEOPLE)


def test_workers_whose_parent_was_killed_stop_and_their_outcomes_are_kept(new_world: NewWorld, store_url: str) -> None:
    world = slow_world(new_world, store_url)
    command = sending(world, workers=3)
    workers = command.workers()
    assert len(workers) == 3
    command.send(signal.SIGKILL)
    assert command.ended().code == -signal.SIGKILL
    # While a worker lives the run is alive: nobody takes its messages up.
    assert world.run("reconcile").code in (0, 3)
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers))
    counts = world.counts()
    assert counts["sent"] + counts["queued"] == PEOPLE, counts
    assert counts["queued"], "they went on without a parent"
    world.assert_sound()
    world.finish()
    world.assert_finished(PEOPLE)
    assert world.counts()["sent"] == PEOPLE


def test_other_workers_finish_when_one_is_killed(new_world: NewWorld, store_url: str) -> None:
    world = slow_world(new_world, store_url)
    command = sending(world, workers=3)
    victim = command.workers()[0]
    wait_for(lambda: stopped_in_flight(world, victim))
    os.kill(victim, signal.SIGKILL)
    ended = command.ended()
    assert ended.code == 75, ended
    counts = world.counts()
    assert 0 < counts["sending"] <= 3 * CONNECTIONS, counts
    assert counts["sending"] + counts["sent"] == PEOPLE, counts
    world.assert_sound()
    world.finish()
    world.assert_finished(PEOPLE)
    (death,) = world.deaths()
    assert 0 < death.in_doubt <= CONNECTIONS
