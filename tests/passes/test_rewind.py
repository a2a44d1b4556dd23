"""A restored backup: sending stops until the journals have said what the store forgot, and nobody is sent twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from shutil import copytree, rmtree

import pytest

from sendctl.errors import ExitCode, StoreRewound, UsageError
from sendctl.passes import planning, reconcile
from sendctl.passes.startup import take_over
from sendctl.providers.base import Outcome, Outgoing
from sendctl.store import meta
from tests.passes.judge import Judge, accept, backed_up_in_flight
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, STEP, UNKNOWN, Backup, Ground

PEOPLE = ["p00001", "p00002", "p00003", "p00004", "p00005"]


def refuses(ground: Ground) -> None:
    with pytest.raises(StoreRewound) as caught:
        ground.send_due()
    assert caught.value.exit_code is ExitCode.REWOUND


def test_a_rewound_store_sends_nothing_until_its_journals_are_replayed(ground: Ground, judge: Judge) -> None:
    ground.enqueue(5)
    before = ground.backup()
    ground.send_due()
    assert judge.people() == PEOPLE
    ground.put_back(before)
    assert ground.states() == {"queued": 5}
    for _ in range(2):
        refuses(ground)
        with pytest.raises(StoreRewound):
            reconcile.run(ground.context)
    assert planning.plan(ground.context, "sale").rewound
    done = ground.recover()
    assert done.replayed is not None
    assert (done.replayed.sent, done.replayed.contradicted) == (5, [])
    assert ground.states() == {"sent": 5}
    ground.send_due()
    assert judge.people() == PEOPLE


@pytest.mark.parametrize("lost", ["put back", "gone"])
def test_a_store_put_back_together_with_its_journals_is_noticed_by_the_witness(
    ground: Ground, judge: Judge, lost: str
) -> None:
    ground.enqueue(5)
    ground.send_due(limit=2)
    before = ground.backup()
    journals = ground.folder / ground.journal
    copytree(journals, ground.folder / "old journals")
    ground.send_due(limit=2)
    ground.put_back(before)
    rmtree(journals)
    if lost == "put back":
        copytree(ground.folder / "old journals", journals)
    ground.close()
    refuses(ground)
    assert planning.plan(ground.context, "sale").worst_case_duplicates == 3
    with pytest.raises(StoreRewound, match="are lost or were put back too") as caught:
        ground.recover()
    assert f"--lost-host {ground.context.hostname}" in caught.value.hint
    refuses(ground)
    assert len(judge.people()) == 4
    # Someone takes the risk: it goes on with what is known.
    with ground.store.read() as connection:
        hosts = sorted(meta.host_names(connection))
    assert len(hosts) == (1 if lost == "put back" else 2)  # a new folder makes a new host
    if lost == "gone":
        with pytest.raises(UsageError, match=r"2 hosts are called .*\(this one\)"):
            ground.recover(lost_hosts=[ground.context.hostname])
    ground.recover(lost_hosts=hosts)
    ground.send_due()
    assert len(judge.people()) == 7


def test_a_plan_changes_nothing(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3)
    before = ground.backup()
    ground.send_due()
    ground.put_back(before)
    for _ in range(2):
        same = ground.dump()
        assert planning.plan(ground.context, "sale").rewound
        assert ground.dump() == same
        with pytest.raises(StoreRewound):
            take_over(ground.context)


def test_a_backup_made_while_a_run_was_sending_is_settled_from_its_journal(ground: Ground, judge: Judge) -> None:
    ground.enqueue(5, controls="batch_size = 2")
    taken: list[Backup] = []

    def answer(message: Outgoing) -> Outcome:
        if len(judge.delivered) == 2:
            taken.append(ground.backup())  # the second window is in flight, the third is not yet claimed
        return ACCEPTED

    judge.answer = answer
    ground.send_due()
    ground.put_back(taken[0])
    assert ground.states() == {"sent": 2, "sending": 2, "queued": 1}
    refuses(ground)
    ground.recover()
    assert ground.states() == {"sent": 5}
    ground.send_due()
    assert judge.people() == PEOPLE


def test_a_dead_run_that_claimed_more_than_the_backup_knows_is_a_rewind(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3, controls="batch_size = 1")
    taken: list[Backup] = []

    def answer(_message: Outgoing) -> Outcome:
        if len(judge.delivered) == 1:
            taken.append(ground.backup())
        if len(judge.delivered) == 2:
            raise KeyboardInterrupt  # the third message's last byte has left, no reply was seen
        return ACCEPTED

    judge.answer = answer
    with pytest.raises(KeyboardInterrupt):
        ground.send_due()
    ground.put_back(taken[0])
    assert ground.states() == {"sent": 1, "sending": 1, "queued": 1}
    judge.answer = accept
    for _ in range(2):
        refuses(ground)
    ground.recover()
    assert ground.states() == {"sent": 2, "in_doubt": 1}
    ground.send_due()
    assert judge.people() == PEOPLE[:2]


def test_doubt_that_the_backup_forgot_is_doubt_again_and_not_sent_again(ground: Ground, judge: Judge) -> None:
    ground.enqueue(2)
    before = ground.backup()
    judge.answer = lambda _message: UNKNOWN
    ground.send_due()
    ground.put_back(before)
    refuses(ground)
    ground.recover()
    assert ground.states() == {"in_doubt": 2}
    judge.answer = accept
    ground.send_due()
    assert judge.people() == ["p00001", "p00002"]


def test_what_a_replay_puts_back_says_why_and_keeps_no_error_of_an_earlier_attempt(
    ground: Ground, judge: Judge
) -> None:
    ground.enqueue(2)
    judge.answer = lambda _message: DEFERRED
    ground.send_due()
    ground.clock.forward(hours=1)
    before = ground.backup()
    judge.answer = lambda message: UNKNOWN if message.recipient.startswith("p00001") else ACCEPTED
    ground.send_due()
    ground.put_back(before)
    assert ground.rows("SELECT DISTINCT last_error, error_class FROM messages") == [("later", "rcpt")]
    refuses(ground)
    ground.recover()
    told = ground.rows("SELECT status, last_error, error_class FROM messages ORDER BY recipient")
    assert [tuple(row) for row in told] == [("in_doubt", "silence", None), ("sent", None, None)]


def test_an_acceptance_after_a_retry_that_the_backup_saw_in_flight_is_not_lost(ground: Ground, judge: Judge) -> None:
    """In the backup attempt 1 is in flight; it was deferred, and attempt 2 of a later run was accepted."""
    ground.enqueue(1)
    taken = backed_up_in_flight(ground, judge)
    ground.send_due()
    ground.clock.forward(hours=1)
    ground.send_due()
    assert judge.people() == ["p00001"]
    ground.put_back(taken[0])
    refuses(ground)
    ground.recover()
    ground.clock.forward(hours=1)
    ground.send_due()
    assert judge.people() == ["p00001"]
    assert ground.states() == {"sent": 1}


def test_a_later_attempt_on_another_host_is_not_lost_while_the_first_is_in_flight_in_the_backup(
    ground: Ground, judge: Judge
) -> None:
    ground.enqueue(1)
    other = ground.other_host()
    taken = backed_up_in_flight(ground, judge)
    ground.send_due()
    ground.clock.forward(hours=1)
    other.send_due()
    ground.put_back(taken[0])
    refuses(other)
    other.recover()  # knows that it was accepted, and cannot settle what host A has in flight
    refuses(ground)
    ground.recover()  # knows that A's own attempt was deferred
    assert ground.states() == {"sent": 1}
    ground.clock.forward(hours=1)
    ground.send_due()
    assert judge.people() == ["p00001"]
    assert ground.states() == {"sent": 1}
    other.close()


def test_a_failure_in_the_backup_does_not_hide_a_later_doubt(ground: Ground, judge: Judge) -> None:
    """Failed for a passing cause, backup, tried again after a day with no reply, backup put back."""
    ground.enqueue(1, controls="max_attempts = 1")
    judge.answer = lambda _message: DEFERRED
    ground.send_due()
    ground.clock.forward(days=2)
    before = ground.backup()
    reconcile.run(ground.context)
    judge.answer = lambda _message: UNKNOWN
    ground.send_due()
    assert judge.people() == ["p00001"]
    ground.put_back(before)
    refuses(ground)
    ground.recover()
    judge.answer = accept
    reconcile.run(ground.context)
    ground.send_due()
    assert judge.people() == ["p00001"]
    assert ground.states() == {"in_doubt": 1}


def test_messages_that_the_backup_does_not_have_are_remembered_and_never_sent_again(
    ground: Ground, judge: Judge
) -> None:
    ground.enqueue(1, name="other", at=ground.clock.now.replace(year=2027))
    before = ground.backup()
    ground.enqueue(5, steps=(STEP, DRIP))
    ground.send_due()
    ground.put_back(before)
    refuses(ground)
    done = ground.recover("other")
    assert done.replayed is not None
    assert done.replayed.remembered == 5
    ground.clock.forward(seconds=1)
    ground.enqueue(6, steps=(STEP, DRIP))
    ground.send_due()
    assert judge.people() == [*PEOPLE, "p00006"]
    assert ground.states() == {"sent": 6, "queued": 6}
    assert ground.one("SELECT count(*) FROM attempts WHERE evidence = 'journal'") == 5
    assert ground.one("SELECT count(*) FROM replayed_keys") == 0


def test_an_operator_can_decide_on_remembered_doubt(ground: Ground, judge: Judge) -> None:
    ground.enqueue(1, name="other", at=ground.clock.now.replace(year=2027))
    before = ground.backup()
    ground.enqueue(1)
    judge.answer = lambda _message: UNKNOWN
    ground.send_due()
    ground.put_back(before)
    refuses(ground)
    ground.recover("other")
    ground.enqueue(1)
    judge.answer = accept
    ground.send_due()
    assert ground.states() == {"in_doubt": 1}
    assert ground.recover(in_doubt="resend").resent == 1
    ground.send_due()
    assert ground.states() == {"sent": 1}
    assert judge.people() == ["p00001", "p00001"]  # the operator's own choice


def test_enqueueing_before_the_replay_is_safe_too(ground: Ground, judge: Judge) -> None:
    before = ground.backup()
    ground.enqueue(5)
    ground.send_due()
    ground.put_back(before)
    ground.enqueue(5)
    refuses(ground)
    ground.recover()
    assert ground.states() == {"sent": 5}
    ground.send_due()
    assert judge.people() == PEOPLE


def test_both_steps_of_a_sequence_come_back_and_the_next_is_planned_once(ground: Ground, judge: Judge) -> None:
    ground.clock.now = datetime.now(UTC)  # journals carry the host's own time
    steps = (STEP, DRIP, DRIP.replace("reminder", "last"))
    ground.enqueue(2, steps=steps)
    before = ground.backup()
    ground.send_due()
    ground.clock.forward(days=4)
    ground.send_due()
    assert len(judge.delivered) == 4
    ground.put_back(before)
    refuses(ground)
    ground.recover()
    assert ground.states() == {"sent": 4, "queued": 2}
    ground.clock.forward(days=30)
    ground.send_due()
    assert len(judge.delivered) == 6
    assert len({message.key for message in judge.delivered}) == 6


def test_replaying_twice_changes_nothing_more(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3)
    before = ground.backup()
    ground.send_due()
    ground.put_back(before)
    refuses(ground)
    ground.recover()
    ledger = {name: rows for name, rows in ground.dump().items() if name in ("messages", "attempts", "enrollments")}
    ground.recover()
    again = ground.dump()
    assert {name: again[name] for name in ledger} == ledger


def test_a_second_rewind_is_found_too(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3)
    before = ground.backup()
    ground.send_due(limit=1)
    for _ in range(2):
        ground.put_back(before)
        refuses(ground)
        ground.recover()
        ground.send_due(limit=1)
    assert judge.people() == ["p00001", "p00002", "p00003"]


def test_every_host_replays_before_any_sends(ground: Ground, judge: Judge) -> None:
    ground.enqueue(6)
    other = ground.other_host()
    take_over(other.context)
    before = ground.backup()
    ground.send_due(limit=2)
    other.send_due(limit=2)
    ground.put_back(before)
    refuses(ground)
    refuses(other)
    assert ground.recover().waiting_for_hosts
    refuses(ground)
    refuses(other)
    assert not other.recover().waiting_for_hosts
    assert ground.states() == {"sent": 4, "queued": 2}
    for host in (ground, other):
        host.send_due()
    assert judge.people() == [*PEOPLE, "p00006"]
    other.close()


def test_a_run_that_goes_on_while_the_store_is_rewound_stops(ground: Ground, judge: Judge) -> None:
    ground.enqueue(5, controls="batch_size = 1")
    ground.send_due(limit=1)
    before = ground.backup()

    def answer(_message: Outgoing) -> Outcome:
        if len(judge.delivered) == 2:
            ground.put_back(before)
            with pytest.raises(StoreRewound):  # another pass on this host notices
                other.send_due()
        return ACCEPTED

    other = replace(ground, _context=None)
    judge.answer = answer
    report = ground.send_due()
    assert isinstance(report.failure, StoreRewound)
    assert report.exit_code is ExitCode.REWOUND
    assert len(judge.delivered) == 3
    judge.answer = accept
    refuses(ground)
    ground.recover()
    ground.send_due()
    assert judge.people() == PEOPLE
    other.close()
