"""When silence in the logs is proof of absence, and when it is not."""

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sendctl.evidence import logs
from sendctl.evidence.model import Absent, Accepted, CannotTell
from sendctl.evidence.search import search
from tests.evidence.writing import (
    AFTER,
    BEFORE,
    DOTTED_AT,
    KEY,
    NOW,
    active,
    client,
    find,
    find_in,
    framed,
    named,
    postfix,
    wanted,
    write,
)


def quiet(offset_s: float, host: str = "mx") -> str:
    return postfix(offset_s, "anvil[4]", "statistics: max cache size 1", host=host)


def test_a_complete_and_settled_log_proves_absence(tmp_path: Path) -> None:
    assert isinstance(find_in(tmp_path, []), Absent)


@pytest.mark.parametrize(
    ("offsets_s", "word"),
    [((-59, AFTER), "begins"), ((BEFORE, 599), "ends"), ((700, AFTER), "begins"), ((BEFORE, -70), "ends")],
)
def test_a_log_that_does_not_reach_around_the_moment_proves_nothing(
    tmp_path: Path, offsets_s: tuple[int, int], word: str
) -> None:
    found = find(write(tmp_path / "mail.log", "".join(map(quiet, offsets_s))))
    assert isinstance(found, CannotTell)
    assert word in found.reason


def test_the_edges_of_the_settling_time_are_enough(tmp_path: Path) -> None:
    log = write(tmp_path / "mail.log", quiet(-60) + quiet(600))
    assert isinstance(find(log, now=DOTTED_AT + timedelta(seconds=600)), Absent)
    assert isinstance(find(log, now=DOTTED_AT + timedelta(seconds=599)), CannotTell)


def test_the_log_must_reach_back_to_the_first_byte_that_may_have_left(tmp_path: Path) -> None:
    log = write(tmp_path / "mail.log", framed([]))
    first_line_at = DOTTED_AT + timedelta(seconds=BEFORE)
    assert isinstance(find(log, begun_at=first_line_at + timedelta(seconds=60)), Absent)
    assert isinstance(find(log, begun_at=first_line_at + timedelta(seconds=59)), CannotTell)


def test_a_line_still_being_written_does_not_count(tmp_path: Path) -> None:
    log = write(tmp_path / "mail.log", quiet(BEFORE) + quiet(10) + quiet(AFTER).rstrip("\n"))
    assert isinstance(find(log), CannotTell)


def test_rotated_files_are_joined_by_their_content_not_by_their_names(tmp_path: Path) -> None:
    write(tmp_path / "mail.log", active("A1", -15) + quiet(AFTER))
    older = quiet(BEFORE) + client("A1", -20) + named("A1", -20)
    write(tmp_path / "mail.log.1.gz", gzip.compress(older.encode()))
    assert isinstance(find(tmp_path / "mail.log*"), Accepted)
    assert isinstance(find(tmp_path / "mail.log*", key="none@shop.example"), Absent)


def test_a_missing_rotated_file_is_a_hole(tmp_path: Path) -> None:
    write(tmp_path / "mail.log", quiet(300) + quiet(AFTER))
    write(tmp_path / "mail.log.2", quiet(BEFORE) + quiet(-100))
    found = find(tmp_path / "mail.log*")
    assert isinstance(found, CannotTell)
    assert "hole between" in found.reason


def test_a_hole_far_from_the_moment_does_no_harm(tmp_path: Path) -> None:
    write(tmp_path / "mail.log", quiet(-600) + quiet(AFTER))
    write(tmp_path / "mail.log.2", quiet(-9000) + quiet(-8000))
    assert isinstance(find(tmp_path / "mail.log*"), Absent)


def test_each_host_in_the_logs_must_cover_the_moment(tmp_path: Path) -> None:
    write(tmp_path / "a.log", framed([]))
    write(tmp_path / "b.log", quiet(BEFORE, "mx2") + quiet(60, "mx2"))
    found = find(tmp_path / "*.log")
    assert isinstance(found, CannotTell)
    assert "mx2" in found.reason


def test_a_host_retired_long_before_need_not_cover_the_moment(tmp_path: Path) -> None:
    write(tmp_path / "a.log", framed([]))
    write(tmp_path / "b.log", quiet(-200_000, "old") + quiet(-100_000, "old"))
    assert isinstance(find(tmp_path / "*.log"), Absent)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress])
def test_compressed_logs_are_known_by_their_first_bytes(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    log = write(tmp_path / "anything", compress(framed([client("A1"), named("A1"), active("A1")]).encode()))
    assert isinstance(find(log), Accepted)
    assert isinstance(find(log, key="none@shop.example"), Absent)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress])
def test_a_damaged_file_forbids_absence_but_not_acceptance(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    lines = [quiet(i / 1000) for i in range(20_000)]
    whole = compress(framed([client("A1"), named("A1"), active("A1"), *lines]).encode())
    write(tmp_path / "mail.log.1", whole[: len(whole) * 9 // 10])
    write(tmp_path / "mail.log", framed([client("B1"), named("B1", 0, "b@shop.example"), active("B1")]))
    found = find(tmp_path / "mail.log*", key="none@shop.example")
    assert isinstance(found, CannotTell)
    assert "mail.log.1" in found.reason
    assert isinstance(find(tmp_path / "mail.log*", key="b@shop.example"), Accepted)


def test_files_that_cannot_be_used_forbid_absence(tmp_path: Path) -> None:
    complete = write(tmp_path / "mail.log", framed([]))
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path / "other", "kernel panic\n" * 3)
    write(tmp_path / "zstd", b"\x28\xb5\x2f\xfd" + bytes(40))
    for other in ("missing*", "pipe", "other", "zstd"):
        found = find(complete, tmp_path / other)
        assert isinstance(found, CannotTell), other
        assert other in found.reason


def test_an_empty_file_just_rotated_does_no_harm(tmp_path: Path) -> None:
    write(tmp_path / "mail.log", "")
    write(tmp_path / "mail.log.1", framed([]))
    assert isinstance(find(tmp_path / "mail.log*"), Absent)


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    log = write(tmp_path / "mail.log", framed([client("A1"), named("A1"), active("A1")]))
    assert isinstance(find(log, tmp_path / "*.log", log), Accepted)


def test_no_files_at_all_cannot_tell() -> None:
    assert isinstance(find(), CannotTell)


def test_many_messages_are_settled_in_one_search(tmp_path: Path) -> None:
    lines = [client("A1"), named("A1", 0, "a@x"), active("A1"), client("B1", 1), named("B1", 1, "b@x")]
    log = write(tmp_path / "mail.log", framed(lines))
    found = search([log], "postfix", [wanted(key) for key in ("a@x", "b@x", "c@x")], now=NOW)
    assert [type(found[key]) for key in ("a@x", "b@x", "c@x")] == [Accepted, CannotTell, Absent]


def traditional(text: str) -> str:
    return f"{text} mx postfix/anvil[4]: statistics: max cache size 1\n"


def test_traditional_stamps_take_their_year_from_the_file(tmp_path: Path) -> None:
    last_year = NOW - timedelta(days=365)
    log = traditional("Nov 22 03:00:00") + traditional("Nov 22 05:00:00")
    utc = ZoneInfo("UTC")
    now_file = write(tmp_path / "now", log)
    old_file = write(tmp_path / "old", log, written_at=last_year)
    assert isinstance(search([now_file], "postfix", [wanted()], now=NOW, zone=utc)[KEY], Absent)
    assert isinstance(search([old_file], "postfix", [wanted()], now=NOW, zone=utc)[KEY], CannotTell)


def test_traditional_stamps_cross_the_new_year_and_leap_days(tmp_path: Path) -> None:
    new_year = DOTTED_AT.replace(year=2027, month=1, day=1, hour=0)
    log = write(tmp_path / "a", traditional("Dec 31 23:50:00") + traditional("Jan  1 01:00:00"), written_at=new_year)
    later = new_year + timedelta(days=2)
    one = wanted(dotted_at=new_year)
    assert isinstance(search([log], "postfix", [one], now=later, zone=ZoneInfo("UTC"))[KEY], Absent)
    leap = write(tmp_path / "b", traditional("Feb 29 23:50:00") + traditional("Feb 30 01:00:00"), written_at=new_year)
    assert isinstance(search([leap], "postfix", [one], now=later, zone=ZoneInfo("UTC"))[KEY], CannotTell)


def test_an_hour_that_occurs_twice_is_read_as_the_one_that_covers_less(tmp_path: Path) -> None:
    # Berlin, 25 October 2026: 02:00 to 03:00 occurs at 00:00 UTC and again at 01:00 UTC.
    berlin, at = ZoneInfo("Europe/Berlin"), DOTTED_AT.replace(month=10, day=25, hour=0, minute=45)
    ends = write(tmp_path / "ends", traditional("Oct 25 01:00:00") + traditional("Oct 25 02:59:00"))
    begins = write(tmp_path / "begins", traditional("Oct 25 02:10:00") + traditional("Oct 25 09:00:00"))
    for log in (ends, begins):
        found = search([log], "postfix", [wanted(dotted_at=at + timedelta(minutes=10))], now=NOW, zone=berlin)[KEY]
        assert isinstance(found, CannotTell), log
    both = search([ends, begins], "postfix", [wanted(dotted_at=at.replace(hour=9))], now=NOW, zone=berlin)[KEY]
    assert isinstance(both, CannotTell)


def test_a_file_replaced_since_the_search_began_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "mail.log", framed([]))
    (file,), problems = logs.find([path])
    path.rename(tmp_path / "mail.log.1")
    write(path, framed([]))
    assert not problems
    with pytest.raises(logs.RotatedMeanwhile):
        list(logs.lines(file))


def test_a_file_inside_of_what_another_covers_makes_no_hole(tmp_path: Path) -> None:
    outer = write(tmp_path / "mail.log", quiet(BEFORE) + quiet(AFTER))
    inner = write(tmp_path / "mail.log.copy", quiet(-30) + quiet(30))
    assert isinstance(find(outer, inner), Absent)
