"""A small year on each database; `make prove-year` lives through one with 10,000 people."""

from __future__ import annotations

import random

import pytest

from tests.store.conftest import ground, postgres_template, sqlite_template
from tests.store.ground import Ground
from tests.year.life import Life, judged
from tests.year.relay import Taken

__all__ = ["ground", "postgres_template", "sqlite_template"]


def test_everybody_gets_each_step_once_in_order_and_in_their_hours(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    year = Life(ground, 30, random.Random(3), monkeypatch).live()
    assert year.wrong == []
    assert year.sent == 30 * 12
    assert year.deaths >= 5
    assert year.pauses >= 3
    assert year.replays >= 3


def test_the_judge_tells_a_step_that_is_missing_early_or_at_night(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(ground, 3, random.Random(1), monkeypatch)
    assert life.live().wrong == []
    log = life.relay.log
    assert judged(log[:-1], 3)
    assert judged([*log, log[-1]], 3)
    assert judged([Taken(log[0].recipient, log[0].subject, log[0].at.replace(hour=3)), *log[1:]], 3)
    assert judged([*log[:-1], log[-1]._replace(at=log[-2].at)], 3)
