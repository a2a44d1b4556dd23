"""What recover says and does about a store that was put back: its numbers, its proofs, the bytes of a second copy."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from sendctl.errors import ExitCode, StoreRewound
from sendctl.passes import planning, reconcile, recover, status
from sendctl.passes.advice import advise
from sendctl.providers.base import Outcome, Outgoing
from sendctl.rendering.names import message_id
from sendctl.settings import ReconcileSettings
from sendctl.store import campaigns
from tests.evidence.writing import DOTTED_AT, NOW, active, client, framed, named, write
from tests.passes.dying import dead_run
from tests.passes.judge import Judge, accept
from tests.store.ground import ACCEPTED, DRIP, STEP, UNKNOWN, Backup, Ground


def with_an_mta(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both providers hand over to this host's own Postfix; the time is when the log of `framed` matters."""
    monkeypatch.setattr("sendctl.journal.writer.time", SimpleNamespace(time=DOTTED_AT.timestamp))
    ground.close()
    ground.reconcile = ReconcileSettings(
        mta="postfix", mta_logs=(str(ground.folder / "mail.log"),), mta_providers=("primary", "fallback")
    )
    ground.clock.now = DOTTED_AT


def lost_after_a_doubt(ground: Ground, judge: Judge, before: Backup) -> None:
    """Somebody got it or not, nobody knows; then the store is put back to before."""
    judge.answer = lambda _message: UNKNOWN
    ground.send_due()
    judge.answer = accept
    ground.put_back(before)


@pytest.mark.parametrize("logged", [True, False], ids=["in the log", "not in the log"])
def test_doubt_that_was_put_back_is_settled_by_the_log_like_any_other(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch, logged: bool
) -> None:
    with_an_mta(ground, monkeypatch)
    ground.enqueue(1)
    lost_after_a_doubt(ground, judge, ground.backup())
    (sent,) = judge.delivered
    with ground.store.read() as connection:
        name = message_id(campaigns.definition_of(connection, 1, 1), sent.key)
    entry = [client("A1"), named("A1", key=name.strip("<>")), active("A1")] if logged else []
    write(ground.folder / "mail.log", framed(entry))
    ground.clock.now = NOW
    ground.recover()
    assert ground.states() == ({"sent": 1} if logged else {"queued": 1})


def test_what_was_sent_with_contents_that_the_backup_lacks_is_never_proven_absent(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Message-ID may have been another. Neither reconcile nor recover stumble over it."""
    with_an_mta(ground, monkeypatch)
    ground.enqueue(1)
    before = ground.backup()
    ground.enqueue(campaign='reply_to = "help@shop.example"')
    lost_after_a_doubt(ground, judge, before)
    write(ground.folder / "mail.log", framed([]))
    ground.clock.now = NOW
    assert ground.recover().exit_code is ExitCode.NEEDS_PERSON
    report = reconcile.run(ground.context)
    assert (report.proven_absent, report.in_doubt) == (0, 1)
    assert [reason for reason in report.cannot_tell if "its Message-ID may have been another" in reason]
    said = ground.enqueue(campaign='reply_to = "other@shop.example"').notes
    assert [note for note in said if note.startswith("what 1 messages in doubt said is not known")]


@pytest.mark.parametrize("known", ["message", "campaign"])
def test_a_second_copy_after_a_rewind_is_the_same_to_the_byte(ground: Ground, judge: Judge, known: str) -> None:
    """Whatever has changed since: who got the first recognises the second by its Message-ID."""
    if known == "message":
        ground.enqueue(1)
        before = ground.backup()
    else:
        before = ground.backup()
        ground.enqueue(1)
    lost_after_a_doubt(ground, judge, before)
    if known == "campaign":  # its row comes back with the file; what happened is remembered until then
        ground.enqueue(1)
    with pytest.raises(StoreRewound):
        ground.send_due()
    ground.recover()
    ground.send_due()
    assert ground.states() == {"in_doubt": 1}
    ground.clock.forward(hours=1)
    ground.enqueue(campaign='reply_to = "help@shop.example"')
    assert ground.recover(in_doubt="resend").resent == 1
    ground.send_due()
    first, second = judge.delivered
    assert second.content == first.content


def test_what_journals_have_put_back_once_is_known_when_they_are_replayed_again(ground: Ground, judge: Judge) -> None:
    """Else people would be told that they got it twice."""
    ground.enqueue(1, name="other", at=ground.clock.now.replace(year=2027))
    before = ground.backup()
    ground.enqueue(2)
    lost_after_a_doubt(ground, judge, before)
    ground.recover("other")
    ground.enqueue(2)
    ground.send_due()
    assert ground.states() == {"in_doubt": 2}
    ground.put_back(ground.backup())
    again = ground.recover()
    assert again.replayed is None or again.replayed.contradicted == []
    earlier = ground.backup()
    ground.clock.forward(hours=1)
    ground.enqueue(3)
    ground.send_due()
    ground.put_back(earlier)
    again = ground.recover()
    assert again.replayed is not None
    assert again.replayed.contradicted == []
    assert len(judge.delivered) == 3


def test_a_plan_after_a_rewind_has_the_numbers_of_what_is_done(ground: Ground, judge: Judge) -> None:
    ground.enqueue(5)
    before = ground.backup()
    judge.answer = lambda message: UNKNOWN if len(judge.delivered) < 2 else ACCEPTED
    ground.send_due()
    ground.put_back(before)
    made = planning.plan(ground.context, "sale", in_doubt="resend")
    assert (made.replayed.sent, len(made.replayed.in_doubt)) == (3, 2)
    assert (made.worst_case_duplicates, made.at_stake) == (2, 2)
    assert planning.plan(ground.context, "sale").worst_case_missed == 2
    done = recover.apply(ground.context, made, reason="test", expected=2)
    assert done.replayed is not None
    assert (done.replayed.sent, done.replayed.in_doubt, done.resent) == (3, 2, 2)
    assert ground.states() == {"sent": 3, "queued": 2}


def test_a_run_that_ended_after_the_backup_was_made_is_not_alive(ground: Ground, judge: Judge) -> None:
    ground.enqueue(5, controls="batch_size = 2")
    taken: list[Backup] = []

    def answer(_message: Outgoing) -> Outcome:
        if len(judge.delivered) == 2:
            taken.append(ground.backup())
        return ACCEPTED

    judge.answer = answer
    ground.send_due()
    ground.put_back(taken[0])
    made = planning.plan(ground.context, "sale")
    assert (made.alive, made.in_flight) == ([], 0)
    (run,) = made.dead_runs
    assert (run.recorded, made.replayed.sent) == (2, 1)
    done = recover.apply(ground.context, made, reason="test")
    assert done.recorded == 2
    assert ground.states() == {"sent": 5}


def test_a_plan_tells_of_other_campaigns_that_applying_it_settles(ground: Ground) -> None:
    ground.enqueue(1, name="other", at=ground.clock.now.replace(year=2027))
    ground.enqueue(3)
    dead_run(ground, "nothing", "dot", ACCEPTED)
    made = planning.plan(ground.context, "other")
    (run,) = made.dead_runs
    assert (run.others, run.recorded, run.requeued, run.in_doubt) == (3, 1, 1, [])
    assert made.does_something
    assert (made.worst_case_duplicates, made.worst_case_missed) == (0, 0)
    done = recover.apply(ground.context, made, reason="test")
    assert (done.recorded, done.requeued) == (1, 1)


def test_hosts_that_are_behind_are_named_until_they_have_recovered(ground: Ground, judge: Judge) -> None:
    other = ground.other_host()
    ground.enqueue(2)
    other.send_due(limit=1)
    before = ground.backup()
    ground.send_due()
    ground.put_back(before)
    done = ground.recover()
    assert done.waiting_for_hosts
    made = planning.plan(ground.context, "sale")
    assert (made.rewound, made.behind) == ("", [f"{other.context.hostname} ({other.context.home.host_id})"])
    other.recover()
    assert planning.plan(ground.context, "sale").behind == []
    other.close()


def test_giving_up_a_hosts_journals_has_a_worst_case(ground: Ground, judge: Judge) -> None:
    other = ground.other_host()
    ground.enqueue(3)
    other.send_due(limit=1)
    before = ground.backup()
    ground.send_due(limit=1)
    ground.put_back(before)
    ground.recover()
    made = planning.plan(ground.context, "sale", lost_hosts=[other.context.home.host_id])
    assert (made.forgotten, made.worst_case_duplicates, made.at_stake) == (1, 1, 1)
    other.close()


def test_what_journals_know_of_a_forgotten_campaign_counts_with_its_enqueue(ground: Ground, judge: Judge) -> None:
    """Not only when the next pass claims: a person who looks in between must not see everybody due."""
    ground.clock.now = datetime.now(UTC)  # journals carry the host's own time
    ground.enqueue(1, name="other", at=ground.clock.now.replace(year=2030))
    before = ground.backup()
    ground.enqueue(3, steps=(STEP, DRIP))
    ground.send_due()
    ground.clock.forward(days=4)
    judge.answer = lambda _message: UNKNOWN
    ground.send_due(limit=1)
    judge.answer = accept
    assert len(judge.delivered) == 4
    ground.put_back(before)
    ground.recover("other")
    assert homeless(ground) == 4
    report = ground.enqueue(3, steps=(STEP, DRIP))
    assert [note for note in report.notes if "3 messages sent, 1 in doubt" in note]
    assert ground.states() == {"sent": 3, "in_doubt": 1, "queued": 2}
    assert homeless(ground) == 0
    ground.clock.forward(days=30)
    ground.send_due()
    assert len(judge.delivered) == 6


def homeless(ground: Ground) -> int:
    """What `status` says of messages that journals know alone; it is advice as long as there are any."""
    situation = status.read(ground.context)
    said = [one for one in advise(situation) if "known from journals only" in one.matter]
    assert len(said) == bool(situation.store.homeless)
    return situation.store.homeless
