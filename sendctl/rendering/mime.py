"""MIME bodies: one part or multipart/alternative, each in the transfer encoding that suits it, always 7-bit ASCII.

Bodies are canonical: CRLF line ends, the last line ended too. Never makes a line over 78 characters. The stdlib email
package takes milliseconds to compose a message; the tests read every message with it instead.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from functools import lru_cache

MAX_LINE = 78  # RFC 5322 section 2.1.1 asks for 78; SMTP servers refuse over 998 (RFC 5321 section 4.5.3.1.6)
_BASE64_LINE = 76  # RFC 2045 section 6.8
_REMEMBERED_BYTES = 256
_SAFE = bytes(range(32, 127)).replace(b"=", b"") + b"\t\r\n"


@dataclass(frozen=True, slots=True)
class Body:
    """One encoded part: `subtype` is plain or html, `data` ends in CRLF."""

    subtype: str
    transfer_encoding: str
    data: bytes

    def fields(self) -> bytes:
        """The part's own header lines."""
        return (
            f"Content-Type: text/{self.subtype}; charset=utf-8\r\n"
            f"Content-Transfer-Encoding: {self.transfer_encoding}\r\n"
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
    from_line = text.startswith("From ") or "\nFrom " in text
    if not from_line and _is_short_ascii(data):
        return Body(subtype, "7bit", data)
    unsafe = len(data.translate(None, _SAFE))  # each grows by two bytes; base64 grows all by a third
    if from_line or 6 * unsafe > len(data):
        return Body(subtype, "base64", _base64(data))
    return Body(subtype, "quoted-printable", _quoted_printable(data))


def _is_short_ascii(data: bytes) -> bool:
    return data.isascii() and not data.translate(None, _SAFE + b"=") and max(map(len, data.split(b"\r\n"))) <= MAX_LINE


def _quoted_printable(data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    return b"\r\n".join([_remembered(each) if len(each) < _REMEMBERED_BYTES else _quoted_line(each) for each in lines])


def _quoted_line(line: bytes) -> bytes:
    return binascii.b2a_qp(line).replace(b"\n", b"\r\n")  # soft breaks: it takes CRLF only from its input


# Most lines of a step are the same for everybody, and encoding them anew takes a third of a message's time.
_remembered = lru_cache(maxsize=1024)(_quoted_line)


def _base64(data: bytes) -> bytes:
    encoded = binascii.b2a_base64(data, newline=False)
    return b"".join([encoded[at : at + _BASE64_LINE] + b"\r\n" for at in range(0, len(encoded), _BASE64_LINE)])


def entity(bodies: list[Body], key: str) -> bytes:
    """The MIME fields, the empty line and the content, for one body or for alternatives, plainest first.

    The boundary comes from the message's key: a replay has the same one. Source: RFC 2046 sections 5.1.1, 5.1.4.
    """
    if len(bodies) == 1:
        return b"MIME-Version: 1.0\r\n" + bodies[0].fields() + b"\r\n" + bodies[0].data
    boundary = b"=_" + key.encode()  # "=_" cannot occur in quoted-printable or base64 (RFC 2045 section 6.7)
    bodies = [_free_of(boundary, each) for each in bodies]
    parts = [b"--%b\r\n%b\r\n%b\r\n" % (boundary, each.fields(), each.data) for each in bodies]
    head = b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary="%b"\r\n\r\n' % boundary
    return b"%b%b--%b--\r\n" % (head, b"".join(parts), boundary)


def _free_of(boundary: bytes, each: Body) -> Body:
    if each.transfer_encoding == "7bit" and boundary in each.data:
        return Body(each.subtype, "base64", _base64(each.data))
    return each
