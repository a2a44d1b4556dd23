"""One body of a bare template: runs of lines that are the same for everybody, and the lines between them.

The runs are encoded once, the other lines for each recipient. Gives the very bytes that `mime.body` gives for the
whole text, or nothing where a value makes the text unusual.
"""

from __future__ import annotations

import re

from sendctl.rendering import mime
from sendctl.rendering.bare import Bare

PLACE = "\x00"  # stands for a value: neither a bare template nor data hold a NUL
_VARYING_LINE = re.compile(f"[^\r\n]*{PLACE}[^\r\n]*")
_FIRST_LINE = re.compile(r"\A[^\r\n]*")  # of a text in which nothing varies


class Skeleton:
    """`varying`: the lines that values stand in, a NUL for each value. A run has the line ends next to it."""

    def __init__(self, subtype: str, bare: Bare) -> None:
        """Raises ValueError for a text that may be blank, or whose line ends depend on a value, and for base64."""
        text = _with_line_ends(PLACE.join(bare.fixed))
        pattern = _VARYING_LINE if PLACE in text else _FIRST_LINE
        runs = [run.encode() for run in pattern.split(text)]
        self.varying = pattern.findall(text)
        self._subtype = subtype
        self._last_may_be_empty = runs[-1] == b"\r\n"
        self._may_be_from_line = any("From ".startswith(line.partition(PLACE)[0][:5]) for line in self.varying)
        self._short_ascii = all(map(mime.is_short_ascii, runs))
        self._unsafe_bytes = sum(map(mime.unsafe_bytes, runs))
        self._size_bytes = sum(map(len, runs))
        self._plain = _spaced(runs)
        self._quoted = _spaced([mime.quoted_printable(run) for run in runs])
        fixed = [line.replace(PLACE, "").encode() for line in self.varying]
        if any(map(mime.has_from_line, runs)) or not self._may_be_quoted(fixed):
            raise ValueError("this text is for base64")
        only_equals = not b"".join(fixed).translate(None, mime.ASCII)
        self._quote = mime.quoted_ascii if only_equals else mime.quoted_line

    def body(self, lines: list[bytes], *, unsafe_values: bool) -> mime.Body | None:
        """The body with these for the varying lines. `unsafe_values`: a value has bytes that must be quoted."""
        if self._last_may_be_empty and not lines[-1]:
            return None
        if self._may_be_from_line and mime.has_from_line(b"\n".join(lines)):
            return None
        if self._short_ascii and mime.is_short_ascii(b"\r\n".join(lines)):
            pieces = self._plain.copy()
            pieces[1::2] = lines
            return mime.Body(self._subtype, "7bit", b"".join(pieces))
        if unsafe_values and not self._may_be_quoted(lines):
            return None
        quote = mime.quoted_line if unsafe_values else self._quote
        pieces = self._quoted.copy()
        pieces[1::2] = map(quote, lines)
        return mime.Body(self._subtype, "quoted-printable", b"".join(pieces))

    def _may_be_quoted(self, lines: list[bytes]) -> bool:
        data = b"".join(lines)
        unsafe_bytes = self._unsafe_bytes + mime.unsafe_bytes(data)
        return mime.is_shorter_quoted(unsafe_bytes, self._size_bytes + len(data))


def _with_line_ends(text: str) -> str:
    """`text` with CRLF line ends, the last line ended too."""
    text = text.replace("\r\n", "\n")
    if "\r" in text or not text.replace(PLACE, "").strip():
        raise ValueError("what the lines are, and whether there are any, depends on values")
    return (text if text.endswith("\n") else text + "\n").replace("\n", "\r\n")


def _spaced(runs: list[bytes]) -> list[bytes]:
    """The runs with a place after each but the last."""
    pieces = [b""] * (2 * len(runs) - 1)
    pieces[::2] = runs
    return pieces
