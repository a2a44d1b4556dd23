"""A store that is gone while journals or witness remember it: none is made in its place by a careless hand."""

from __future__ import annotations

from shutil import rmtree

import pytest
import sqlalchemy as sa

from sendctl.errors import BadConfig, ExitCode, SendctlError, UsageError
from sendctl.passes import setup
from sendctl.settings.store_url import place_of_store
from sendctl.store.versions import newest_version
from tests.passes.judge import Judge
from tests.store.ground import Ground


def lose(ground: Ground) -> None:
    """rm store.db*, or a database made anew."""
    ground.provable = False
    if ground.store.sqlite:
        ground.close()
        for path in ground.folder.glob("store.db*"):
            path.unlink()
        return
    with ground.store.engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    ground.close()


@pytest.mark.parametrize("without", ["", "journal", "journal-witness"])
def test_no_store_is_made_where_one_was_lost(ground: Ground, judge: Judge, without: str) -> None:
    ground.enqueue(2)
    ground.send_due()
    store_id = ground.one("SELECT store_id FROM store")
    lose(ground)
    if without:
        rmtree(ground.folder / without)
    for _ in range(2):
        with pytest.raises(BadConfig, match=f"knows store {store_id} there, up to its pass 1 at") as caught:
            setup.migrate(ground.context)
        assert caught.value.exit_code is ExitCode.BAD_CONFIG
        assert "put it back from a backup" in caught.value.hint
    assert not (ground.folder / "store.db").exists()
    with pytest.raises(SendctlError) as missing:
        ground.send_due()
    assert "if there was one, put it back from a backup" in missing.value.hint


def test_a_person_may_begin_anew_where_a_store_was_lost(ground: Ground, judge: Judge) -> None:
    ground.enqueue(2)
    ground.send_due()
    store_id = ground.one("SELECT store_id FROM store")
    lose(ground)
    assert setup.migrate(ground.context, new=True).before is None
    assert ground.rows("SELECT action, detail FROM audit") == [("begin anew", f'{{"stores": ["{store_id}"]}}')]
    assert setup.migrate(ground.context).before == newest_version()
    lose(ground)  # no pass of it is remembered, and the first is given up
    assert setup.migrate(ground.context).before is None


def test_a_store_that_is_there_is_not_begun_anew(ground: Ground, judge: Judge) -> None:
    ground.enqueue(2)
    ground.send_due()
    before = ground.dump()
    with pytest.raises(UsageError, match="there is a store at"):
        setup.migrate(ground.context, new=True)
    assert setup.migrate(ground.context).before == newest_version()
    assert ground.dump() == before


def test_looking_for_a_lost_store_makes_no_folder(sqlite_ground: Ground) -> None:
    lose(sqlite_ground)
    setup.migrate(sqlite_ground.context)
    assert [path.name for path in sqlite_ground.folder.iterdir()] == ["store.db"]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:////srv/shop/../shop.db", "/srv/shop.db"),
        ("postgresql+psycopg://me:secret@db.example/shop", "db.example/shop"),
        ("postgresql+psycopg://you@db.example:5432/shop?connect_timeout=5", "db.example/shop"),
        ("postgresql+psycopg://me@db.example:6432/shop", "db.example:6432/shop"),
        ("postgresql+psycopg:///shop?sslmode=require&host=/run/pg", "/shop?host=/run/pg"),
    ],
)
def test_a_place_is_the_same_whoever_asks_and_shows_no_password(url: str, place: str) -> None:
    assert place_of_store(url) == place
