"""The comparison that the runbook tests rest on: it forgives what varies between two runs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.console import Command, Situation, missing, parts

FOLDER = Path("/tmp/somewhere")  # never opened


def test_times_ids_spans_pids_and_ports_may_differ() -> None:
    shown = ["run abcdefgh234567ab (pid 4711) died, 3 messages at 2026-11-22 05:00:00Z (4 s ago), port 25, oldest=4s"]
    printed = "run zyxwvuts765432zy (pid 12) died, 3 messages at 2027-01-01 00:00:00Z (9 h ago), port 33, oldest=0s"
    assert missing(shown, printed, FOLDER) is None


def test_a_word_that_is_not_printed_is_found_out() -> None:
    assert missing(["3 messages in doubt"], "3 messages queued again", FOLDER) == "3 messages in doubt"


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("3 messages in doubt", "2 messages in doubt"),
        ("queued 0 + sent 200", "queued 3 + sent 197"),
        ("queued=80 in_doubt=1", "queued=80 in_doubt=0"),
        ("Worst case: 1 people", "Worst case: 0 people"),
        ("sent 20", "sent 200"),
        ("20 messages", "120 messages"),
        ("50%  100 of 200 settled", "51%  101 of 200 settled"),
    ],
)
def test_a_wrong_count_is_found_out(shown: str, printed: str) -> None:
    assert missing([shown], printed, FOLDER) == shown


def test_text_may_be_wrapped_elsewhere() -> None:
    assert missing(["until 2026-11-22\n  05:00:00Z on"], "until 2026-11-22 06:00:00Z on", FOLDER) is None


def test_order_counts() -> None:
    assert missing(["second", "first"], "first\nsecond", FOLDER) == "first"


def test_commands_know_their_exit_code_and_output(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("<!-- situation: night -->\n```console\n$ a --b    # exit 3\nsaid\n...\nmore\n$ c\n```\n")
    situation, first, second = parts(document)
    assert situation == Situation(1, "night")
    assert first == Command(3, "a --b    # exit 3", 3, ["said", "\nmore"])
    assert second == Command(7, "c", 0, [])
