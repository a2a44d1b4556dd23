"""A list of addresses: one on a line, normalised; any line that is none is named by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendctl.errors import BadInput
from sendctl.inputs.address_list import open_address_list
from sendctl.inputs.source_file import RECORD_MAX_CHARACTERS


def keys_of(folder: Path, content: bytes) -> list[str]:
    path = folder / "list.txt"
    path.write_bytes(content)
    with open_address_list(path) as found:
        first = list(found.keys())
        assert list(found.keys()) == first  # read again from the start
    return first


def test_addresses_and_numbers_are_normalised_and_blank_lines_left_out(tmp_path: Path) -> None:
    content = "\ufeff Ana@Example.COM \r\n\n\t\nchloe@bücher.example\n+49 (30) 123456-78".encode()
    assert keys_of(tmp_path, content) == ["ana@example.com", "chloe@xn--bcher-kva.example", "+493012345678"]


def test_an_empty_list_has_nothing_in_it(tmp_path: Path) -> None:
    assert keys_of(tmp_path, b"") == keys_of(tmp_path, b"\n \n") == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"email", "neither an e-mail address, which has an @, nor a phone number"),
        (b"# comment", "neither an e-mail address"),
        (b"a@x.example,unsubscribed", "of the domain 'x.example,unsubscribed'"),
        (b"Ana <a@x.example>", "give the bare address"),
        (b"a@x.example b@x.example", "second @"),
        (b"030 123456", "must start with +"),
        (b"a\xff@x.example", "byte 0xFF is not valid UTF-8"),
        (b"a\x00@x.example", "a NUL character"),
        (b"a\xe2\x80\x8bb@x.example", "invisible character U+200B"),
        (b"x" * (RECORD_MAX_CHARACTERS + 1), "too long"),
    ],
)
def test_a_line_that_is_no_address_is_named(tmp_path: Path, line: bytes, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        keys_of(tmp_path, b"a@x.example\n\n" + line + b"\nb@x.example\n")
    assert str(caught.value).startswith(f"{tmp_path}/list.txt:3: ")
    assert reason in str(caught.value)


def test_what_is_no_text_is_refused_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="workbook"):
        keys_of(tmp_path, b"PK\x03\x04...")
