"""Several hosts on one Postgres store: who must replay after a rewind, and machines that take each other for one."""

from __future__ import annotations

from shutil import copytree

import pytest
import sqlalchemy as sa

from sendctl.errors import BadConfig, ExitCode, StoreRewound, UsageError
from sendctl.journal import home as homes
from sendctl.passes import planning
from sendctl.store import migrate
from tests.passes.judge import Judge
from tests.store.ground import ACCEPTED, Backup, Ground

pytestmark = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
PEOPLE = [f"p0000{number}" for number in range(1, 6)]


def put_dump_back(ground: Ground, dump: Backup) -> None:
    """What `pg_restore --clean` does: the tables are made anew in the same database."""
    with ground.store.engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    migrate.migrate(ground.store, place="")
    ground.put_back(dump)


def refuses(ground: Ground, why: str) -> None:
    with pytest.raises(StoreRewound, match=why) as caught:
        ground.send_due()
    assert caught.value.exit_code is ExitCode.REWOUND


def test_a_dump_put_back_is_noticed_by_a_host_that_has_sent_nothing_since(ground: Ground, judge: Judge) -> None:
    other = ground.other_host()
    ground.send_due()
    other.send_due()
    ground.enqueue(5)
    dump = ground.backup()
    other.send_due()
    put_dump_back(ground, dump)
    for _ in range(2):
        refuses(ground, "tables were made anew")
    made = planning.plan(ground.context, "sale")
    assert made.hosts == [ground.context.hostname, other.context.hostname]
    assert ground.recover().waiting_for_hosts
    refuses(ground, "not replayed yet")
    other.recover()
    ground.send_due()
    other.send_due()
    assert judge.people() == PEOPLE


def test_a_host_that_came_after_the_backup_is_waited_for_by_those_who_knew_it(ground: Ground, judge: Judge) -> None:
    ground.enqueue(5)
    ground.send_due(limit=1)
    backup = ground.backup()
    other = ground.other_host()
    other.send_due(limit=2)
    ground.send_due(limit=1)
    ground.put_back(backup)
    refuses(ground, "the store was rewound")
    ground.recover()
    refuses(ground, "not replayed yet")
    other.recover()
    ground.send_due()
    assert judge.people() == PEOPLE


def test_a_host_that_was_given_up_is_not_waited_for_again(ground: Ground, judge: Judge) -> None:
    ground.enqueue(5)
    ground.send_due(limit=1)
    backup = ground.backup()
    other = ground.other_host()
    other.send_due(limit=1)
    ground.send_due(limit=1)
    ground.put_back(backup)
    refuses(ground, "the store was rewound")
    with pytest.raises(UsageError, match="2 hosts are called"):
        ground.recover(lost_hosts=[ground.context.hostname])
    ground.recover(lost_hosts=[other.context.home.host_id])
    ground.send_due()
    assert len(judge.people()) == 6  # one of them twice: that is what was agreed to


def test_who_was_sent_to_again_after_a_rewind_is_named(ground: Ground, judge: Judge) -> None:
    other = ground.other_host()
    other.send_due()
    ground.enqueue(2)
    backup = ground.backup()
    other.send_due()
    ground.put_back(backup)
    judge.answer = lambda _message: ACCEPTED
    ground.send_due()  # rows were put back one by one, and this host has seen no pass since: nothing tells it
    refuses(other, "the store was rewound")
    done = other.recover()
    assert done.replayed is not None
    assert len(done.replayed.contradicted) == 2
    assert done.exit_code is ExitCode.NEEDS_PERSON


def test_a_copied_journal_folder_is_noticed_when_both_machines_run(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = ground.other_host()

    def on(boot: str, host: Ground) -> None:
        monkeypatch.setattr(homes, "boot_id", lambda: boot)
        host.send_due(limit=1)

    ground.enqueue(5)
    on("first", ground)
    copytree(ground.folder / ground.journal, ground.folder / twin.journal)
    on("second", twin)
    with pytest.raises(BadConfig, match="one is a copy of the other"):
        on("first", ground)
    for host in (ground, twin):
        (host.folder / host.journal / "host-id").unlink()
        host.close()
    on("first", ground)
    on("second", twin)
    on("first", ground)


def test_a_machine_that_was_started_again_is_no_copy(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.enqueue(5)
    for boot in ("first", "first", "second", "second", "third"):
        monkeypatch.setattr(homes, "boot_id", lambda boot=boot: boot)
        ground.send_due(limit=1)
