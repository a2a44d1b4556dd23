"""Rates and cooldowns: kept in the store, so that they hold from pass to pass and from host to host."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from sendctl.durations import Rate
from sendctl.passes import control
from sendctl.store import limits
from tests.store.ground import ACCEPTED, DOWN, START, Ground


def claimed(ground: Ground, limit: int = 100) -> int:
    return len(ground.clerk().turn([], limit).messages)


def test_a_rate_bounds_what_windows_take_whoever_asks(ground: Ground) -> None:
    ground.enqueue(40, controls='rate = "10/min"')
    assert claimed(ground, 4) == 4
    assert claimed(ground.other_host()) == 6
    window = ground.clerk().turn([], 100)
    assert window.messages == ()
    assert window.wait_s == 6.0  # one token at ten a minute
    assert "rate" in window.blocked
    ground.clock.forward(seconds=12)
    assert claimed(ground) == 2
    ground.clock.forward(days=1)
    assert claimed(ground) == 10  # a day's silence saves up no more than a minute's worth


def test_an_hourly_rate_can_be_used_up_by_a_pass_a_minute(ground: Ground) -> None:
    ground.enqueue(40, controls='rate = "120/h"')
    clerk, taken = ground.clerk(), []
    for _ in range(10):
        taken.append(len(clerk.turn([], 100).messages))
        ground.clock.forward(minutes=1)
    assert taken == [2] * 10


def test_a_rate_of_less_than_one_a_minute_still_lets_one_through(ground: Ground) -> None:
    ground.enqueue(3, controls='rate = "1/h"')
    assert claimed(ground) == 1
    ground.clock.forward(minutes=59)
    assert claimed(ground) == 0
    ground.clock.forward(minutes=1)
    assert claimed(ground) == 1


def test_a_tuned_rate_holds_from_the_next_window_on(ground: Ground) -> None:
    ground.enqueue(40, controls='rate = "10/min"')
    claimed(ground)
    control.tune(ground.context, "sale", {"rate": "none"})
    assert claimed(ground, 5) == 5


def test_a_providers_rate_is_shared_by_its_campaigns(ground: Ground) -> None:
    ground.providers["primary"] = replace(ground.providers["primary"], rate=Rate(10, 60))
    ground.enqueue(8, name="one")
    ground.enqueue(8, name="two")
    clerk = ground.clerk()
    assert [len(clerk.turn([], 8).messages) for _ in range(3)] == [8, 2, 0]


def test_a_failover_keeps_the_second_providers_rate(ground: Ground) -> None:
    ground.set(providers=("primary", "fallback"))
    ground.providers["fallback"] = replace(ground.providers["fallback"], rate=Rate(4, 60))
    ground.enqueue(10)
    ground.pass_with(DOWN)  # definite non-acceptance: the second provider is asked next
    window = ground.clerk().turn([], 100)
    assert [item.provider for item in window.messages] == ["fallback"] * 4


def test_a_failover_is_not_held_up_by_the_first_providers_rate(ground: Ground) -> None:
    ground.set(providers=("primary", "fallback"))
    ground.providers["primary"] = replace(ground.providers["primary"], rate=Rate(10, 60))
    ground.enqueue(10)
    ground.pass_with(DOWN)
    assert claimed(ground) == 10


def at_the_same_time(ground: Ground, passes: int, turns: int = 1, size: int = 100) -> list[int]:
    """How many messages each of so many passes with connections of their own claims."""
    taken: list[int] = []
    barrier = threading.Barrier(passes, timeout=60)

    def one() -> None:
        mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
        clerk = mine.clerk()
        barrier.wait()
        taken.append(sum(len(clerk.turn([], size).messages) for _ in range(turns)))
        mine.close()

    threads = [threading.Thread(target=one) for _ in range(passes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def test_passes_at_the_same_time_share_one_bucket(ground: Ground) -> None:
    ground.enqueue(60, controls='rate = "20/min"')
    assert sum(at_the_same_time(ground, 4, turns=12, size=3)) == 20


def test_a_bucket_that_another_turn_holds_is_passed_over_and_not_waited_for(ground: Ground) -> None:
    """Turns that waited for each other's buckets, each holding one, would end in a deadlock."""
    if ground.store.sqlite:
        return  # one writer
    for name in ("one", "two"):
        ground.enqueue(4, name=name, controls='rate = "10/min"')
    clerk = ground.clerk()
    with ground.store.write() as connection:
        limits.tokens_at_hand(connection, "campaign:one", Rate(10, 60), ground.clock.now)
    with ground.store.write() as connection:
        limits.tokens_at_hand(connection, "campaign:one", Rate(10, 60), ground.clock.now)
        assert clerk.turn([], 10).campaign_id == 2


def test_a_cooldown_separates_windows_also_of_other_passes(ground: Ground) -> None:
    ground.enqueue(6, controls='cooldown = "30s"\nbatch_size = 2')
    clerk = ground.clerk()
    assert len(clerk.turn([], 10).messages) == 2
    resting = clerk.turn([], 10)
    assert (resting.messages, resting.wait_s) == ((), 30.0)
    assert "cooling" in resting.blocked
    assert claimed(ground.other_host()) == 0
    ground.clock.forward(seconds=30)
    assert claimed(ground) == 2


def test_of_passes_at_the_same_time_one_opens_the_window_of_a_campaign_with_a_cooldown(ground: Ground) -> None:
    ground.enqueue(8, controls='cooldown = "30s"\nbatch_size = 1')
    assert sorted(at_the_same_time(ground, 4)) == [0, 0, 0, 1]
    ground.clock.forward(seconds=30)
    assert sorted(at_the_same_time(ground, 4)) == [0, 0, 0, 1]


def test_a_cooldown_and_a_rate_do_not_get_in_each_others_way(ground: Ground) -> None:
    ground.enqueue(8, controls='cooldown = "30s"\nrate = "3/min"')
    taken = []
    for _ in range(4):
        taken.append(claimed(ground))
        ground.clock.forward(seconds=30)
    assert taken == [3, 1, 2, 1]


def test_a_resting_campaign_does_not_hold_up_another(ground: Ground) -> None:
    ground.enqueue(4, name="slow", controls='cooldown = "1h"\nbatch_size = 1')
    ground.enqueue(4, name="fast")
    clerk = ground.clerk()
    assert [clerk.turn([], 2).campaign_id for _ in range(3)] == [1, 2, 2]


def test_refused_tokens_are_not_spent(ground: Ground) -> None:
    """A campaign bound by its own rate takes nothing from the provider's bucket that it cannot use."""
    ground.providers["primary"] = replace(ground.providers["primary"], rate=Rate(10, 60))
    ground.enqueue(10, name="narrow", controls='rate = "2/min"')
    ground.enqueue(10, name="wide")
    clerk = ground.clerk()
    assert [len(clerk.turn([], 10).messages) for _ in range(2)] == [2, 8]


@pytest.mark.parametrize("elapsed_s", [0, 1, 59, 60, 3600])
def test_a_bucket_fills_evenly_and_never_over_its_brim(ground: Ground, elapsed_s: int) -> None:
    rate = Rate(30, 60)
    with ground.store.write() as connection:
        assert limits.tokens_at_hand(connection, "campaign:x", rate, START) == 30
        limits.spend(connection, "campaign:x", 30)
        later = START + timedelta(seconds=elapsed_s)
        assert limits.tokens_at_hand(connection, "campaign:x", rate, later) == min(30, elapsed_s // 2)


def test_a_clock_that_goes_back_gives_no_tokens(ground: Ground) -> None:
    rate = Rate(60, 60)
    with ground.store.write() as connection:
        limits.tokens_at_hand(connection, "campaign:x", rate, START)
        limits.spend(connection, "campaign:x", 60)
        assert limits.tokens_at_hand(connection, "campaign:x", rate, START - timedelta(hours=1)) == 0
        assert limits.tokens_at_hand(connection, "campaign:x", rate, START) <= 60


def test_everything_accepted_at_its_rate_is_sent_in_the_end(ground: Ground) -> None:
    ground.enqueue(25, controls='rate = "10/min"')
    for _ in range(4):
        ground.pass_with(ACCEPTED)
        ground.clock.forward(minutes=1)
    assert ground.states() == {"sent": 25}
