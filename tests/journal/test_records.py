"""The journal's form: a file cut or damaged anywhere reads as what stood before, never as anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendctl.errors import Unreachable
from sendctl.journal.records import (
    NEWEST_WITHIN_BYTES,
    Header,
    Trace,
    begin_line,
    dot_line,
    encode,
    header_record,
    newest,
    outcome_line,
    read,
)
from sendctl.providers.base import Outcome, Phase, Scope
from sendctl.states import AttemptOutcome

HEADER = Header("store", "run", 0, "host", "boot", "2026-03-02T09:00:00+00:00")
SAID = Outcome(AttemptOutcome.DEFERRED, Phase.REPLIED, Scope.PROVIDER, 451, "4.7.1", "später, \n\"bald\"", "throttled",
               "ref-1", 30.5)  # fmt: skip
RECORDS = [
    encode(header_record(HEADER)),
    begin_line(1, 1, "claim", "key-1", "primary", 1000.5, "print", 999.125),
    dot_line(1, 1),
    outcome_line(1, 1, SAID, 1001.25),
    begin_line(2, 1, "claim", "key-2", "primary", 1002.0, "print", 999.125),
]


def written(path: Path, lines: list[bytes], tail: bytes = b"") -> Path:
    path.write_bytes(b"".join(lines) + tail)
    return path


def said(path: Path) -> tuple[Header | None, dict[tuple[int, int], Trace]]:
    journal = read(path)
    return journal.header, journal.traces


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.0.journal"


def test_what_is_written_is_read_back(path: Path) -> None:
    journal = read(written(path, RECORDS))
    assert journal.header == HEADER
    assert journal.traces == {
        (1, 1): Trace(1, 1, "claim", "key-1", "primary", 1000.5, "print", 999.125, True, SAID, 1001.25),
        (2, 1): Trace(2, 1, "claim", "key-2", "primary", 1002.0, "print", 999.125),
    }


@pytest.mark.parametrize("last", range(len(RECORDS)))
def test_a_record_cut_at_any_byte_is_whole_or_absent(path: Path, last: int) -> None:
    before, after = said(written(path, RECORDS[:last])), said(written(path, RECORDS[: last + 1]))
    assert before != after
    head, line = b"".join(RECORDS[:last]), RECORDS[last]
    for size in range(len(line) + 1):
        for tail in (b"", b"\0" * 64):  # cut short, or in space that was taken beforehand
            path.write_bytes(head + line[:size] + tail)
            assert said(path) == (after if size == len(line) else before), (size, tail)
            assert read(path).whole == bool(tail), "only the zeros taken ahead show that nothing is missing"


@pytest.mark.parametrize("record", range(len(RECORDS)))
def test_a_flipped_bit_ends_the_file_there(path: Path, record: int) -> None:
    before = said(written(path, RECORDS[:record]))
    for place in range(len(RECORDS[record])):
        for bit in range(8):
            damaged = bytearray(RECORDS[record])
            damaged[place] ^= 1 << bit
            path.write_bytes(b"".join([*RECORDS[:record], bytes(damaged), *RECORDS[record + 1 :], b"\0" * 64]))
            assert said(path) == before, (place, bit)
            assert not read(path).whole, (place, bit)


def test_space_taken_and_not_used_is_the_end(path: Path) -> None:
    assert not read(written(path, RECORDS)).whole
    assert read(written(path, RECORDS, b"\0" * 300_000)).whole
    assert said(path) == said(written(path, RECORDS))


def test_a_journal_that_was_closed_is_whole(path: Path) -> None:
    assert read(written(path, [*RECORDS, encode(["e"])])).whole
    assert said(path) == said(written(path, RECORDS))


def test_a_closing_record_without_its_newline_closes_nothing(path: Path) -> None:
    closing = encode(["e"])
    assert not read(written(path, RECORDS, closing[:-1])).whole
    assert not read(written(path, RECORDS, closing[:-1] + b"x")).whole


def test_a_hole_behind_the_last_record_proves_no_absence(path: Path) -> None:
    """A page in the middle that a power loss took away: what stood behind it may have been records."""
    assert read(written(path, RECORDS, b"1234abcd [" + b"\0" * 64)).whole
    assert not read(written(path, RECORDS, b"1234abcd [" + b"\0" * 64 + b"rest of a record" + b"\0" * 64)).whole


def test_a_header_in_any_letters_is_read_back(path: Path) -> None:
    header = Header("store", "run", 0, "büro", "boot", "2026-03-02T09:00:00+00:00")
    assert read(written(path, [encode(header_record(header))])).header == header


def test_an_empty_file_and_one_of_zeros_have_no_header(path: Path) -> None:
    for content in (b"", b"\0" * 4096, b"\n", b"garbage\n"):
        path.write_bytes(content)
        assert said(path) == (None, {})


def test_an_outcome_without_a_begin_is_no_trace(path: Path) -> None:
    assert read(written(path, [RECORDS[0], RECORDS[3]])).traces == {}


def test_a_header_of_another_version_is_no_header(path: Path) -> None:
    assert read(written(path, [encode(["run", 2, *header_record(HEADER)[2:]])])).header is None


def test_the_newest_attempt_of_a_growing_journal_is_found(path: Path) -> None:
    many = [begin_line(number, 1, "claim", f"key-{number}", "primary", 1.0, "print", 1.0) for number in range(5000)]
    everything = read(written(path, [RECORDS[0], *many], b"\0" * 300_000)).traces
    assert newest(path) == {(4999, 1): everything[4999, 1]}
    behind = [dot_line(number, 1) for number in range(5000)]  # what all connections wrote since
    everything = read(written(path, [RECORDS[0], *many, *behind], b"\0" * 300_000)).traces
    assert newest(path) == {(4999, 1): everything[4999, 1]}
    torn = begin_line(5000, 1, "claim", "key-5000", "primary", 1.0, "print", 1.0)[:-20]
    assert newest(written(path, [RECORDS[0], *many, torn], b"\0" * 300_000)) == {(4999, 1): Trace(*TRACE_OF_4999)}


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_begin_that_lies_across_the_first_look_is_found_by_the_second(path: Path, cut: int) -> None:
    first_look = NEWEST_WITHIN_BYTES[0]
    begin = begin_line(7, 1, "claim", "key-7", "primary", 1.0, "print", 1.0)
    dots = dot_line(7, 1) * (first_look // len(dot_line(7, 1)) + 1)
    behind = dots[: first_look - len(begin) + cut].rpartition(b"\n")[0] + b"\n"
    padding = first_look - len(begin) + cut - len(behind)
    lines = [RECORDS[0], begin, behind, b"x" * (padding - 1) + b"\n" if padding else b""]
    assert list(newest(written(path, lines, b"\0" * 5000))) == [(7, 1)]


def test_a_journal_that_has_begun_nothing_has_no_newest_attempt(path: Path) -> None:
    for content in (RECORDS[:1], []):
        for zeros in (b"", b"\0" * 5000):
            assert newest(written(path, content, zeros)) == {}


TRACE_OF_4999 = (4999, 1, "claim", "key-4999", "primary", 1.0, "print", 1.0)


outcomes = st.builds(
    Outcome,
    st.sampled_from(AttemptOutcome),
    st.sampled_from(Phase),
    st.sampled_from(Scope),
    st.none() | st.integers(100, 599),
    st.text(max_size=8),
    st.text(max_size=500),
    st.text(max_size=20),
    st.text(max_size=50),
    st.none() | st.floats(0),
)


@given(st.integers(1), st.integers(1), st.text(), outcomes, st.floats(0, 1e12))
def test_records_put_together_by_hand_are_what_an_encoder_makes(
    message_id: int, number: int, text: str, outcome: Outcome, at: float
) -> None:
    """Each is JSON, whatever texts it holds: one line that no reader understands would end the journal."""
    kind, phase, scope, *rest = outcome
    assert begin_line(message_id, number, text, text, text, at, text, at) == encode(
        ["b", message_id, number, text, text, text, at, text, at]
    )
    assert dot_line(message_id, number) == encode(["d", message_id, number])
    assert outcome_line(message_id, number, outcome, at) == encode(
        ["o", message_id, number, kind, phase, scope, *rest, at]
    )


@given(outcomes)
def test_whatever_a_provider_says_is_one_line_and_reads_back(outcome: Outcome) -> None:
    line = outcome_line(7, 2, outcome, 12.5)
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert len(line) < 3072 + 3072  # two messages' worth of reserved space even when every character is escaped


def test_a_longest_reply_fits_into_the_space_that_is_taken_for_a_message() -> None:
    from sendctl.journal.writer import BYTES_PER_MESSAGE  # noqa: PLC0415

    longest = Outcome(AttemptOutcome.UNKNOWN, Phase.DOTTED, Scope.CAMPAIGN, 599, "5.7.255", "\ufffd" * 500, "x" * 20,
                      "y" * 255, 86400.25)  # fmt: skip
    message_id, number = 10**15, 10**4
    size = sum(
        len(line)
        for line in (
            begin_line(message_id, number, "c" * 16, "k" * 32, "p" * 64, 1e10 + 0.123456, "f" * 16, 1e10 + 0.123456),
            dot_line(message_id, number),
            outcome_line(message_id, number, longest, 1e10 + 0.123456),
        )
    )
    assert size <= BYTES_PER_MESSAGE + 1000  # CHUNK_BYTES on top of it covers the few replies that are this long


def test_a_record_that_this_version_does_not_know_proves_no_absence(path: Path) -> None:
    """A later version may have said in it that something left."""
    journal = read(written(path, [*RECORDS, encode(["b", 3, 1]), encode(["e"])]))
    assert not journal.whole
    assert journal.traces == read(written(path, RECORDS)).traces


def test_a_begin_without_contents_is_a_begin(path: Path) -> None:
    trace = read(
        written(path, [RECORDS[0], encode(["b", 1, 1, "claim", "key", "primary", 1.5]), dot_line(1, 1)])
    ).traces
    assert trace == {(1, 1): Trace(1, 1, "claim", "key", "primary", 1.5, dotted=True)}


def test_a_journal_that_cannot_be_read_is_an_error_that_names_it(path: Path) -> None:
    path.mkdir()
    with pytest.raises(Unreachable, match="cannot be read"):
        read(path)
