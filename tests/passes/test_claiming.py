"""What each window asks anew, because it may have changed since the run began: whose store it is, and who pauses."""

from __future__ import annotations

import threading

import pytest

from sendctl.errors import StoreRewound
from sendctl.passes import control
from sendctl.passes.claiming import BUSY_WAIT_S
from sendctl.passes.control import ControlReport
from sendctl.store import campaigns
from tests.passes.judge import Judge
from tests.store.ground import Ground
from tests.store.waiting import begin_before_the_commit


def test_a_run_that_the_restored_backup_knows_claims_nothing_before_the_replay(ground: Ground, judge: Judge) -> None:
    """Another host has sent since the backup, and notices; this host's run goes on, and its own rows are all there."""
    ground.enqueue(4)
    clerk = ground.clerk()
    before = ground.backup()
    other = ground.other_host()
    other.send_due(limit=1)
    ground.put_back(before)
    with pytest.raises(StoreRewound):
        other.send_due()
    window = clerk.turn([], 10)
    assert window.messages == ()
    assert "the store was rewound" in window.rewound
    other.recover()
    ground.recover()
    other.send_due()
    assert judge.people() == ["p00001", "p00002", "p00003", "p00004"]
    other.close()


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_run_to_which_another_database_answers_claims_nothing(ground: Ground) -> None:
    """A failover between two windows: the standby may not have the last commits."""
    ground.enqueue(2)
    clerk = ground.clerk()
    assert len(clerk.turn([], 1).messages) == 1
    ground.change("UPDATE store SET database_id = 'another ' || database_id")
    window = clerk.turn([], 1)
    assert window.messages == ()
    assert "another database answers now" in window.rewound
    assert ground.states() == {"sending": 1, "queued": 1}


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_pause_waits_for_a_claim_that_is_under_way_and_counts_it(ground: Ground) -> None:
    ground.enqueue(3)
    clerk = ground.clerk()
    mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
    reports: list[ControlReport] = []
    pausing = threading.Thread(target=lambda: reports.append(control.pause(mine.context, "sale")))
    begin_before_the_commit(ground.store.engine, pausing)
    assert len(clerk.turn([], 2).messages) == 2
    pausing.join()
    mine.close()
    assert [report.in_flight for report in reports] == [2]
    assert clerk.turn([], 2).messages == ()


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_campaign_that_somebody_is_changing_is_passed_over_and_not_waited_for(ground: Ground) -> None:
    """A turn holds other rows by then: whoever changes the campaign may be waiting for them."""
    ground.enqueue(2)
    clerk = ground.clerk()
    with ground.store.write() as changing:
        assert campaigns.find(changing, "sale", lock="update")
        window = clerk.turn([], 10)
    assert (window.messages, window.blocked) == ((), "campaign sale is being changed")
    assert window.wait_s == BUSY_WAIT_S
    assert len(clerk.turn([], 10).messages) == 2
