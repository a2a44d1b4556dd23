"""Reply parsing: whatever the cuts between packets, the same replies; whatever is not SMTP, an error."""

from __future__ import annotations

import contextlib
from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendctl.providers.smtp.replies import (
    LINE_MAX_BYTES,
    REPLY_MAX_BYTES,
    ProtocolViolation,
    Reply,
    ReplyParser,
    printable,
)

STREAM = b"220 hi\r\n250-one\r\n250-\r\n250 two\r\n354\r\n550-5.1.1 no\r\n550 5.1.1 body\r\n"
REPLIES = [
    Reply(220, (b"hi",)),
    Reply(250, (b"one", b"", b"two")),
    Reply(354, (b"",)),
    Reply(550, (b"5.1.1 no", b"5.1.1 body")),
]


def _fed(*chunks: bytes) -> list[Reply]:
    parser, replies = ReplyParser(), deque[Reply]()
    for chunk in chunks:
        parser.feed(chunk, replies)
    return list(replies)


@given(st.lists(st.integers(0, len(STREAM)), max_size=20).map(sorted))
def test_cuts_between_packets_change_nothing(cuts: list[int]) -> None:
    bounds = [0, *cuts, len(STREAM)]
    assert _fed(*(STREAM[a:b] for a, b in pairwise(bounds))) == REPLIES


@given(st.binary(max_size=300))
def test_any_bytes_give_replies_or_a_violation_and_nothing_else(data: bytes) -> None:
    replies = deque[Reply]()
    with contextlib.suppress(ProtocolViolation):
        ReplyParser().feed(data, replies)
    for reply in replies:
        assert 200 <= reply.code <= 599
        assert reply.text.isprintable()
        assert reply.queue_id.isprintable()


@pytest.mark.parametrize(
    "bad",
    [
        b"hello\r\n",
        b"25\r\n",
        b"2500\r\n",
        b"250_x\r\n",
        b"150 x\r\n",
        b"\r\n",
        b" 250 x\r\n",
        b"250-a\r\n251 b\r\n",
        "２５０ x\r\n".encode(),
    ],
)
def test_what_is_not_a_reply_is_a_violation(bad: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        _fed(bad)


def test_replies_before_a_violation_are_delivered() -> None:
    replies = deque[Reply]()
    with pytest.raises(ProtocolViolation):
        ReplyParser().feed(b"250 ok\r\nhello\r\n", replies)
    assert list(replies) == [Reply(250, (b"ok",))]


def test_memory_is_bounded_for_a_line_and_for_a_reply() -> None:
    with pytest.raises(ProtocolViolation):
        _fed(b"250 " + b"x" * LINE_MAX_BYTES)
    with pytest.raises(ProtocolViolation):
        _fed(*([b"250-" + b"x" * 1000 + b"\r\n"] * (REPLY_MAX_BYTES // 1000 + 1)))


@pytest.mark.parametrize(
    ("line", "queue_id"),
    [
        (b"2.0.0 Ok: queued as 4F2Ab9XyZ", "4F2Ab9XyZ"),
        (b"OK id=1tAbCd-000000001Ab-2xyz", "1tAbCd-000000001Ab-2xyz"),
        (b"2.0.0 4ANxx123 Message accepted for delivery", "4ANxx123"),
        (b"2.6.0 <abc@host> Queued mail for delivery", "<abc@host> Queued mail for delivery"),
        (b"Ok \x1b[31m0100018c-ses", r"Ok \x1b[31m0100018c-ses"),
        (b"", ""),
    ],
)
def test_the_servers_name_for_the_message_is_found(line: bytes, queue_id: str) -> None:
    assert Reply(250, (line,)).queue_id == queue_id


@pytest.mark.parametrize(
    ("code", "line", "enhanced"),
    [
        (550, b"5.1.1 no", "5.1.1"),
        (550, b"4.1.1 no", ""),
        (550, b"5.1.1", "5.1.1"),
        (250, b"ok 2.0.0", ""),
        (550, b"5.1.1234 x", ""),
    ],
)
def test_an_enhanced_code_counts_only_where_it_agrees(code: int, line: bytes, enhanced: str) -> None:
    assert Reply(code, (line,)).enhanced == enhanced


def test_a_reply_without_words_is_its_code() -> None:
    assert Reply(250, (b"",)).text == "250"


def test_printable_text_is_one_short_line() -> None:
    assert printable("a\r\nb\x00\u2028\u200bc") == r"a\r\nb\x00\u2028\u200bc"
    assert printable(b"gr\xc3\xbcn \xff") == "grün \\xff"
    assert len(printable("x" * 10_000)) == 500
