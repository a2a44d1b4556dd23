"""What `status` sees of a store that was put back, before any pass has refused; and whom `--lost-host` gives up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sendctl.errors import ExitCode, StoreRewound, UsageError
from sendctl.passes import hosts, status
from sendctl.passes.advice import Level, advise
from sendctl.passes.startup import take_over
from sendctl.providers.base import Outcome, Outgoing
from tests.passes.judge import Judge
from tests.store.ground import ACCEPTED, Backup, Ground


def test_status_sees_a_rewind_that_no_pass_has_met(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3)
    ground.send_due(limit=1)
    assert all(advice.level is Level.OK for advice in advise(status.read(ground.context)))
    before = ground.backup()
    ground.send_due()
    ground.put_back(before)
    rows = ground.dump()
    first = advise(status.read(ground.context, "sale"))[0]
    assert (first.level, first.command) == (Level.CRITICAL, "sendctl recover --campaign sale")
    assert first.matter.startswith("nothing is sent: the store was rewound (this host has seen pass 2")
    assert first.matter.endswith(f"journals must be replayed: {ground.context.hostname}")
    assert ground.dump() == rows


def test_a_run_that_has_ended_is_not_alive_in_a_backup_of_its_middle(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3)
    taken: list[Backup] = []

    def answer(_message: Outgoing) -> Outcome:
        if not taken:
            taken.append(ground.backup())
        return ACCEPTED

    judge.answer = answer
    ground.send_due()
    ground.put_back(taken[0])
    ((run,),) = (status.read(ground.context).store.runs,)
    assert (run.row.finished_at, run.life) == (None, "ended")


def test_status_makes_no_journal_folder(sqlite_ground: Ground) -> None:
    status.read(sqlite_ground.context)
    assert not (sqlite_ground.folder / sqlite_ground.journal).exists()


def test_a_host_is_given_up_only_where_somebody_waits(ground: Ground, judge: Judge) -> None:
    ground.enqueue(3)
    ground.send_due()
    before = ground.dump()
    with pytest.raises(UsageError, match="the store was not rewound: nobody waits") as caught:
        ground.recover(lost_hosts=[ground.context.hostname])
    assert caught.value.exit_code is ExitCode.USAGE
    assert ground.dump() == before


@pytest.mark.parametrize("shown", ["mail1", "mail1 (mail1)", "mail1 (this one)", "vm (mail1)"])
def test_a_host_may_be_named_as_it_is_shown(shown: str) -> None:
    assert hosts.as_named(shown) == "mail1"


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_the_host_that_a_refused_pass_names_can_be_given_up_by_these_words(ground: Ground, judge: Judge) -> None:
    other = ground.other_host()
    ground.enqueue(3)
    for host in (ground, other):
        take_over(host.context)
    before = ground.backup()
    ground.send_due(limit=1)
    ground.put_back(before)
    with pytest.raises(StoreRewound):
        ground.send_due()
    ground.recover()
    with pytest.raises(StoreRewound) as caught:
        ground.send_due()
    shown = str(caught.value).rpartition(": ")[2]
    assert shown == f"{other.context.hostname} ({other.context.home.host_id})"
    ground.recover(lost_hosts=[hosts.as_named(shown)])
    ground.send_due()
    assert len(judge.delivered) == 3
    other.close()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("what", ["UPDATE store SET epoch = 'another', epoch_reason = 'a backup was put back'",
                                  "UPDATE store SET database_id = '1/1/1/1'"])  # fmt: skip
def test_a_pass_in_which_another_finds_the_rewind_records_its_window_and_ends_as_rewound(
    ground: Ground, judge: Judge, workers: int, what: str
) -> None:
    if ground.store.sqlite and "database_id" in what:
        return  # nothing tells one SQLite file from another but its place
    ground.set(workers=workers)
    ground.enqueue(10, controls="batch_size = 1")
    mine = replace(ground, _context=None)

    def answer(_message: Outgoing) -> Outcome:
        if mine.one("SELECT count(*) FROM store WHERE epoch = 'another' OR database_id = '1/1/1/1'") == 0:
            mine.change(what)
        return ACCEPTED

    judge.answer = answer
    report = ground.send_due()
    assert isinstance(report.failure, StoreRewound) or workers > 1
    assert report.failure is not None
    assert (report.exit_code, report.failure.hint) == (ExitCode.REWOUND, StoreRewound.hint)
    assert 1 <= report.work.outcomes["accepted"] <= workers
    assert ground.states()["sent"] == report.work.outcomes["accepted"]
    mine.close()
