"""MIME bodies: one part or multipart/alternative, each in the transfer encoding that suits it, always 7-bit ASCII.

Bodies are canonical: CRLF line ends, the last line ended too. Never makes a line over 78 characters. The stdlib email
package takes milliseconds to compose a message; the tests read every message with it instead.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from typing import NamedTuple

MAX_LINE = 78  # RFC 5322 section 2.1.1 asks for 78; SMTP servers refuse over 998 (RFC 5321 section 4.5.3.1.6)
_BASE64_LINE = 76  # RFC 2045 section 6.8
_REMEMBERED_BYTES = 256
_QUOTED_LINE = 76  # RFC 2045 section 6.7, with the "=" of a soft break
_QUOTED_PIECE = re.compile(rb"(?s).{1,75}(?<!=)(?<!=.)")  # which must not cut the three characters of a quoted byte
_LAST_BLANK = {b" ": b"=20", b"\t": b"=09"}
ASCII = bytes(range(32, 127)) + b"\t\r\n"
SAFE = ASCII.replace(b"=", b"")


class Body(NamedTuple):
    """One encoded part: `subtype` is plain or html, `data` ends in CRLF."""

    subtype: str
    transfer_encoding: str
    data: bytes


@lru_cache
def _fields(subtype: str, transfer_encoding: str) -> bytes:
    """A part's own header lines."""
    return (
        f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {transfer_encoding}\r\n"
    ).encode()


def canonical(text: str) -> str:
    """`text` with LF line ends, the last line ended.

    Raises ValueError if it is blank, or holds a NUL, which RFC 5322 section 4 forbids.
    """
    if "\x00" in text:
        raise ValueError("holds a NUL character")
    if not text or text.isspace():
        raise ValueError("is blank")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def body(subtype: str, text: str) -> Body:
    """Encode canonical `text`: as it is if short ASCII lines allow, else whichever of the other two is shorter."""
    data = text.replace("\n", "\r\n").encode()
    # A store in mbox format would change a line that begins "From " (RFC 4155); base64 shows it none.
    from_line = has_from_line(data)
    if not from_line and is_short_ascii(data):
        return Body(subtype, "7bit", data)
    if from_line or not is_shorter_quoted(unsafe_bytes(data), len(data)):
        return Body(subtype, "base64", _base64(data))
    return Body(subtype, "quoted-printable", quoted_printable(data))


def has_from_line(data: bytes) -> bool:
    """Whether a line begins as each message in a mailbox file does."""
    return data.startswith(b"From ") or b"\nFrom " in data


def is_short_ascii(data: bytes) -> bool:
    """Whether lines with CRLF between them may travel as they are."""
    return data.isascii() and not data.translate(None, ASCII) and max(map(len, data.split(b"\r\n"))) <= MAX_LINE


def is_shorter_quoted(unsafe_bytes: int, size_bytes: int) -> bool:
    """Whether quoted-printable makes less of a text than base64, which adds a third; the other two for each byte."""
    return 6 * unsafe_bytes <= size_bytes


def unsafe_bytes(data: bytes) -> int:
    """How many bytes quoted-printable has to quote wherever they stand (RFC 2045 section 6.7)."""
    return len(data.translate(None, SAFE))


def quoted_printable(data: bytes) -> bytes:
    """Lines with CRLF between them in quoted-printable."""
    lines = data.split(b"\r\n")
    return b"\r\n".join([_remembered(each) if len(each) < _REMEMBERED_BYTES else quoted_line(each) for each in lines])


def quoted_line(line: bytes) -> bytes:
    """One line, without its end, in quoted-printable."""
    if line.translate(None, ASCII):
        return binascii.b2a_qp(line).replace(b"\n", b"\r\n")  # soft breaks: it takes CRLF only from its input
    return quoted_ascii(line)


def quoted_ascii(line: bytes) -> bytes:
    """The same for a line of printable ASCII and tabs, in a fifth of the time: binascii looks at every byte."""
    if line == b".":
        return b"=2E"
    blank = _LAST_BLANK.get(line[-1:])
    line = line.replace(b"=", b"=3D") if blank is None else line[:-1].replace(b"=", b"=3D") + blank
    if len(line) < _QUOTED_LINE:
        return line
    pieces = _QUOTED_PIECE.findall(line)
    if len(pieces[-1]) == 1:  # the last piece needs no room for the "=" of a break
        pieces[-2:] = [pieces[-2] + pieces[-1]]
    return b"=\r\n".join(pieces)


# Most lines of a step are the same for everybody, and encoding them anew takes a third of a message's time.
_remembered = lru_cache(maxsize=1024)(quoted_line)


def _base64(data: bytes) -> bytes:
    encoded = binascii.b2a_base64(data, newline=False)
    return b"".join([encoded[at : at + _BASE64_LINE] + b"\r\n" for at in range(0, len(encoded), _BASE64_LINE)])


def entity(bodies: list[Body], key: str) -> bytes:
    """The MIME fields, the empty line and the content, for one body or for alternatives, plainest first.

    The boundary comes from the message's key: a replay has the same one. Source: RFC 2046 sections 5.1.1, 5.1.4.
    """
    if len(bodies) == 1:
        subtype, encoding, data = bodies[0]
        return b"MIME-Version: 1.0\r\n" + _fields(subtype, encoding) + b"\r\n" + data
    boundary = b"=_" + key.encode()  # "=_" cannot occur in quoted-printable or base64 (RFC 2045 section 6.7)
    pieces = [b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary="', boundary, b'"\r\n\r\n']
    for each in bodies:
        subtype, encoding, data = _free_of(boundary, each)
        pieces += b"--", boundary, b"\r\n", _fields(subtype, encoding), b"\r\n", data, b"\r\n"
    pieces += b"--", boundary, b"--\r\n"
    return b"".join(pieces)


def _free_of(boundary: bytes, each: Body) -> Body:
    if each.transfer_encoding == "7bit" and boundary in each.data:
        return Body(each.subtype, "base64", _base64(each.data))
    return each
