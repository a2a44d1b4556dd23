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


def test_a_host_that_is_new_to_a_store_misses_nothing_unless_another_was_there_before(memory: Memory) -> None:
    assert not memory.misses_passes("store")
    assert not Memory(memory.path, "host").misses_passes("store")
    memory.witnesses[0].mkdir()
    (memory.witnesses[0] / "store.another.passes").write_text("1")
    assert memory.misses_passes("store")


def test_a_witness_is_made_with_all_that_leads_there_for_its_owner_alone_and_follows_each_pass(tmp_path: Path) -> None:
    witness, spare = tmp_path / "state" / "witness", tmp_path / "spare"
    memory = Memory(tmp_path, "host", (witness, spare))
    for number in (1, 2):
        memory.note_passes("store", number)
    assert int((witness / "store.host.passes").read_text()) == 2
    assert witness.stat().st_mode & 0o777 == 0o700
    assert not spare.exists(), "the first witness that can be written is enough"


def test_a_store_that_moved_is_known_at_its_new_place_only_also_by_its_witness(memory: Memory) -> None:
    memory.note_passes("store", 1)
    for place in (PLACE, "sqlite:///new.db"):
        memory.note_place("store", place)
    assert memory.stores_at(PLACE) == []
    assert [one.store_id for one in memory.stores_at("sqlite:///new.db")] == ["store"]
    (memory.path / "store.place").unlink()
    assert [one.store_id for one in memory.stores_at("sqlite:///new.db")] == ["store"]
