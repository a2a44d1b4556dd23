"""Runs in the store: the last ones are told first."""

from __future__ import annotations

from sendctl.store import runs
from tests.store.ground import Ground


def test_the_last_five_runs_are_told_newest_first(ground: Ground) -> None:
    for number in (2, 5, 1, 6, 4, 3):  # rows are not in the order of their times
        ground.clerk(run_id=f"run{number}")
        ground.change(
            "UPDATE runs SET started_at = :at WHERE id = :id",
            at=f"2026-03-02 09:00:0{number}.000000",
            id=f"run{number}",
        )
    with ground.store.read() as connection:
        found = [run.id for run in runs.latest(connection)]
    assert found == ["run6", "run5", "run4", "run3", "run2"]
