"""The loop of one worker: what it leaves behind when it cannot go on."""

from __future__ import annotations

import pytest

from sendctl.journal.records import read
from sendctl.providers.base import Outcome, Outgoing
from sendctl.states import AttemptOutcome
from tests.passes.judge import Judge
from tests.store.ground import ACCEPTED, Ground
from tests.syncs import watched_syncs


def test_outcomes_that_the_store_did_not_take_are_on_the_disk_when_the_pass_ends(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.enqueue(3)

    def answer(_message: Outgoing) -> Outcome:
        ground.change("UPDATE campaigns SET controls = 'not json'")  # makes the transaction of the outcomes fail
        return ACCEPTED

    judge.answer = answer
    synced = watched_syncs(ground.folder / ground.journal, monkeypatch)
    with pytest.raises(ValueError):
        ground.send_due()
    assert ground.states() == {"sending": 3}
    (run_id,) = ground.context.home.pending()
    (journal,) = ground.context.home.journals(run_id)
    on_disk = ground.folder / "what a power loss leaves"
    on_disk.write_bytes([sync.content for sync in synced if sync.path == journal][-1])
    outcomes = [trace.outcome for trace in read(on_disk).traces.values()]
    assert [outcome.kind for outcome in outcomes if outcome] == [AttemptOutcome.ACCEPTED] * 3
