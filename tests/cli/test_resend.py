"""`resend` as a command: what it says of somebody before it asks."""

from __future__ import annotations

from tests.cli.world import World


def test_what_nobody_knows_is_said_before_it_is_sent_once_more(world: World) -> None:
    world.crash()
    world.run("send-due")
    given_up = world.run("recover", "--campaign", "spring", "--in-doubt", "skip", "--yes", "--reason", "lost")
    assert given_up.code == 0, given_up
    (row,) = world.run("messages", "--status", "failed", "--json").json
    number = str(row["id"])
    told = " ".join(world.run("resend", number, "--dry-run").out.split())
    assert "never sent" not in told
    assert "failed for good: in doubt, given up: lost perhaps" in told
    assert f"message {number} was in doubt, and nobody knows whether that was accepted: they may have got it" in told
    assert "`sendctl recover --campaign spring --failed --in-doubt resend` would take it up instead" in told
    planned = world.run("resend", number, "--dry-run", "--json").json
    assert (planned["sent_before"], planned["perhaps_sent"]) == (0, [row["id"]])
    agreed = world.typed("resend", number, "--reason", "asked", answers="y\n")
    assert agreed.code == 0, agreed
    assert "may have had it. Send it once more?" in " ".join((agreed.out + agreed.err).split())
    world.run("send-due")
    once_more = world.run("resend", number, "--dry-run").out
    assert "sent        1 time, last " in once_more
    assert f"perhaps     message {number} was in doubt" in once_more
