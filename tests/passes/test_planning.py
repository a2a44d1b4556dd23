"""A plan sorts what is in flight by what is known of its run, also where files, rows or another command are missing."""

from __future__ import annotations

import pytest

from sendctl.errors import StoreRewound, UsageError
from sendctl.journal import home as homes
from sendctl.journal.home import RunNote
from sendctl.passes import control, planning, recover
from tests.passes.dying import dead_run
from tests.passes.judge import Judge
from tests.store.ground import UNKNOWN, Ground


def test_a_run_of_this_host_that_lives_is_named_and_left_alone(ground: Ground) -> None:
    ground.enqueue(3)
    ground.enqueue(1, name="other")
    clerk = ground.clerk("sale")
    note = RunNote(ground.one("SELECT store_id FROM store"), clerk.run_id, "send-due", homes.boot_id(), 1, "2026")
    with homes.held_lock(ground.context.home, note):
        clerk.turn([], 2)
        made = planning.plan(ground.context, "sale", in_doubt="resend")
        beside = planning.plan(ground.context, "other")
    assert ([run.id for run in made.alive], made.in_flight, made.at_risk) == ([clerk.run_id], 2, 0)
    assert (beside.alive, beside.in_flight) == ([], 0)


def test_a_run_of_this_host_without_its_files_is_treated_like_another_hosts(ground: Ground) -> None:
    ground.enqueue(2)
    run_id, _ = dead_run(ground, "nothing", "dot")
    ground.context.home.lock_path(run_id).unlink()
    made = planning.plan(ground.context, "sale")
    assert ([run.id for run in made.elsewhere], made.in_flight, made.dead_runs) == ([run_id], 2, [])
    ground.clock.forward(hours=1)
    made = planning.plan(ground.context, "sale")
    assert (made.expired_claims, len(made.doubtful), made.in_flight) == (2, 2, 0)


def test_a_run_that_another_command_takes_up_this_moment_is_left_to_it(ground: Ground) -> None:
    """Its lock file is renamed already, and its end is not in what this plan sees."""
    ground.enqueue(2)
    run_id, _ = dead_run(ground, "nothing", "dot")
    with ground.once_after("GROUP BY messages.status", lambda: ground.context.home.confirm(run_id)):
        made = planning.plan(ground.context, "sale")
    assert (made.dead_runs, made.alive, made.elsewhere, made.doubtful) == ([], [], [], [])


def test_without_anything_to_ask_no_proof_is_promised(ground: Ground, judge: Judge) -> None:
    del ground.providers["fallback"]
    ground.enqueue(2)
    dead_run(ground, "dot")
    made = planning.plan(ground.context, "sale")
    assert (made.at_risk, made.unlooked) == (1, 0)


def test_a_cancelled_campaign_is_over(ground: Ground) -> None:
    ground.enqueue(2)
    assert not planning.plan(ground.context, "sale").over
    control.cancel(ground.context, "sale")
    assert planning.plan(ground.context, "sale").over


def test_a_campaign_that_the_backup_lacks_is_to_be_enqueued_again_first(ground: Ground, judge: Judge) -> None:
    before = ground.backup()
    ground.enqueue(2)
    ground.send_due()
    ground.put_back(before)
    with pytest.raises(UsageError, match="there is no campaign sale") as caught:
        planning.plan(ground.context, "sale")
    assert "enqueue its file again first" in caught.value.hint


def test_a_rewind_between_the_plan_and_its_carrying_out_stops_it(ground: Ground, judge: Judge) -> None:
    """The plan did not speak of it: nobody has agreed to what it means."""
    ground.enqueue(3)
    judge.answer = lambda _message: UNKNOWN
    ground.send_due(limit=1)
    before = ground.backup()
    ground.send_due(limit=1)
    made = planning.plan(ground.context, "sale", in_doubt="resend")
    ground.put_back(before)
    with pytest.raises(StoreRewound):
        recover.apply(ground.context, made, reason="")
    assert ground.states() == {"in_doubt": 1, "queued": 2}


def test_only_a_host_that_somebody_knows_can_be_given_up(ground: Ground, judge: Judge) -> None:
    ground.enqueue(2)
    before = ground.backup()
    ground.send_due()
    ground.put_back(before)
    with pytest.raises(UsageError, match="there is no host nowhere to give up"):
        ground.recover(lost_hosts=["nowhere"])
