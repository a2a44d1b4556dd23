"""A spool folder: only whole files are taken, none is lost, changed or overwritten when it is moved."""

import os
from datetime import date
from pathlib import Path

import pytest

from sendctl.inputs import spool
from sendctl.inputs.spool import SpoolUnusable

DAY = date(2026, 11, 23)


def put(folder: Path, name: str, text: str = "x") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_still_being_written_is_left_alone(tmp_path):
    for name in ("b.jsonl", "a.json", ".hidden", "c.tmp", "done"):
        put(tmp_path, name)
    (tmp_path / "bad").mkdir()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "a.json")
    os.mkfifo(tmp_path / "pipe")
    assert [path.name for path in spool.waiting(tmp_path)] == ["a.json", "b.jsonl"]
    assert [path.name for path in spool.strangers(tmp_path)] == ["done"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SpoolUnusable, match=r"nowhere cannot be used: no such file"):
        spool.waiting(tmp_path / "nowhere")


def test_files_are_moved_by_day_and_beside_their_reason(tmp_path):
    spool.put_away(put(tmp_path, "a", "one"), DAY)
    spool.put_aside(put(tmp_path, "b", "two"), "line 1 is wrong")
    assert tree(tmp_path) == {"done/2026-11-23/a": "one", "bad/b": "two", "bad/b.reason": "line 1 is wrong\n"}
    assert spool.waiting(tmp_path) == []


def test_no_file_takes_the_place_of_another(tmp_path):
    for text in ("one", "two", "three"):
        spool.put_away(put(tmp_path, "a", text), DAY)
        spool.put_aside(put(tmp_path, "b", text), f"why {text}")
    assert tree(tmp_path) == {
        "done/2026-11-23/a": "one", "done/2026-11-23/a.2": "two", "done/2026-11-23/a.3": "three",
        "bad/b": "one", "bad/b.2": "two", "bad/b.3": "three",
        "bad/b.reason": "why one\n", "bad/b.2.reason": "why two\n", "bad/b.3.reason": "why three\n",
    }  # fmt: skip


def test_a_move_that_was_cut_short_is_finished(tmp_path):
    path = put(tmp_path, "a", "one")
    (tmp_path / "done" / "2026-11-23").mkdir(parents=True)
    os.link(path, tmp_path / "done" / "2026-11-23" / "a")
    spool.put_away(path, DAY)
    assert tree(tmp_path) == {"done/2026-11-23/a": "one"}


def test_a_file_that_another_command_has_moved_is_no_error(tmp_path):
    spool.put_away(tmp_path / "gone", DAY)
    spool.put_aside(tmp_path / "gone", "why")
    assert not (tmp_path / "bad" / "gone").exists()


def test_a_disk_that_takes_nothing_stops_the_command_and_loses_nothing(tmp_path):
    path = put(tmp_path, "a", "one")
    put(tmp_path, "done")
    with pytest.raises(SpoolUnusable, match="done/2026-11-23 cannot be used"):
        spool.put_away(path, DAY)
    assert path.read_text() == "one"


@pytest.mark.parametrize("stem", ["a" * 249, "a" * 240, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 124 + "a"])
def test_a_name_may_be_as_long_as_a_name_can_be(tmp_path, stem):
    for text in ("one", "two"):
        spool.put_away(put(tmp_path, f"{stem}.jsonl", text), DAY)
        spool.put_aside(put(tmp_path, f"{stem}.jsonl", text), f"why {text}")
        path = put(tmp_path, f"{stem}.jsonl", text)
        with spool.Rest(path) as rest:
            rest.write(1, None, f"rest of {text}", text)
            rest.keep()
        spool.put_away(path, DAY)
    found = tree(tmp_path)
    wanted = [form.format(text) for text in ("one", "two")
              for form in ("{}", "{}", "{}", "{}\n", "why {}\n", "line 1: rest of {}\n")]  # fmt: skip
    assert sorted(found.values()) == sorted(wanted)
    bad = {name: text for name, text in found.items() if name.startswith("bad/")}
    assert all(f"{name}.reason" in bad for name in bad if not name.endswith(".reason"))
    assert any(name.endswith(".jsonl") for name in bad)  # moved back, it is read
