"""Recover: a plan that changes nothing, then compare-and-sets that a person chose and answers for."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from sendctl import faults
from sendctl.errors import ExitCode, UsageError
from sendctl.passes import control, evidence, planning, recover
from sendctl.states import State
from sendctl.store import doubts
from tests.passes.dying import dead_run
from tests.passes.judge import Judge
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, UNKNOWN, Ground


def doubtful(ground: Ground, people: int = 3, **campaign: Any) -> None:
    ground.enqueue(people, **campaign)
    ground.pass_with(UNKNOWN)


def test_a_plan_says_what_is_where_and_changes_nothing(ground: Ground) -> None:
    ground.enqueue(6)
    run_id, _ = dead_run(ground, "nothing", "begin", "dot", ACCEPTED)
    before = ground.dump()
    made = planning.plan(ground.context, "sale", in_doubt="resend")
    assert ground.dump() == before
    (dead,) = made.dead_runs
    assert (dead.run.id, dead.requeued, dead.recorded, len(dead.in_doubt)) == (run_id, 2, 1, 1)
    assert (made.worst_case_duplicates, made.worst_case_missed) == (1, 0)
    assert made.does_something


@pytest.mark.parametrize(
    ("choice", "states", "outcome", "worst"),
    [
        ("hold", {"in_doubt": 3}, "unknown", (0, 3)),
        ("resend", {"queued": 3}, "abandoned", (3, 0)),
        ("skip", {"failed": 3}, "abandoned", (0, 3)),
    ],
)
def test_the_operators_choice_decides_on_doubt(
    ground: Ground, choice: str, states: dict[str, int], outcome: str, worst: tuple[int, int]
) -> None:
    doubtful(ground)
    made = planning.plan(ground.context, "sale", in_doubt=choice)
    assert (made.worst_case_duplicates, made.worst_case_missed) == worst
    done = ground.recover(in_doubt=choice)
    assert ground.states() == states
    assert {row[0] for row in ground.rows("SELECT outcome FROM attempts")} == {outcome}
    assert (done.resent, done.skipped, done.in_doubt) == (
        3 * (choice == "resend"), 3 * (choice == "skip"), 3 * (choice == "hold"),
    )  # fmt: skip
    assert done.exit_code is (ExitCode.NEEDS_PERSON if choice == "hold" else ExitCode.DONE)


def test_without_a_choice_the_campaigns_policy_holds(ground: Ground) -> None:
    doubtful(ground, campaign='in_doubt = "skip"')
    assert planning.plan(ground.context, "sale").worst_case_missed == 3
    ground.recover()
    assert ground.states() == {"failed": 3}


def test_failed_messages_are_queued_again_only_on_request(ground: Ground) -> None:
    ground.enqueue(2, controls="max_attempts = 1")
    clerk = ground.clerk()
    clerk.turn(ground.done(clerk.turn([], 2), DEFERRED, REFUSED), 0)
    assert ground.recover().retried == 0
    assert ground.recover(failed=True).retried == 2
    assert ground.states() == {"queued": 2}
    assert ground.one("SELECT max(charged_attempts) FROM messages") == 0


def test_who_why_and_how_many_are_in_the_audit(ground: Ground) -> None:
    doubtful(ground)
    ground.context.environ = {"SUDO_USER": "maria"}
    made = planning.plan(ground.context, "sale", in_doubt="resend")
    recover.apply(ground.context, made, reason="the relay was reinstalled")
    (row,) = ground.rows("SELECT login, reason, detail FROM audit WHERE action = 'recover'")
    assert row[0].endswith("(sudo by maria)")
    assert row[1] == "the relay was reinstalled"
    detail = json.loads(row[2])
    assert (detail["resent"], detail["choice"], detail["worst_case_duplicates"]) == (3, "resend", 3)


@pytest.mark.parametrize("expected", [0, 2, 4])
def test_a_wrong_count_is_refused_and_nothing_is_changed(ground: Ground, expected: int) -> None:
    doubtful(ground)
    made = planning.plan(ground.context, "sale", in_doubt="resend")
    before = ground.dump()
    with pytest.raises(UsageError, match=f"--expect {expected}, but 3"):
        recover.apply(ground.context, made, reason="", expected=expected)
    assert ground.dump() == before
    recover.apply(ground.context, made, reason="", expected=3)
    assert ground.states() == {"queued": 3}


def test_a_campaign_that_does_not_exist_is_a_wrong_use(ground: Ground) -> None:
    with pytest.raises(UsageError, match="there is no campaign sale"):
        planning.plan(ground.context, "sale")


def test_doubt_that_arose_after_the_plan_is_not_decided_by_it(ground: Ground) -> None:
    ground.enqueue(4)
    ground.pass_with(UNKNOWN, limit=2)
    made = planning.plan(ground.context, "sale", in_doubt="resend")
    ground.pass_with(UNKNOWN, limit=2)
    assert recover.apply(ground.context, made, reason="").resent == 2
    assert ground.states() == {"queued": 2, "in_doubt": 2}


def test_a_plan_made_for_one_attempt_does_not_decide_on_a_later_one(ground: Ground) -> None:
    """While someone reads the plan, another resends, and the new attempt ends in doubt too."""
    doubtful(ground, 4)
    made = planning.plan(ground.context, "sale", in_doubt="resend")
    ground.recover(in_doubt="resend")
    ground.pass_with(UNKNOWN)
    assert recover.apply(ground.context, made, reason="", expected=4).resent == 0
    assert ground.states() == {"in_doubt": 4}
    assert ground.one("SELECT max(attempts) FROM messages") == 2


@pytest.mark.parametrize("verdict", ["accepted", "absent"])
def test_a_proof_about_one_attempt_never_settles_a_later_one(ground: Ground, verdict: str) -> None:
    """A slow search of the log ends after the message was queued again and its second attempt ended in doubt."""
    doubtful(ground, 1)
    with ground.store.read() as connection:
        (doubt,) = doubts.in_doubt(connection)
    proof = evidence.Evidence()
    getattr(proof, verdict)[doubt.held] = ACCEPTED if verdict == "accepted" else DEFERRED
    ground.recover(in_doubt="resend")
    ground.pass_with(UNKNOWN)
    evidence.record(ground.context, proof)
    # That the first was accepted is known now, so that nobody wants a third; of the second nobody knows it.
    accepted = verdict == "accepted"
    assert (proof.sent, proof.queued) == (int(accepted), 0)
    assert ground.states() == {"sent" if accepted else "in_doubt": 1}
    assert ground.one("SELECT outcome FROM attempts WHERE number = 2") == ("abandoned" if accepted else "unknown")


def test_what_was_given_up_in_doubt_is_not_sent_again_as_if_it_had_failed(ground: Ground) -> None:
    ground.enqueue(3, controls="max_attempts = 1")
    clerk = ground.clerk()
    clerk.turn(ground.done(clerk.turn([], 3), UNKNOWN, UNKNOWN, REFUSED), 0)
    ground.recover(in_doubt="skip")
    made = planning.plan(ground.context, "sale", failed=True)
    assert (len(made.failed_ids), len(made.given_up_ids), made.worst_case_duplicates) == (1, 2, 0)
    assert [failure.count for failure in made.failed] == [1]
    assert recover.apply(ground.context, made, reason="").retried == 1
    assert ground.states() == {"failed": 2, "queued": 1}
    assert (
        ground.rows("SELECT reason FROM recoverable WHERE status = 'failed'")
        == [("given up in doubt: perhaps accepted",)] * 2
    )
    # Only both words together take the risk, and it is counted.
    risky = planning.plan(ground.context, "sale", failed=True, in_doubt="resend")
    assert risky.worst_case_duplicates == 2
    with pytest.raises(UsageError, match="but 2 messages are in doubt"):
        recover.apply(ground.context, risky, reason="", expected=1)
    assert recover.apply(ground.context, risky, reason="", expected=2).retried == 2
    assert ground.states() == {"queued": 3}


def test_nothing_of_a_cancelled_campaign_goes_out_again(ground: Ground) -> None:
    ground.enqueue(4, controls="max_attempts = 1")
    clerk = ground.clerk()
    clerk.turn(ground.done(clerk.turn([], 2), UNKNOWN, DEFERRED), 0)
    dead_run(ground, "begin", "dot")
    control.cancel(ground.context, "sale")
    for wrong in ({"in_doubt": "resend"}, {"failed": True}):
        with pytest.raises(UsageError, match="is cancelled: nothing of it is sent again"):
            planning.plan(ground.context, "sale", **wrong)
    done = ground.recover()
    assert (done.requeued, done.resent, done.in_doubt) == (1, 0, 2)
    assert ground.states() == {"in_doubt": 2, "failed": 1, "cancelled": 1}
    assert done.counts == {state: {"in_doubt": 2, "failed": 1, "cancelled": 1}.get(state, 0) for state in State}
    ground.recover(in_doubt="skip")
    assert ground.states() == {"failed": 3, "cancelled": 1}


def test_a_campaign_with_nothing_left_to_do_is_completed_by_recover(ground: Ground) -> None:
    doubtful(ground)
    ground.recover(in_doubt="skip")
    assert ground.one("SELECT status FROM campaigns") == "completed"


def test_what_was_settled_after_the_plan_stays_settled(ground: Ground) -> None:
    ground.enqueue(2)
    clerk = ground.clerk()
    clerk.turn(ground.done(clerk.turn([], 2), UNKNOWN), 0)
    made = planning.plan(ground.context, "sale", in_doubt="resend")
    ground.recover(in_doubt="skip")
    assert recover.apply(ground.context, made, reason="").resent == 0
    assert ground.states() == {"failed": 2}


def test_another_campaigns_doubt_is_left_alone(ground: Ground) -> None:
    doubtful(ground)
    doubtful(ground, name="other")
    ground.recover(in_doubt="resend")
    assert ground.states() == {"queued": 3}
    assert ground.states("other") == {"in_doubt": 3}


def test_a_run_that_is_alive_elsewhere_is_left_alone_until_its_claim_expires(ground: Ground) -> None:
    ground.enqueue(2)
    dead_run(ground, "nothing", "begin")
    other = ground.other_host()
    made = planning.plan(other.context, "sale", in_doubt="resend")
    assert (made.in_flight, made.expired_claims, made.doubtful) == (2, 0, [])
    recover.apply(other.context, made, reason="")
    assert ground.states() == {"sending": 2}
    ground.clock.forward(hours=1)
    made = planning.plan(other.context, "sale", in_doubt="resend")
    assert (made.in_flight, made.expired_claims, made.worst_case_duplicates) == (0, 2, 2)
    recover.apply(other.context, made, reason="", expected=2)
    assert ground.states() == {"queued": 2}
    other.close()


def test_two_recovers_at_once_decide_once(ground: Ground, judge: Judge) -> None:
    doubtful(ground, 12)
    results: list[recover.Recovered] = []
    barrier = threading.Barrier(3, timeout=60)

    def one() -> None:
        mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
        made = planning.plan(mine.context, "sale", in_doubt="resend")
        barrier.wait()
        results.append(recover.apply(mine.context, made, reason="two on call"))
        mine.close()

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done.resent for done in results) == [0, 0, 12]
    ground.send_due()
    assert len(judge.people()) == len(set(judge.people())) == 12


def test_recover_beside_a_pass_settles_nothing_twice(ground: Ground) -> None:
    """A zombie's acceptance and an operator's resend race for the same message: one of them wins, wholly."""
    ground.enqueue(8)
    clerk = ground.clerk()
    window = clerk.turn([], 8)
    ground.clock.forward(hours=1)
    other = ground.other_host()
    made = planning.plan(other.context, "sale", in_doubt="resend")
    barrier = threading.Barrier(2, timeout=60)

    def resend() -> None:
        barrier.wait()
        recover.apply(other.context, made, reason="")

    thread = threading.Thread(target=resend)
    thread.start()
    barrier.wait()
    clerk.turn(ground.done(window, ACCEPTED), 0)
    thread.join()
    other.close()
    states = ground.states()
    assert sum(states.values()) == 8
    assert set(states) <= {"sent", "queued"}


@pytest.mark.parametrize("point", ["recover.before_commit", "recover.committed"])
def test_a_death_at_the_commit_leaves_all_or_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    doubtful(ground)
    for attribute, value in (("_name", point), ("_action", "raise"), ("_left", 1)):
        monkeypatch.setattr(faults, attribute, value)
    with pytest.raises(faults.InjectedFault):
        ground.recover(in_doubt="resend")
    assert ground.states() == ({"queued": 3} if point == "recover.committed" else {"in_doubt": 3})
    ground.recover(in_doubt="resend")
    assert ground.states() == {"queued": 3}
    assert ground.one("SELECT count(*) FROM attempts WHERE outcome = 'abandoned'") == 3
