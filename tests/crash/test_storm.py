"""A small storm on each database; `python -m tests.crash.storm` raises a large one."""

from __future__ import annotations

from pathlib import Path

from tests.crash.storm import Plan, run


def test_storm_of_kills_loses_nobody_and_repeats_nobody(store_url: str, tmp_path: Path) -> None:
    assert run(Plan(contacts=300, kills=3, passes=2), store_url, tmp_path)
