"""Log lines are written by strangers: nothing in them may break the search or forge a verdict."""

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendctl.evidence.logs import LINE_BYTES
from sendctl.evidence.model import Absent, Accepted, CannotTell
from tests.evidence.writing import KEY, active, client, exim, find, find_in, framed, named, postfix, write

PIECES = st.sampled_from(
    [
        b"Nov 22 04:00:00 mx postfix/cleanup[1]: ",
        b"2026-11-22T04:00:00Z mx postfix/smtpd[1]: ",
        b"2026-99-99T99:99:99Z mx postfix/qmgr[1]: ",
        b"9999-12-31T23:59:59-23:59 mx postfix/cleanup[1]: ",
        b"0001-01-01 00:00:00 +1400 ",
        b"2026-11-22 04:00:00 1xUzXX-0002An-2L ",
        b"A1: ",
        b"message-id=<" + KEY.encode() + b">",
        b"client=x",
        b"to=<ann@client.example>, status=sent",
        b"lost connection after DATA",
        b"warning: ",
        b"<= a@b P=esmtp id=",
        b"Completed",
        b"=> ",
        b"\n",
        b"\r",
        b"\0",
        b"\xff\xfe",
        b" " * 50,
    ]
)
JUNK = st.lists(PIECES | st.binary(max_size=20), max_size=60).map(b"".join)


@pytest.mark.parametrize("mta", ["postfix", "exim"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=JUNK)
def test_no_bytes_make_the_search_fail(tmp_path: Path, mta: Literal["postfix", "exim"], junk: bytes) -> None:
    found = find(write(tmp_path / "log", junk), mta=mta)
    assert isinstance(found, Accepted | Absent | CannotTell)
    compressed = find(write(tmp_path / "gz", b"\x1f\x8b\x08" + junk), mta=mta)
    assert isinstance(compressed, CannotTell)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=300))
def test_junk_between_the_lines_hides_no_acceptance(tmp_path: Path, junk: bytes) -> None:
    lines = b"".join(
        junk.replace(b"\n", b"") + b"\n" + line.encode() for line in (client("A1"), named("A1"), active("A1"))
    )
    log = write(tmp_path / "log", framed([]).encode() + lines)
    assert isinstance(find(log), Accepted)


def test_an_endless_line_is_cut_and_the_next_one_read(tmp_path: Path) -> None:
    endless = postfix(0, "smtpd[9]", "x" * (5 * LINE_BYTES))
    exact = "y" * (LINE_BYTES - 1) + "\n"
    assert isinstance(find_in(tmp_path, [endless, exact, client("A1"), named("A1"), endless, active("A1")]), Accepted)


def test_the_tail_of_an_endless_line_is_not_read_as_a_line(tmp_path: Path) -> None:
    lines = client("A1") + named("A1")
    forged = postfix(0, "smtpd[9]", "").rstrip("\n")
    forged += "x" * (LINE_BYTES - len(forged)) + active("A1")
    assert isinstance(find_in(tmp_path, [lines, forged]), CannotTell)


def test_a_line_inside_another_is_not_a_line(tmp_path: Path) -> None:
    inside = postfix(0, "smtp[9]", f"B1: to=<x@y.example>, status=deferred (said: {active('A1').strip()})")
    assert isinstance(find_in(tmp_path, [client("A1"), named("A1"), inside]), CannotTell)
    log = exim(0, f"H=(1xUzXX-0002An-2L <= a P=esmtp id={KEY} ) rejected")
    assert not isinstance(find(write(tmp_path / "mainlog", log), mta="exim"), Accepted)
