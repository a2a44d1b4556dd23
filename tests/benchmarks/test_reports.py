"""Reports: what failed is said and nothing of it is published; a document changes in its marked blocks only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.command_line import POINTS, finish, main
from benchmarks.measuring import BenchmarkFailed, spread
from benchmarks.report import Report, Table, write_blocks

ROOT = Path(__file__).parents[2]
DOCUMENT = """\
before
<!-- bench: send -->
old
<!-- end of bench -->
between
<!-- bench: idle -->
older
<!-- end of bench -->
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "document.md"
    path.write_text(DOCUMENT)
    return path


def test_a_block_is_replaced_and_nothing_else(document: Path) -> None:
    write_blocks(document, [Report("send", [Table(("a", "b"), [("x", "1")])], heading=r"50 % \1")])
    assert document.read_text() == DOCUMENT.replace("old\n", "50 % \\1\n\n| a | b |\n| --- | ---: |\n| x | 1 |\n", 1)


def test_a_document_without_the_block_is_left_alone(document: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="0 blocks `<!-- bench: hosts -->`"):
        write_blocks(document, [Report("send", heading="new"), Report("hosts")])
    assert document.read_text() == DOCUMENT


def test_a_failed_point_ends_with_1_and_publishes_nothing(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("send", heading="new")
    report.demand(True, "not this one")
    report.demand(False, "one message was lost")
    assert finish([report, Report("idle", heading="new")], None, document) == 1
    assert document.read_text() == DOCUMENT
    assert "FAILED: send" in capsys.readouterr().err
    assert report.text().endswith("**FAILED**: one message was lost")


def test_what_went_well_ends_with_0_and_is_published(document: Path, tmp_path: Path) -> None:
    assert finish([Report("send", heading="new")], tmp_path / "figures.json", document) == 0
    assert document.read_text() == DOCUMENT.replace("old\n", "new\n", 1)
    assert (tmp_path / "figures.json").exists()


def test_every_point_and_the_machine_have_their_block_in_the_document() -> None:
    found = re.findall(
        r"<!-- bench: (\w+) -->\n(?:.*?)<!-- end of bench -->", (ROOT / "docs/PERFORMANCE.md").read_text(), re.DOTALL
    )
    assert sorted(found) == sorted([*POINTS, "machine"])


def test_an_unknown_point_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["sned"])
    assert stopped.value.code == 2
    assert "no such point: sned" in capsys.readouterr().err


def test_a_spread_tells_median_least_and_most() -> None:
    assert spread([3, 1000, 1]).text() == "3 (1 to 1,000)"
    assert spread([1234.5]).text(1) == "1,234.5"
