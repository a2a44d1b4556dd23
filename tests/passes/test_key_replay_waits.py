"""What keeps a host from claiming keeps it from sending the same again under its key: nobody can tell who has it."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sendctl.errors import StoreRewound
from sendctl.journal import writer
from sendctl.passes import ingest, planning, reconcile
from sendctl.passes.startup import take_over
from sendctl.store import late, meta
from tests.passes.test_key_replay import BROKEN, LOST, NewDouble, keys, resend, words
from tests.store.ground import Backup, Ground

__all__ = ["resend"]  # a fixture
HELD = 'in_doubt = "hold"'
POSTGRES = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
STARTED = "UPDATE hosts SET server_start = '2000-01-01'"  # as if nobody had looked since the server was started


def sent_by_the_other(ground: Ground, other: Ground, *, snapshot_later: bool) -> Backup:
    """In doubt at Resend on the other host, which did not take it; sent again by decision, through another provider.

    Returns a backup from before the first, or from between the two.
    """
    other.send = replace(other.send, providers=("primary",))
    ground.set(providers=("fallback",))
    for host in (ground, other):
        take_over(host.context)
    ground.enqueue(1, campaign=HELD)
    backup = ground.backup()
    other.send_due()
    backup = ground.backup() if snapshot_later else backup
    assert ground.states() == {"in_doubt": 1}
    ground.clock.forward(minutes=30)
    assert ground.recover(in_doubt="resend").resent == 1
    ground.send_due()
    assert ground.delivered("fallback") == ["p00001@x.example"]
    return backup


def test_nothing_is_sent_again_before_all_hosts_have_replayed_their_journals(ground: Ground, resend: NewDouble) -> None:
    double, other = resend(BROKEN | {"first": 2}), ground.other_host()
    ground.put_back(sent_by_the_other(ground, other, snapshot_later=False))
    done = other.recover(in_doubt="hold")
    assert ground.context.hostname in done.waiting_for_hosts
    assert [reason for reason in done.no_proof if reason.startswith("nothing is sent again under its key")]
    (reason,) = planning.plan(other.context, "sale").proof.reasons
    assert "journals are not replayed yet on" in reason
    assert (keys(double), other.states()) == ([], {"in_doubt": 1})
    other.close()


@POSTGRES
def test_nothing_is_sent_again_before_hosts_have_looked_after_a_start_of_the_server(
    ground: Ground, resend: NewDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meta, "LOOK_S", 30 * 86400)
    double, other = resend(BROKEN | {"first": 2}), ground.other_host()
    ground.put_back(sent_by_the_other(ground, other, snapshot_later=True))
    ground.change(STARTED)
    ground.clock.forward(minutes=30)
    report = reconcile.run(other.context)
    assert "must look at the store first" in words(report)
    assert (keys(double), ground.states()) == ([], {"in_doubt": 1})
    plan = planning.plan(other.context, "sale")
    assert (plan.keyed, len(plan.doubtful)) == (0, 1)
    other.close()


def test_the_command_that_replays_journals_leaves_time_to_take_in_who_has_complained(
    ground: Ground, resend: NewDouble
) -> None:
    double = resend(BROKEN)
    ground.enqueue(1, campaign=HELD)
    before = ground.backup()
    ground.send_due()
    complaints = ground.folder / "since.jsonl"
    event = {"type": "complained", "email": "p00001@x.example", "occurred_at": ground.clock.now.isoformat(), "id": "1"}
    complaints.write_text(json.dumps(event) + "\n")
    ingest.run(ground.context, complaints)
    ground.put_back(before)
    assert planning.plan(ground.context, "sale").keyed == 0
    done = ground.recover()
    assert [reason for reason in done.no_proof if "by the command that replays journals" in reason]
    ingest.run(ground.context, complaints)
    assert "the address is suppressed" in words(reconcile.run(ground.context))
    assert (keys(double), ground.states()) == ([], {"in_doubt": 1})


def test_after_a_replay_the_next_reconcile_sends_what_may_go(ground: Ground, resend: NewDouble) -> None:
    double = resend(BROKEN)
    ground.enqueue(1, campaign=HELD)
    before = ground.backup()
    ground.send_due()
    ground.put_back(before)
    assert (ground.recover().in_doubt, keys(double)) == (1, [])
    assert reconcile.run(ground.context).proven_sent == 1
    assert keys(double) == ["p00001@x.example"]


def test_what_a_store_has_forgotten_since_the_pass_began_is_not_sent(ground: Ground, resend: NewDouble) -> None:
    """As after a claim, this host's journals are asked before anything leaves."""
    double = resend(BROKEN)
    ground.enqueue(1, campaign=HELD)
    ground.send_due()
    before = ground.backup()
    ground.send_due()
    with ground.once_after("LEFT OUTER JOIN runs ON runs.id = attempts.run_id", lambda: ground.put_back(before)):
        report = reconcile.run(ground.context)
    assert "this host has seen pass" in words(report)
    assert (keys(double), ground.states()) == ([], {"in_doubt": 1})


@pytest.fixture
def _journals_by_its_clock(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def now_s() -> float:
        return ground.clock.now.timestamp()

    monkeypatch.setattr(writer, "time", SimpleNamespace(time=now_s))


@pytest.mark.usefixtures("_journals_by_its_clock")
@pytest.mark.parametrize("first", ["later", "earlier"])
def test_after_a_replay_a_key_is_as_old_as_the_first_attempt_of_all_hosts(
    ground: Ground, resend: NewDouble, first: str
) -> None:
    """In doubt on one host, sent again by decision on another, and in doubt again: whichever host replays first."""
    double, other = resend(LOST | {"first": 3}), ground.other_host()
    for host in (ground, other):
        take_over(host.context)
    ground.enqueue(1, campaign=HELD)
    before = ground.backup()
    ground.send_due()
    ground.clock.forward(hours=22)
    assert ground.recover(in_doubt="resend").resent == 1
    other.send_due()
    assert (ground.states(), len(keys(double))) == ({"in_doubt": 1}, 1)
    ground.put_back(before)
    ground.clock.forward(hours=3)
    double.forget_keys()  # it was taken 25 hours ago, and sent again three hours ago
    for host in (other, ground) if first == "later" else (ground, other):
        done = host.recover()
        assert done.replayed is not None
        assert done.replayed.contradicted == []
    reconcile.run(ground.context)
    assert (len(keys(double)), ground.states(), ground.violations()) == (1, {"in_doubt": 1}, [])
    assert ground.rows("SELECT number, outcome FROM attempts ORDER BY number") == [(1, "unknown"), (2, "abandoned")]
    with ground.store.read() as connection:
        assert late.proven(connection, [ground.one("SELECT id FROM messages")]) == [], "nobody knows of either"
    other.close()


@pytest.mark.usefixtures("_journals_by_its_clock")
def test_what_is_in_doubt_once_more_since_a_rewind_is_told(ground: Ground, resend: NewDouble) -> None:
    """Rows were put back one by one, and a host that had seen no pass since could not know."""
    resend(LOST | {"first": 2})
    other = ground.other_host()
    other.send_due()
    ground.enqueue(1, campaign=HELD)
    before = ground.backup()
    other.send_due()
    ground.put_back(before)
    ground.clock.forward(hours=1)
    ground.send_due()
    with pytest.raises(StoreRewound):
        other.send_due()
    done = other.recover()
    assert done.replayed is not None
    assert len(done.replayed.contradicted) == 1
    other.close()
