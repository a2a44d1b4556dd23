"""Postgres crashes under a pass: what was sent is in the journal, and the next passes know it."""

from __future__ import annotations

import pytest

from tests.crash.conftest import NewWorld
from tests.crash.world import CONTACTS, wait_for
from tests.postgres import PostgresServer, create_database


@pytest.mark.parametrize("workers", [1, 3])
def test_database_crash_in_mid_pass_loses_nobody(
    new_world: NewWorld, private_postgres: PostgresServer, workers: int
) -> None:
    world = new_world(create_database(private_postgres.url()), latency_ms=20)
    for round_number in (1, 2):
        command = world.start("send-due", environ={"SENDCTL_SEND_WORKERS": str(workers)})
        wait_for(lambda: world.accepted().total() >= round_number * 10)  # noqa: B023  called at once
        private_postgres.restart("immediate")
        ended = command.ended()
        assert ended.code in (69, 75), ended
        world.assert_sound()
    world.finish()
    world.assert_finished()
    assert world.counts()["sent"] == CONTACTS, "every reply had been written to the journal"


def test_pass_says_that_the_database_is_down_and_claims_nothing(
    new_world: NewWorld, private_postgres: PostgresServer
) -> None:
    world = new_world(create_database(private_postgres.url()))
    private_postgres.stop("immediate")
    for verb in (("send-due",), ("reconcile",), ("recover", "--campaign", "crash", "--yes")):
        ended = world.run(*verb)
        assert ended.code == 69, ended
        assert "hint:" in ended.err
    private_postgres.start()
    assert world.counts()["queued"] == CONTACTS
    world.finish()
    world.assert_finished()
