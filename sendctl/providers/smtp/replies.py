"""SMTP replies: bytes in, parsed replies out. It never blocks, and believes nothing that is not well-formed."""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

from sendctl.providers.text import printable

# RFC 5321 section 4.5.3.1.5 allows 512 octets a line; real servers exceed it with links, none by this much.
LINE_MAX_BYTES = 2048
REPLY_MAX_BYTES = 64 * 1024

# RFC 5321 section 4.2: three digits, then "-" to go on, a space, or nothing at all on the last line.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(rb"([245]\.\d{1,3}\.\d{1,3})(?: +|$)")
_QUEUE_ID = re.compile(
    r"\bqueued as ([0-9A-Za-z]+)"  # Postfix smtpd: "2.0.0 Ok: queued as 4F2A..."
    r"|\bid=([0-9A-Za-z-]+)"  # Exim: "OK id=1abc23-..."
    r"|^([0-9A-Za-z]+) Message accepted for delivery"  # Sendmail
)


class ProtocolViolation(Exception):
    """The server sent something that is not SMTP, or out of turn; `str(error)` is printable."""


class Reply(NamedTuple):
    """One whole reply: its code and each line's text after the code, raw."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def enhanced(self) -> str:
        """The RFC 3463 code such as "5.1.1", or empty; one whose class contradicts the reply's is ignored."""
        match = _ENHANCED.match(self.lines[0])
        if match is None or match[1][:1] != str(self.code)[:1].encode():
            return ""  # RFC 2034 section 4: the first digits must agree
        return match[1].decode("ascii")

    @property
    def text(self) -> str:
        """The reply as one printable line with its code; an enhanced code repeated on each line stands once."""
        first, *rest = self.lines
        if not rest:
            return printable((b"%d %s" % (self.code, first)).rstrip())
        whole = b" ".join([b"%d" % self.code, first, *[_ENHANCED.sub(b"", line, 1) for line in rest]])
        return printable(whole.rstrip())

    @property
    def queue_id(self) -> str:
        """The server's own name for the accepted message, else its text without codes."""
        lines = self.lines
        bare = (
            _ENHANCED.sub(b"", lines[0], 1)
            if len(lines) == 1
            else b" ".join([_ENHANCED.sub(b"", line, 1) for line in lines])
        )
        text = printable(bare).strip()
        match = _QUEUE_ID.search(text)
        return match[match.lastindex or 0] if match else text


class ReplyParser:
    """Cuts a byte stream into replies, within fixed memory."""

    __slots__ = ("_lines", "_rest", "_size_bytes")

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self._size_bytes = 0

    def pending(self) -> bool:
        """Whether part of a reply has arrived."""
        return bool(self._rest or self._lines)

    def feed(self, data: bytes, replies: deque[Reply]) -> None:
        """Append the replies that `data` completes. Raises ProtocolViolation at the first byte that is not one."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            reply = self._take(line.removesuffix(b"\r"))
            if reply is not None:
                replies.append(reply)
        if len(self._rest) > LINE_MAX_BYTES:
            raise ProtocolViolation(f"a reply line is longer than {LINE_MAX_BYTES} bytes")

    def _take(self, line: bytes) -> Reply | None:
        match = _LINE.fullmatch(line)
        if match is not None and not self._lines and match[2] != b"-" and len(line) <= LINE_MAX_BYTES:
            return Reply(int(match[1]), (line[4:],))  # the one line that most replies have
        self._size_bytes += len(line)
        if len(line) > LINE_MAX_BYTES or self._size_bytes > REPLY_MAX_BYTES:
            raise ProtocolViolation(f"a reply is longer than {LINE_MAX_BYTES} bytes a line or {REPLY_MAX_BYTES} in all")
        if match is None:
            raise ProtocolViolation("not an SMTP reply: " + printable(line[:200]))
        if self._lines and self._lines[0][:3] != match[1]:
            raise ProtocolViolation("two codes in one reply: " + printable(self._lines[0][:3] + b" and " + line[:200]))
        self._lines.append(line)
        if match[2] == b"-":
            return None
        reply = Reply(int(match[1]), tuple(each[4:] for each in self._lines))
        self._lines, self._size_bytes = [], 0
        return reply
