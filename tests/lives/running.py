"""Runs lives: each deed is done in the world and told to the oracle, and then both must say the same of everybody."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from tests import in_memory
from tests.lives.life import Deed, Life, lives
from tests.lives.oracle import Oracle, changed
from tests.lives.world import World, address


class Lived(NamedTuple):
    """How much was lived: lives, deeds in all of them, and messages that people got."""

    lives: int
    deeds: int
    got: int


class Wrong(AssertionError):
    """The world and the oracle do not agree. Says in which life and after how many."""


def lived(count: int, *, seed: int | None = None, shrink: bool = False) -> Lived:
    """Live so many lives; without a seed always the same ones. Raises Wrong at the first that goes otherwise."""
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    totals = [0, 0, 0]
    with _world() as world:

        @settings(
            max_examples=count, derandomize=seed is None, deadline=None, database=None, phases=phases,
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=False,
        )  # fmt: skip
        @given(lives())
        def live(life: Life) -> None:
            totals[0] += 1
            try:
                oracle = live_one(world, life)
            except Exception as error:
                raise Wrong(f"life {totals[0]}: {error}") from error
            totals[1] += len(life.deeds)
            totals[2] += sum(len(person.got) for person in oracle.people)

        (live if seed is None else hypothesis.seed(seed)(live))()
    return Lived(*totals)


def live_one(world: World, life: Life) -> Oracle:
    """One life from its beginning to its end. Raises AssertionError where both disagree."""
    world.begin(life)
    oracle = Oracle(life)
    oracle.enrolled(world.clock.now)
    _compare(world, oracle, Deed("begin"))
    for deed in life.deeds:
        how = deed.how
        if deed.what == "change":
            how = (changed(oracle, *how),)
        getattr(world, deed.what)(*how)
        getattr(oracle, deed.what)(world.clock.now, *how)
        if deed.what != "wait":
            _compare(world, oracle, deed)
    assert world.ground.violations() == []
    return oracle


def _compare(world: World, oracle: Oracle, deed: Deed) -> None:
    for number, (person, found) in enumerate(zip(oracle.people, world.places(), strict=True)):
        got = world.relay.got.get(address(number), [])
        assert got == person.got, f"after {deed}: person {number} got {_told(got)}, not {_told(person.got)}"
        assert found[:3] == person.place, f"after {deed}: person {number} is at {found[:3]}, not at {person.place}"
        if person.status == "active" and person.state == "queued" and person.held_until is None:
            due = found[3] if isinstance(found[3], datetime) else datetime.fromisoformat(found[3]).replace(tzinfo=UTC)
            assert due == person.due, f"after {deed}: person {number} is due {due}, not {person.due}"


def _told(got: list[tuple[str, datetime]]) -> str:
    return ", ".join(f"{name} on {at:%m-%d %H:%M}" for name, at in got) or "nothing"


@contextmanager
def _world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="sendctl-lives-", dir=in_memory.folder()) as name:
        world = World(Path(name))
        try:
            yield world
        finally:
            world.close()
