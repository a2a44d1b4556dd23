"""A relay that fails after the dot makes doubt, never a second copy; one that fails before it makes a failover."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import sqlalchemy as sa

from sendctl.store.tables import attempts, provider_state
from tests.crash.conftest import NewWorld
from tests.crash.world import CAMPAIGN, CONTACTS, World, write_settings
from tests.smtp_double import start_smtp_double

DEADLINE = {"SENDCTL_SEND_CLAIM_S": "3", "SENDCTL_SEND_DEADLINE_S": "1"}


def attempted(world: World) -> set[tuple[str, str]]:
    """Each (provider, outcome) of the attempts so far."""
    with world.context() as context, context.store.read() as connection:
        rows = connection.execute(sa.select(attempts.c.provider, attempts.c.outcome).distinct())
        return {(row.provider, row.outcome) for row in rows}


@pytest.mark.parametrize("fault", ["close", "reset", "silence"])
def test_lost_reply_is_held_in_doubt_and_never_sent_elsewhere(
    new_world: NewWorld, store_url: str, tmp_path: Path, fault: str
) -> None:
    world = new_world(store_url, script=[{"at": "reply", "do": fault, "every": 2, "first": 6}])
    (tmp_path / "second").mkdir()
    with start_smtp_double(tmp_path / "second", fsync=False) as second:
        write_settings(world.folder, world.judge.port, second.port)
        for _ in range(3):
            assert world.run("send-due", environ=DEADLINE).code in (0, 3)
        assert world.run("reconcile", environ=DEADLINE).code == 3
        assert second.accepted() == []
    world.assert_finished()
    assert world.counts()["in_doubt"] == 6
    assert world.accepted().total() == CONTACTS  # the relay had them all: one more try would have been a duplicate
    world.assert_settled_by_choice()


def test_unreachable_relay_is_failed_over_and_nobody_is_charged(new_world: NewWorld, store_url: str) -> None:
    world = new_world(store_url)
    with closed_port() as dead:
        write_settings(world.folder, dead, world.judge.port)
        assert world.run("send-due").code in (0, 3)
    world.finish()
    world.assert_finished()
    assert world.counts()["sent"] == CONTACTS
    assert ("relay1", "accepted") in attempted(world)
    assert ("relay0", "accepted") not in attempted(world)


def test_deferred_recipients_are_tried_again_and_sent_once(new_world: NewWorld, store_url: str) -> None:
    script = [{"at": "dot", "do": "reply:451 4.2.1 try again", "every": 9, "first": 4},
              {"at": "rcpt", "do": "reply:450 4.2.0 mailbox busy", "every": 11, "first": 4}]  # fmt: skip
    world = new_world(store_url, script=script)
    assert world.run("send-due").code == 0
    assert ("relay0", "deferred") in attempted(world)
    world.finish()
    world.assert_finished()
    assert world.counts()["sent"] == CONTACTS


def test_all_relays_down_keeps_the_queue_and_charges_nothing(new_world: NewWorld, store_url: str) -> None:
    world = new_world(store_url)
    with closed_port() as first, closed_port() as second:
        write_settings(world.folder, first, second)
        codes = [world.run("send-due").code for _ in range(3)]
    assert codes[-1] == 69, codes
    assert world.counts()["queued"] == CONTACTS
    assert breakers(world) == {"relay0": "open", "relay1": "open"}
    with world.context() as context, context.store.read() as connection:
        charged = connection.execute(sa.text("SELECT max(charged_attempts) FROM messages")).scalar_one()
    assert charged == 0
    world.assert_sound()
    assert world.accepted().total() == 0
    assert "relay0" in world.run("status", "--campaign", CAMPAIGN).out


def breakers(world: World) -> dict[str, str]:
    with world.context() as context, context.store.read() as connection:
        rows = connection.execute(sa.select(provider_state.c.provider, provider_state.c.breaker))
        return {row.provider: row.breaker for row in rows}


class closed_port:  # noqa: N801  a context manager, read as a phrase
    """A port of this machine that refuses connections for as long as it is held."""

    def __enter__(self) -> int:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can be given it
        port: int = self._socket.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._socket.close()
