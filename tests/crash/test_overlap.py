"""Passes that overlap, and repairs beside them, share the work by claims alone."""

from __future__ import annotations

import signal

from tests.crash.world import CAMPAIGN, World

PASSES = 4


def test_overlapping_passes_and_repairs_send_each_message_once(world: World) -> None:
    dead = world.start("send-due", failpoint="provider.replied:kill:3")
    assert dead.ended().code == -signal.SIGKILL
    commands = [world.start("send-due") for _ in range(PASSES)]
    recover = ("recover", "--campaign", CAMPAIGN, "--in-doubt", "hold", "--yes")
    commands += [world.start("reconcile"), world.start(*recover)]
    ended = [command.ended() for command in commands]
    assert {end.code for end in ended} <= {0, 3}, ended
    # Six processes saw the dead run; one took it up.
    assert sum("had died" in end.out or "dead run" in end.out for end in ended) <= 1, ended
    assert len(world.deaths()) == 1
    world.assert_sound()
    world.finish()
    world.assert_finished()
    world.assert_settled_by_choice()
