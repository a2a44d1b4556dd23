"""What becomes of a dead run's messages: exactly what its journal proves, and doubt where it proves nothing."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from sendctl.errors import StoppedEarly, StoreRewound
from sendctl.journal import home as homes
from sendctl.journal.home import RunNote
from sendctl.journal.records import Trace, encode
from sendctl.passes import planning
from sendctl.passes.deciding import Desk
from sendctl.passes.importing import expire_foreign, import_dead_runs, run_forgotten, settle_late, verdict
from sendctl.passes.startup import take_over
from sendctl.providers.base import Outcome, Phase, Scope
from sendctl.states import AttemptOutcome
from sendctl.store import runs
from tests.passes.dying import dead_run, journal_of
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, REFUSED, STEP, UNKNOWN, Ground

ALL = ("nothing", "begin", "dot", ACCEPTED, REFUSED, DEFERRED, UNKNOWN)


def fates(ground: Ground) -> list[str]:
    """States by the order of claiming."""
    return [row[0] for row in ground.rows("SELECT status FROM messages ORDER BY id")]


@pytest.mark.parametrize("proves_absence", [True, False], ids=["same boot", "rebooted"])
@pytest.mark.parametrize("dotted", [True, False])
@pytest.mark.parametrize("outcome", [ACCEPTED, REFUSED, DEFERRED, None], ids=lambda o: o.kind if o else "no outcome")
def test_a_verdict_is_what_the_trace_proves(outcome: Outcome | None, dotted: bool, proves_absence: bool) -> None:
    trace = Trace(1, 1, "claim", "key", "primary", 0.0, dotted=dotted, outcome=outcome)
    found, evidence = verdict(trace, proves_absence=proves_absence)
    if outcome is not None:
        assert (found, evidence) == (outcome, "journal")
    elif dotted or not proves_absence:
        assert found.kind is AttemptOutcome.UNKNOWN
    else:
        assert (found.kind, found.phase) == (AttemptOutcome.UNTOUCHED, Phase.BEGUN)


def test_no_trace_means_untouched_only_where_the_journal_proves_absence() -> None:
    assert verdict(None, proves_absence=True)[0].kind is AttemptOutcome.UNTOUCHED
    found, evidence = verdict(None, proves_absence=False)
    assert (found.kind, evidence) == (AttemptOutcome.UNKNOWN, "dead_run")


def test_each_message_goes_where_the_journal_proves_it_belongs(ground: Ground) -> None:
    ground.enqueue(7)
    run_id, _ = dead_run(ground, *ALL)
    imported = take_over(ground.context)
    assert imported.runs == [run_id]
    assert fates(ground) == ["queued", "queued", "in_doubt", "sent", "failed", "queued", "in_doubt"]
    assert (imported.recorded, imported.requeued, imported.in_doubt) == (3, 2, 2)
    assert ground.one("SELECT result FROM runs") == "died"
    assert ground.context.home.pending() == []


def test_after_a_reboot_silence_proves_nothing_and_words_still_do(ground: Ground) -> None:
    ground.enqueue(7)
    dead_run(ground, *ALL, boot_id="before-the-reboot")
    take_over(ground.context)
    assert fates(ground) == ["in_doubt", "in_doubt", "in_doubt", "sent", "failed", "queued", "in_doubt"]


def test_without_its_journal_everything_of_a_run_is_in_doubt(ground: Ground) -> None:
    ground.enqueue(3)
    run_id, _ = dead_run(ground, "nothing", "begin", ACCEPTED)
    journal_of(ground, run_id).unlink()
    take_over(ground.context)
    assert ground.states() == {"in_doubt": 3}
    assert {row[0] for row in ground.rows("SELECT evidence FROM attempts")} == {"dead_run"}


def test_a_journal_without_a_whole_header_proves_no_absence(ground: Ground) -> None:
    ground.enqueue(1)
    run_id, _ = dead_run(ground, "nothing")
    path = journal_of(ground, run_id)
    path.write_bytes(path.read_bytes()[:-1])
    take_over(ground.context)
    assert ground.states() == {"in_doubt": 1}


@pytest.mark.parametrize("damage", ["a flipped byte", "cut after the header", "no zeros behind"])
def test_a_damaged_journal_proves_no_absence(ground: Ground, damage: str) -> None:
    """All were accepted; a record less must not say that one was not."""
    ground.enqueue(3)
    run_id, _ = dead_run(ground, "dot", "dot", "dot")
    path = journal_of(ground, run_id)
    lines = path.read_bytes().removesuffix(encode(["e"])).splitlines(keepends=True)
    if damage == "a flipped byte":
        lines[1] = lines[1].replace(b"claim", b"clbim") if b"claim" in lines[1] else b"x" + lines[1][1:]
        lines.append(b"\0" * 4096)
    elif damage == "cut after the header":
        del lines[1:]
    path.write_bytes(b"".join(lines))
    take_over(ground.context)
    assert ground.states() == {"in_doubt": 3}


def test_importing_again_is_harmless(ground: Ground) -> None:
    ground.enqueue(4)
    run_id, _ = dead_run(ground, "begin", "dot", ACCEPTED, REFUSED)
    take_over(ground.context)
    before = ground.dump()
    take_over(ground.context)
    home = ground.context.home
    home.done_path(run_id).rename(home.lock_path(run_id))  # as after a death between commit and rename
    again = take_over(ground.context)
    assert again.runs == []
    ledger = ("messages", "attempts", "enrollments", "runs")
    after = ground.dump()
    assert {name: after[name] for name in ledger} == {name: before[name] for name in ledger}


def seize_soon(ground: Ground, run_id: str) -> None:
    with ground.store.write() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        runs.seize(connection, run_id)


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_run_is_not_ended_while_a_commit_of_it_is_under_way(ground: Ground) -> None:
    """Its process may be gone and its claim yet to come: it would be imported without, and end in doubt."""
    ground.enqueue(1)
    clerk = ground.clerk()
    with ground.store.write() as claiming:
        assert runs.hold_open(claiming, clerk.run_id)
        with pytest.raises(StoppedEarly, match="busy"):
            seize_soon(ground, clerk.run_id)
        with ground.store.write() as another_worker:
            assert runs.hold_open(another_worker, clerk.run_id)
            runs.beat(another_worker, clerk.run_id, ground.clock.now)
    with ground.store.write() as importing:
        assert runs.seize(importing, clerk.run_id) is not None
        runs.finish(importing, clerk.run_id, "died", {}, ground.clock.now)
    with pytest.raises(StoreRewound, match="does not know"):
        clerk.turn([], 1)


def test_two_importers_at_once_do_it_once(ground: Ground) -> None:
    ground.enqueue(40)
    take_over(ground.context)
    for _ in range(10):
        dead_run(ground, "begin", "dot", ACCEPTED, REFUSED)
    found: list[list[str]] = []
    barrier = threading.Barrier(3, timeout=60)

    def one() -> None:
        mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
        _ = mine.store
        barrier.wait()
        found.append(import_dead_runs(mine.context).runs)
        mine.close()

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    imported = [run_id for runs in found for run_id in runs]
    assert len(imported) == len(set(imported)) == 10
    assert ground.one("SELECT count(*) FROM runs WHERE result = 'died'") == 10
    assert ground.states() == {"queued": 10, "in_doubt": 10, "sent": 10, "failed": 10}


def test_a_live_run_is_left_alone(ground: Ground) -> None:
    ground.enqueue(1)
    clerk = ground.clerk(run_id="alive")
    clerk.turn([], 1)
    store_id = ground.one("SELECT store_id FROM store")
    with homes.held_lock(ground.context.home, RunNote(store_id, "alive", "send-due", homes.boot_id(), 1, "2026")):
        assert import_dead_runs(ground.context).runs == []
        ground.clock.forward(days=30)
        assert expire_foreign(ground.context) == 0  # however long it takes: its lock says that it lives
    assert ground.states() == {"sending": 1}


def test_runs_of_another_store_are_ignored(ground: Ground) -> None:
    home = ground.context.home
    with homes.held_lock(home, RunNote("another-store", "r1", "send-due", homes.boot_id(), 1, "2026")):
        pass
    assert take_over(ground.context).runs == []
    assert home.pending() == ["r1"]


def test_a_run_of_another_store_that_has_ended_here_is_no_rewind_of_this_one(ground: Ground) -> None:
    home = ground.context.home
    with homes.held_lock(home, RunNote("another-store", "r1", "send-due", homes.boot_id(), 1, "2026")):
        pass
    home.confirm("r1")
    assert take_over(ground.context).rewound == ""


def test_a_dead_run_that_the_store_does_not_know_is_a_rewind(ground: Ground) -> None:
    """A backup from after the host's last pass began: only the journal tells."""
    ground.enqueue(2)
    ground.clerk()
    before = ground.backup()
    run_id, _ = dead_run(ground, "dot")
    ground.put_back(before)
    with pytest.raises(StoreRewound, match=f"run {run_id} sent 1 messages and the store does not know it"):
        take_over(ground.context)


def test_an_earlier_attempt_that_another_run_made_is_left_alone(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(DEFERRED)
    ground.clock.forward(hours=1)
    dead_run(ground, ACCEPTED)
    assert take_over(ground.context).recorded == 1
    attempts = ground.rows("SELECT number, outcome, evidence FROM attempts ORDER BY number")
    assert [tuple(row) for row in attempts] == [(1, "deferred", "reply"), (2, "accepted", "journal")]


BROKEN_OFF = Outcome(AttemptOutcome.DEFERRED, Phase.BEGUN, Scope.PROVIDER, text="dropped", error_class="dropped")


@pytest.mark.parametrize("attempts", [1, 3], ids=["the last attempt", "more to come"])
def test_a_plan_counts_what_its_import_counts_also_of_an_outcome_before_the_last_byte(
    ground: Ground, attempts: int
) -> None:
    ground.enqueue(3, controls=f"max_attempts = {attempts}")
    dead_run(ground, BROKEN_OFF, "begin", ACCEPTED)
    (dead,) = planning.plan(ground.context, "sale").dead_runs
    imported = take_over(ground.context)
    assert (imported.recorded, imported.requeued, imported.in_doubt) == (2, 1, 0)
    assert (dead.recorded, dead.requeued, dead.in_doubt) == (2, 1, [])
    assert ground.states() == ({"failed": 1, "queued": 1, "sent": 1} if attempts == 1 else {"queued": 2, "sent": 1})


def test_a_run_that_died_before_it_was_recorded_leaves_nothing(ground: Ground) -> None:
    home = ground.context.home
    store_id = ground.one("SELECT store_id FROM store")
    with homes.held_lock(home, RunNote(store_id, "r1", "send-due", homes.boot_id(), 1, "2026")):
        pass
    assert not take_over(ground.context).rewound
    assert home.pending() == []
    assert home.confirmed() == []


def test_an_outcome_in_the_journal_moves_the_enrollment_on(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    dead_run(ground, ACCEPTED)
    take_over(ground.context)
    assert ground.states() == {"sent": 1, "queued": 1}
    assert ground.one("SELECT current_step_index FROM enrollments") == 1


@pytest.mark.parametrize("outcome", [ACCEPTED, DEFERRED], ids=lambda o: str(o.kind))
def test_a_journal_that_turns_up_late_settles_the_doubt(ground: Ground, outcome: Outcome) -> None:
    """Another host gave the claim up; the host that had it is back and imports its own journal."""
    ground.enqueue(1)
    dead_run(ground, outcome)
    other = ground.other_host()
    ground.clock.forward(hours=1)
    assert expire_foreign(other.context) == 1
    assert ground.states() == {"in_doubt": 1}
    assert ground.one("SELECT evidence FROM attempts") == "claim_expired"
    assert take_over(ground.context).late == 1
    assert ground.states() == {"sent": 1} if outcome is ACCEPTED else {"queued": 1}
    other.close()


def test_a_claim_of_another_host_is_given_up_after_its_expiry_and_never_queued(ground: Ground) -> None:
    ground.enqueue(2)
    dead_run(ground, "nothing", "begin")
    other = ground.other_host()
    take_over(other.context)
    ground.clock.forward(seconds=ground.send.claim_s + ground.send.deadline_s - 5)
    assert expire_foreign(other.context) == 0
    ground.clock.forward(seconds=10)
    assert expire_foreign(other.context) == 2
    assert ground.states() == {"in_doubt": 2}
    other.close()


def test_a_journal_of_one_claim_never_settles_the_attempt_of_another(ground: Ground) -> None:
    """A rewound store gives the same number again, under a claim of its own: what became of the first is another's."""
    ground.enqueue(1)
    (item,) = ground.pass_with(UNKNOWN).messages
    assert ground.states() == {"in_doubt": 1}
    place = (item.due.id, item.number)
    trace = Trace(*place, "a claim before the rewind", item.due.key, item.provider, 0.0, dotted=True, outcome=ACCEPTED)
    for known, settled in ((trace, 0), (replace(trace, outcome=None), 0), (replace(trace, claim_id=item.claim_id), 1)):
        desk = Desk(ground.context)
        with desk.transaction() as connection:
            assert settle_late(desk, connection, {place: known}) == settled
    assert ground.states() == {"sent": 1}


def test_a_store_that_has_forgotten_what_a_living_run_has_begun_is_told_by_its_journal(ground: Ground) -> None:
    ground.enqueue(2)
    before = ground.backup()
    run_id, _ = dead_run(ground, "dot")
    assert run_forgotten(ground.context, run_id) == ""
    ground.put_back(before)
    assert run_forgotten(ground.context, run_id) == f"run {run_id} sent 1 messages and the store does not know it"
    assert run_forgotten(ground.context, "a run that has no note") == ""
