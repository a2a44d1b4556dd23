"""Passes that begin at the same moment: each is numbered, and none takes another for a sign of a rewind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from sendctl.errors import StoreRewound
from sendctl.passes.startup import rewound_reason, take_over
from tests.store.ground import Ground

PASSES = 12


def test_overlapping_passes_never_take_each_other_for_a_rewind(ground: Ground) -> None:
    take_over(ground.context)
    begun = ground.one("SELECT passes FROM store")
    wrong: list[str] = []
    barrier = threading.Barrier(4, timeout=60)

    def one() -> None:
        mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
        barrier.wait()
        try:
            for _ in range(PASSES):
                take_over(mine.context)
                wrong.extend(reason for reason in [rewound_reason(mine.context)] if reason)
        except Exception as error:  # whatever it is, the others go on and the test shows it
            wrong.append(repr(error))
        finally:
            mine.close()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert ground.one("SELECT passes FROM store") == begun + 4 * PASSES


@contextmanager
def a_pass_after_each_look(ground: Ground) -> Iterator[None]:
    """Each time the ground has read the store's row, another whole pass of this host begins."""
    other = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
    inside: list[str] = []

    def begin(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM store" in statement and not inside:
            inside.append(statement)
            take_over(other.context)
            inside.clear()

    sa.event.listen(ground.store.engine, "after_cursor_execute", begin)
    yield
    sa.event.remove(ground.store.engine, "after_cursor_execute", begin)
    other.close()


def test_a_pass_that_begins_between_two_looks_is_no_rewind(ground: Ground) -> None:
    take_over(ground.context)
    with a_pass_after_each_look(ground):
        assert rewound_reason(ground.context) == ""
        if not ground.store.sqlite:  # where no other pass gets in between
            take_over(ground.context)
    assert ground.one("SELECT passes FROM store") >= 4


def test_a_store_that_forgot_passes_of_other_hosts_is_noticed_by_this_one(ground: Ground) -> None:
    """Only another host has sent since the backup; this one's journals know nothing, but it has seen later passes."""
    other = ground.other_host()
    ground.enqueue(2)
    take_over(ground.context)
    before = ground.backup()
    other.send_due()
    take_over(ground.context)
    ground.put_back(before)
    assert rewound_reason(ground.context)
    with pytest.raises(StoreRewound, match="has seen pass"):
        ground.send_due()
    other.close()
