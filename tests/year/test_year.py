"""A small year on each database; `make prove-year` lives through one with 10,000 people."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from tests.store.conftest import ground, postgres_template, sqlite_template
from tests.store.ground import Ground
from tests.year.life import BEGIN, DISTANCES_D, EXPECTED, Life, judged
from tests.year.relay import Taken

__all__ = ["ground", "postgres_template", "sqlite_template"]


def test_everybody_gets_each_step_once_in_order_and_in_their_hours(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    year = Life(ground, 30, random.Random(3), monkeypatch, between_passes_h=40).live()
    assert year.wrong == []
    assert year.sent == 30 * 12
    assert min(year.deaths, year.pauses, year.replays) >= 2


def test_the_judge_tells_a_step_that_is_missing_twice_early_or_at_night() -> None:
    at, log = BEGIN + timedelta(hours=3), list[Taken]()
    for step, days in zip(EXPECTED, DISTANCES_D, strict=True):
        at += timedelta(days=days)
        log.append(Taken("p00000@x.example", step, at))
    assert judged(log, 1) == []
    assert judged(log, 2)
    assert judged(log[:-1], 1)
    assert judged([*log, log[-1]], 1)
    assert judged([log[1], log[0], *log[2:]], 1)
    assert judged([log[0]._replace(at=BEGIN - timedelta(hours=3)), *log[1:]], 1)
    assert judged([*log[:-1], log[-1]._replace(at=log[-1].at - timedelta(seconds=1))], 1)
