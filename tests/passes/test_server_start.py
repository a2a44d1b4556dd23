"""A data folder of Postgres that is put back shows nothing by itself: after each start, every host looks first."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sendctl.errors import ExitCode, StoreRewound
from sendctl.passes import send_due, status
from sendctl.passes.advice import advise
from sendctl.passes.idle import is_idle
from sendctl.passes.startup import take_over
from sendctl.settings.store_url import normalise
from sendctl.store import meta
from tests.passes.judge import Judge
from tests.postgres import PostgresServer, create_database
from tests.store.ground import Ground, lay

POSTGRES = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
STARTED = "UPDATE hosts SET server_start = '2000-01-01'"  # as if nobody had looked since the server was started


@pytest.fixture(autouse=True)
def _just_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the server of these tests has been up, hosts that have not looked are waited for."""
    monkeypatch.setattr(meta, "LOOK_S", 30 * 86400)


def waits(host: Ground) -> None:
    report = host.send_due()
    assert (report.work.ended, report.exit_code, report.work.outcomes) == ("waiting", ExitCode.DONE, {})


def test_a_snapshot_put_back_is_found_by_its_host_before_an_idle_one_sends(
    private_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = lay(tmp_path, normalise(create_database(private_postgres.url()), tmp_path))
    other = ground.other_host()
    for host in (ground, other):
        host.send_due()
    ground.enqueue(6)
    data, snapshot = private_postgres.place.data, private_postgres.place.folder + "/snapshot"

    def stopped(*commands: list[str]) -> None:
        for host in (ground, other):
            host.close()
        private_postgres.stop()
        for command in commands:
            subprocess.run(command, check=True)
        private_postgres.start()

    stopped(["cp", "-a", data, snapshot])
    waits(ground)
    with monkeypatch.context() as minutes_later:
        minutes_later.setattr(meta, "LOOK_S", 0)
        ground.send_due(limit=4)
    assert len(ground.delivered()) == 4
    stopped(["rm", "-r", data], ["mv", snapshot, data])
    waits(other)  # nothing tells it: it has seen no pass since
    for host in (ground, other):
        with pytest.raises(StoreRewound):
            host.send_due()
        host.recover()
    other.send_due()
    assert len(set(ground.delivered())) == len(ground.delivered()) == 6
    other.close()
    ground.close()


@POSTGRES
def test_a_pass_that_was_running_when_the_server_was_started_waits_too(ground: Ground) -> None:
    other = ground.other_host()
    take_over(other.context)
    ground.enqueue(3)
    clerk = ground.clerk()
    assert len(clerk.turn([], 1).messages) == 1
    ground.change(STARTED)
    window = clerk.turn([], 1)
    assert (window.messages, window.passing) == ((), True)
    assert f"{other.context.hostname} ({other.context.home.host_id}) must look" in window.blocked
    take_over(other.context)
    assert len(clerk.turn([], 1).messages) == 1
    other.close()


@POSTGRES
def test_a_store_of_one_host_never_waits(ground: Ground, judge: Judge) -> None:
    ground.enqueue(2)
    ground.send_due(limit=1)
    ground.change(STARTED)
    clerk = ground.clerk()
    ground.change(STARTED)
    assert len(clerk.turn([], 1).messages) == 1


@POSTGRES
def test_a_host_that_does_not_look_is_waited_for_five_minutes_at_most(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ground.other_host()
    take_over(other.context)
    ground.enqueue(2)
    ground.change(STARTED)
    waits(ground)
    situation = status.read(ground.context)
    assert [advice.matter for advice in advise(situation)] == [f"2 messages are due. {situation.store.awaited}"]
    monkeypatch.setattr(meta, "LOOK_S", 0)
    ground.send_due()
    assert len(judge.delivered) == 2
    other.close()


@POSTGRES
def test_a_host_whose_journals_are_too_old_to_know_anything_is_not_waited_for(ground: Ground, judge: Judge) -> None:
    other = ground.other_host()
    take_over(other.context)
    ground.clock.forward(days=31)
    ground.enqueue(2)
    ground.change(STARTED)
    ground.send_due()
    assert len(judge.delivered) == 2
    other.close()


@POSTGRES
@pytest.mark.parametrize("change", [STARTED, "UPDATE hosts SET last_run_at = now() - interval '25 hours'"])
def test_an_idle_host_looks_after_each_start_and_shows_itself_each_day(ground: Ground, change: str) -> None:
    ground.clock.now = datetime.now(UTC)
    settings = ground.context.settings
    send_due.run(ground.context)
    assert is_idle(settings)
    ground.change(change)
    assert not is_idle(settings)
    send_due.run(ground.context)
    assert is_idle(settings)
