"""A small storm on each database; `python -m tests.crash.storm` raises a large one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.storm import Plan, run


@pytest.mark.parametrize("passes", [1, 3])
def test_storm_of_kills_loses_nobody_and_repeats_nobody(store_url: str, tmp_path: Path, passes: int) -> None:
    assert run(Plan(contacts=400, kills=6, passes=passes, seed=passes), store_url, tmp_path)
