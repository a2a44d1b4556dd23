"""Transfer encodings: each chosen for a reason, each decoded by the stdlib to what went in."""

from __future__ import annotations

import quopri
from base64 import b64decode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendctl.rendering import mime

DECODE = {"7bit": bytes, "quoted-printable": quopri.decodestring, "base64": b64decode}


def encoded(text: str) -> mime.Body:
    """The body of `text`, after checking that it decodes and has only short ASCII lines."""
    text = mime.canonical(text)
    result = mime.body("plain", text)
    assert DECODE[result.transfer_encoding](result.data).decode() == text.replace("\n", "\r\n")
    assert result.data.isascii()
    assert result.data.endswith(b"\r\n")
    for line in result.data[:-2].split(b"\r\n"):
        assert len(line) <= 78
        assert b"\r" not in line
        assert b"\n" not in line
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello\n.\n..\n= a=b\ntrailing \n", "7bit"),
        ("x" * 78, "7bit"),
        ("x" * 79, "quoted-printable"),
        ("trailing space " * 20, "quoted-printable"),
        ("Grüße aus Köln, wo es noch regnet", "quoted-printable"),
        ("Ελληνικά", "base64"),
        ("From here on", "base64"),
        ("One\nFrom two", "base64"),
        ("escape \x1b here", "quoted-printable"),
        ("." * 200, "quoted-printable"),
        ("=" * 200, "base64"),
    ],
)
def test_the_encoding_follows_the_content(text, expected):
    assert encoded(text).transfer_encoding == expected


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab .=\t\r\n\x0b\x1fé€From"), min_size=1, max_size=300))
def test_every_mix_of_line_ends_dots_and_blanks_survives(text):
    if text.strip():
        encoded("x" + text)


def test_a_quoted_printable_line_ends_in_neither_blank_nor_a_lone_dot():
    data = encoded("é" + "blank at the end \nand a tab\t\n.\nlast ").data
    assert not [line for line in data.split(b"\r\n") if line.endswith((b" ", b"\t")) or line == b"."]
