"""Opening, decoding and parsing of one TOML file, with every failure tied to a place in it.

Takes regular files of bounded size in strict UTF-8. Never guesses an encoding and never follows an include.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sendctl.tomlfile.places import Place, place_at

_SYNTAX = re.compile(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class TomlError(ValueError):
    """What is wrong with one file. `found` has at least one pair of place ("file:line:column") and problem."""

    def __init__(self, found: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{place}: {text}" for place, text in found))
        self.found = tuple(found)


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file; `text` has LF line ends. `path` is None for a document that stands in no file."""

    path: Path | None
    text: str
    data: dict[str, Any]


def read_document(path: Path, *, cap_bytes: int) -> Document:
    """Read and parse `path`. Raises TomlError for anything that keeps it from being TOML."""
    text = read_utf8(path, cap_bytes=cap_bytes).replace("\r\n", "\n")  # as tomllib does: places must agree
    try:
        return Document(path, text, tomllib.loads(text))
    except RecursionError:
        raise TomlError([(f"{path}:1:1", "not TOML that can be read: nested too deeply")]) from None
    except ValueError as error:
        place, problem = _syntax_problem(str(error), text)
        raise TomlError([(f"{path}:{place.line}:{place.column}", f"not TOML: {problem}")]) from None


def _syntax_problem(message: str, text: str) -> tuple[Place, str]:
    match = _SYNTAX.fullmatch(message)
    problem = match[1] if match else message
    place = Place(int(match[2]), int(match[3])) if match and match[2] else place_at(text, len(text))
    return place, problem[:1].lower() + problem[1:]


def read_utf8(path: Path, *, cap_bytes: int) -> str:
    """The text of a regular file, without a byte order mark; its line ends are kept.

    Raises TomlError when it cannot be read, is not a regular file, is larger than the cap, or is not UTF-8.
    """
    try:
        raw = _read_regular(path, cap_bytes)
    except OSError as error:
        raise TomlError([(str(path), f"cannot be read: {error.strerror or error}")]) from None
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
        place = place_at(before, len(before))
        raise TomlError([(f"{path}:{place.line}:{place.column}", _encoding_problem(raw, error.start))]) from None


def _read_regular(path: Path, cap_bytes: int) -> bytes:
    # O_NONBLOCK: opening a FIFO must not hang the command before fstat has told what it is.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TomlError([(str(path), "is not a regular file")])
    with open(descriptor, "rb") as file:
        raw = file.read(cap_bytes + 1)
    if len(raw) > cap_bytes:
        raise TomlError([(str(path), f"is larger than {cap_bytes} bytes")])
    return raw


def _encoding_problem(raw: bytes, start: int) -> str:
    if raw.startswith(_UTF16):
        return "not UTF-8 but UTF-16: save the file as UTF-8"
    return f"byte 0x{raw[start]:02x} is not UTF-8: save the file as UTF-8"
