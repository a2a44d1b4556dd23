"""A spool folder of order events: each file counts by itself, is moved after the commit, and is never lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sendctl import faults
from sendctl.errors import BadInput, UsageError
from sendctl.passes import enqueue
from tests.passes.orders import STEP, Event, as_lines, event, item, write_campaign
from tests.store.ground import Ground

DONE = "done/2026-03-02"


def put(ground: Ground, name: str, *events: Event | str) -> Path:
    folder = ground.folder / "spool"
    folder.mkdir(exist_ok=True)
    (folder / f".{name}").write_text(as_lines(events))
    return (folder / f".{name}").rename(folder / name)


def run(ground: Ground, **options: Any) -> enqueue.EnqueueReport:
    campaign = {name: options.pop(name) for name in ("steps", "rest") if name in options}
    path = write_campaign(ground, **campaign)
    (ground.folder / "spool").mkdir(exist_ok=True)
    report = enqueue.run(ground.context, path, orders=ground.folder / "spool", **options)
    ground.clock.forward(seconds=1)
    return report


def files(ground: Ground) -> list[str]:
    folder = ground.folder / "spool"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_all_files_are_loaded_and_put_away_and_bad_ones_put_aside(ground: Ground) -> None:
    put(ground, "a.jsonl", event(1), event(2))
    put(ground, "b.jsonl", event(3), '{"id": "evt"}')
    put(ground, "c.jsonl", event(2), event(4))
    put(ground, "d.jsonl", event(5, email="nobody"))
    (ground.folder / "spool" / "e.tmp").write_text("half")
    report = run(ground)
    assert (report.files, report.rows, report.enrolled, report.not_eligible) == (2, 4, 3, {"repeated": 1})
    assert files(ground) == [
        "bad/b.jsonl", "bad/b.jsonl.reason", "bad/d.jsonl", "bad/d.jsonl.reason", f"{DONE}/a.jsonl", f"{DONE}/c.jsonl",
        "e.tmp",
    ]  # fmt: skip
    assert (ground.folder / "spool/bad/b.jsonl.reason").read_text() == (
        f"{ground.folder}/spool/b.jsonl:2:order: is missing: must be an object\n"
    )
    assert [warning.partition(":")[0] for warning in report.warnings] == [
        "b.jsonl was put aside",
        "d.jsonl was put aside",
    ]
    assert ground.one("SELECT count(*) FROM enrollments WHERE subject_key LIKE '3/%'") == 0


def test_a_mended_file_can_be_moved_back(ground: Ground) -> None:
    put(ground, "a.jsonl", event(1), '{"id": "evt"}')
    run(ground)
    (ground.folder / "spool/bad/a.jsonl").unlink()
    put(ground, "a.jsonl", event(1))
    assert run(ground).enrolled == 1


def test_an_empty_folder_leaves_no_trace_once_the_campaign_is_there(ground: Ground) -> None:
    assert run(ground).created
    before = ground.dump()
    report = run(ground)
    assert (report.warnings, report.files) == ([], 0)
    put(ground, "a.jsonl", "nonsense")
    assert run(ground).put_aside
    assert ground.dump() == before
    assert run(ground, steps=(STEP.replace("How", "And how"),)).revision == 2


def test_a_campaign_that_fits_no_order_is_to_blame_and_no_file_is_moved(ground: Ground) -> None:
    put(ground, "a.jsonl", event(1))
    put(ground, "b.jsonl", event(2))
    put(ground, "c.jsonl", "nonsense")
    with pytest.raises(BadInput, match=r"the template uses item\.colour, which this order lacks"):
        run(ground, steps=(STEP.replace("item.name", "item.colour"),))
    with pytest.raises(BadInput, match=r"the templates use itm\.name, which does not exist"):
        run(ground, steps=(STEP.replace("item.name", "itm.name"),))
    assert files(ground) == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert ground.one("SELECT count(*) FROM campaigns") == 0
    put(ground, "d.jsonl", event(3, [item(1, colour="red")]))
    assert run(ground, steps=(STEP.replace("item.name", "item.colour"),)).enrolled == 1
    bad = [f"bad/{name}.jsonl{end}" for name in "abc" for end in ("", ".reason")]
    assert files(ground) == [*bad, f"{DONE}/d.jsonl"]


def refund(order: int) -> Event:
    return event(order, type_="order.refunded", at="2026-03-02T08:00:00Z")


def test_a_refund_is_loaded_whatever_stands_beside_it(ground: Ground) -> None:
    put(ground, "a.jsonl", event(1))
    assert run(ground).exit_code == 0
    put(ground, "b.jsonl", event(2, items=None) | {"order": {"id": 2}})
    put(ground, "c.jsonl", refund(1))
    put(ground, "d.jsonl", "nonsense")
    report = run(ground)
    assert (report.stopped, report.exit_code) == ({"order.refunded": 1}, 3)
    assert ground.states() == {"cancelled": 1}
    assert [name for name, _ in report.left] == ["b.jsonl"]
    assert [one.partition(": ")[0] for one in report.warnings] == [
        "d.jsonl was put aside", "b.jsonl stays where it is, as the campaign fits no item of any file",
    ]  # fmt: skip
    assert files(ground) == ["b.jsonl", "bad/d.jsonl", "bad/d.jsonl.reason", f"{DONE}/a.jsonl", f"{DONE}/c.jsonl"]
    with pytest.raises(BadInput, match=r"b\.jsonl:1: order\.items is no list") as caught:
        run(ground)
    assert "--skip-bad" not in caught.value.hint
    assert "take its file out of the folder" in caught.value.hint
    put(ground, "e.jsonl", event(3))
    report = run(ground)  # the campaign is right: so the file is wrong
    assert (report.enrolled, report.exit_code, [name for name, _ in report.put_aside]) == (1, 0, ["b.jsonl"])


def test_a_file_that_is_named_like_something_else_is_left_alone_and_said(ground: Ground) -> None:
    put(ground, "notes.txt", event(1))
    report = run(ground)
    assert (report.enrolled, files(ground)) == (0, ["notes.txt"])
    assert [warning for warning in report.warnings if "is left alone" in warning] == [
        "spool/notes.txt is left alone: want a name that ends in .jsonl, .ndjson or .json",
    ]  # fmt: skip


def test_a_dry_run_moves_nothing(ground: Ground) -> None:
    put(ground, "a.jsonl", event(1))
    put(ground, "b.jsonl", "nonsense")
    report = run(ground, dry_run=True)
    assert (report.enrolled, report.put_aside[0][0]) == (1, "b.jsonl")
    assert report.warnings[0].startswith("b.jsonl cannot be used: ")
    assert files(ground) == ["a.jsonl", "b.jsonl"]


def test_a_folder_has_no_skip_file(ground: Ground) -> None:
    with pytest.raises(UsageError, match="not about a folder"):
        run(ground, skip_bad=ground.folder / "bad.jsonl")


@pytest.mark.parametrize("point", ["enqueue.before_commit", "enqueue.committed"])
def test_a_death_at_the_commit_leaves_the_files_for_the_next(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    put(ground, "a.jsonl", event(1), event(2, type_="order.refunded"))
    put(ground, "b.jsonl", "nonsense")
    with monkeypatch.context() as armed:
        for attribute, value in (("_name", point), ("_action", "raise"), ("_left", 1)):
            armed.setattr(faults, attribute, value)
        with pytest.raises(faults.InjectedFault):
            run(ground)
    assert files(ground) == ["a.jsonl", "b.jsonl"]
    known = {"known": 1} if point == "enqueue.committed" else {}
    assert run(ground).not_eligible == known
    assert ground.states() == {"queued": 1}
    assert files(ground) == ["bad/b.jsonl", "bad/b.jsonl.reason", f"{DONE}/a.jsonl"]


def test_a_file_that_another_command_took_meanwhile_is_its_business(ground: Ground) -> None:
    put(ground, "a.jsonl", event(1))
    taken = put(ground, "b.jsonl", event(2))
    with ground.once_after("FROM store", taken.unlink):  # between the two readings
        report = run(ground)
    assert (report.enrolled, files(ground)) == (1, [f"{DONE}/a.jsonl"])


def test_a_file_that_changes_between_the_readings_stops_the_command(ground: Ground) -> None:
    path = put(ground, "a.jsonl", event(1))

    def exchange() -> None:
        path.unlink()
        put(ground, "a.jsonl", event(1), event(2))

    with ground.once_after("FROM store", exchange), pytest.raises(BadInput, match="changed while it was read"):
        run(ground)
    assert ground.states() == {}
    assert run(ground).enrolled == 2


def test_many_files_need_no_more_descriptors_than_one(ground: Ground) -> None:
    for number in range(1, 1300):
        (ground.folder / "spool").mkdir(exist_ok=True)
        (ground.folder / "spool" / f"{number:05}.jsonl").write_text(json.dumps(event(number)) + "\n")
    assert run(ground).enrolled == 1299
    assert len(files(ground)) == 1299


def test_a_newer_file_of_the_same_name_is_not_taken_for_the_one_that_was_loaded(ground: Ground) -> None:
    path = put(ground, "a.jsonl", event(1))

    def exchange() -> None:  # at the end of the load: another command has moved it, and a webhook has come
        path.unlink()
        put(ground, "a.jsonl", event(2))

    with ground.once_after("INSERT INTO audit", exchange):
        assert run(ground).enrolled == 1
    assert files(ground) == ["a.jsonl"]
    assert run(ground).enrolled == 1
    assert ground.states() == {"queued": 2}


def test_a_bad_file_with_a_long_name_goes_aside_like_others(ground: Ground) -> None:
    put(ground, "a" * 240 + ".jsonl", "nonsense")
    put(ground, "b.jsonl", event(1))
    report = run(ground)
    assert (report.enrolled, report.files, len(report.put_aside), report.exit_code) == (1, 1, 1, 0)
    assert [path for path in files(ground) if "/" not in path] == []


def test_what_cannot_be_moved_is_said_and_keeps_neither_the_others_nor_the_report_back(ground: Ground) -> None:
    put(ground, "a.jsonl", event(1))
    put(ground, "b.jsonl", "nonsense")
    (ground.folder / "spool" / "bad").write_text("in the way")
    report = run(ground)
    assert (report.enrolled, report.files, report.exit_code) == (1, 1, 69)
    assert files(ground) == ["b.jsonl", "bad", f"{DONE}/a.jsonl"]
    refused, stays = [one for one in report.warnings if one.startswith("b.jsonl")]
    assert refused.startswith("b.jsonl cannot be used: ")
    assert stays.startswith("b.jsonl stays where it is: the spool ")
    (ground.folder / "spool" / "bad").unlink()
    assert (run(ground).exit_code, files(ground)) == (0, ["bad/b.jsonl", "bad/b.jsonl.reason", f"{DONE}/a.jsonl"])
