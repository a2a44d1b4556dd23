"""The comparison that the runbook tests rest on: it forgives what varies between two runs, and nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.docs.console import Command, Situation, missing, parts

FOLDER = Path("/tmp/somewhere")  # never opened


def test_times_ids_and_numbers_may_differ() -> None:
    shown = ["run abcdefgh234567ab died, 3 messages at 2026-11-22 05:00:00Z (4 s ago)"]
    printed = "run zyxwvuts765432zy died, 1 message at 2027-01-01 00:00:00Z (12 min ago)"
    assert missing(shown, printed, FOLDER) is None


def test_a_word_that_is_not_printed_is_found_out() -> None:
    assert missing(["3 messages in doubt"], "3 messages queued again", FOLDER) == "3 messages in doubt"


def test_nothing_is_not_something() -> None:
    assert missing(["queued 0 + sent 200"], "queued 3 + sent 197", FOLDER) is not None


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
