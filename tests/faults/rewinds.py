"""A backup made at a random moment of running passes, put back later, again and again, under kills."""

from __future__ import annotations

import random
import time

from tests.crash.accounts import must
from tests.crash.backups import take_copy
from tests.crash.world import CAMPAIGN
from tests.faults.crowds import LATENCY_MS
from tests.faults.ground import Line, close_account, new_ground
from tests.faults.traffic import Traffic

CROWD = {"send-due": 3, "reconcile": 1}


def rewinds(store_url: str, rounds: int, people: int, seed: int = 0) -> Line:
    """Each round loses the commits of some time; the journals know what was sent, and `recover` replays them."""
    begun_s, chance = time.monotonic(), random.Random(seed)
    line = Line("backups put back", "postgres" if store_url else "sqlite", "rewinds")
    with new_ground(store_url, contacts=people, latency_ms=LATENCY_MS) as world:
        url = world.environ["SENDCTL_STORE_URL"]
        traffic = Traffic(world, line, CROWD, chance)
        for number in range(1, rounds + 1):
            until = round(0.9 * people * number / rounds)
            made_at = round(chance.uniform(traffic.accepted(), until))
            traffic.flow(chance.randint(0, 2), made_at)
            copied, put_back = traffic.accepted(), take_copy(url, world.folder)
            traffic.flow(chance.randint(0, 2), until)
            traffic.stop(killed=chance.random() < 0.5)
            before = world.accepted()
            put_back()
            refused = must(world, "send-due", codes=(0, 3, 6))  # 0 or 3: nothing was forgotten
            line.hits += refused.code == 6
            if refused.code == 6 and world.accepted() != before:
                line.wrong.append(f"round {number}: sent from a store that was rewound")
            if refused.code != 6 and before.total() > copied:
                line.wrong.append(f"round {number}: a rewind was not noticed: {refused}")
            must(world, "recover", "--campaign", CAMPAIGN, "--in-doubt", "hold", "--yes", codes=(0, 3))
            world.assert_sound()
        line.note = f"{rounds} rounds, {traffic.kills} kills, {traffic.said()}"
        close_account(world, line, people)
    line.seconds = time.monotonic() - begun_s
    return line
