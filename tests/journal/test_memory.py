"""What a host remembers of its stores: where they were, how many passes they have counted, which hosts they knew."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendctl.errors import Unreachable
from sendctl.journal.memory import Memory

PLACE = "sqlite:///var/lib/store.db"


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    (tmp_path / "journal").mkdir()
    return Memory(tmp_path / "journal", "host", (tmp_path / "witness",))


def test_the_number_of_a_pass_never_falls(memory: Memory) -> None:
    for number in (3, 7, 5):
        memory.note_passes("store", number)
    assert memory.seen_passes("store") == 7
    assert not memory.misses_passes("store")


def test_a_folder_that_was_put_back_or_began_anew_is_told_by_its_witness(memory: Memory) -> None:
    memory.note_passes("store", 3)
    memory._passes_path("store").write_text("2")
    assert memory.misses_passes("store")
    memory._passes_path("store").unlink()
    assert memory.misses_passes("store")
    assert Memory(memory.path, "another", memory.witnesses).misses_passes("store")


def test_without_a_witness_nothing_is_missed(memory: Memory) -> None:
    alone = Memory(memory.path, "host")
    assert alone.is_witnessed("store")  # there were no passes to remember
    alone.note_passes("store", 3)
    assert alone.seen_passes("store") == 3
    assert not alone.is_witnessed("store")
    memory.note_passes("store", 4)
    assert memory.is_witnessed("store")


def test_a_pass_that_cannot_be_noted_does_not_begin(memory: Memory) -> None:
    memory._passes_path("store").mkdir()
    with pytest.raises(Unreachable, match="the journal folder"):
        memory.note_passes("store", 1)


def test_hosts_are_remembered_until_others_take_their_place(memory: Memory) -> None:
    assert memory.known_hosts("store") == {}
    memory.note_hosts("store", {"a": "mail1"})
    written = memory._hosts_path("store").stat().st_ino
    memory.note_hosts("store", {"a": "mail1"})
    assert memory._hosts_path("store").stat().st_ino == written
    memory.note_hosts("store", {"b": "mail2"})
    assert memory.known_hosts("store") == {"b": "mail2"}


def test_the_stores_of_a_place_are_known_the_last_one_first_until_somebody_begins_anew(memory: Memory) -> None:
    for number, store_id in enumerate(("first", "second"), 1):
        memory.note_passes(store_id, number)
        memory.note_place(store_id, PLACE)
        memory.note_place(store_id, PLACE)
    memory.note_place("elsewhere", "sqlite:///other.db")
    (memory.path / "damaged.place").mkdir()
    assert {(one.store_id, one.passes) for one in memory.stores_at(PLACE)} == {("first", 1), ("second", 2)}
    assert [one.last_at for one in memory.stores_at(PLACE)] == sorted(
        (one.last_at for one in memory.stores_at(PLACE)), reverse=True
    )
    memory.forget_place(PLACE)
    assert memory.stores_at(PLACE) == []
    assert len(memory.stores_at("sqlite:///other.db")) == 1
