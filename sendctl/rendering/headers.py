"""Header fields as lines: encoded words, mailboxes and dates. ASCII, but for an address whose local part is not.

Refuses what could end a line. Never raises anything but ValueError, whose message is a lower-case problem.
"""

from __future__ import annotations

import binascii
import re
from datetime import UTC, datetime
from functools import lru_cache

from sendctl.addresses import Mailbox

FOLD_AT = 78  # RFC 5322 section 2.1.1
_ENCODED_LINE = 76  # RFC 2047 section 2: a line that holds an encoded word
_WORD_BYTES = 45  # 60 base64 characters and "=?utf-8?b??=" are 72; the limit is 75

# C0 without tab, DEL, C1, and the line breaks that Unicode adds: str.splitlines() cuts at each of them.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")

_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")  # atoms: RFC 5322 section 3.2.3
_HTTPS = re.compile(r"https://[!#-;=?-\[\]_a-z~]+")  # ASCII, but for blanks and <>"\^`{|}

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def single_line(value: str) -> str:
    """`value` without white space around it. Raises ValueError if a control character or line break is in it."""
    if value.isascii() and value.isprintable():
        return value.strip(" ")
    found = _CONTROL.search(value)
    if found:
        raise ValueError(f"holds the control character U+{ord(found[0]):04X}")
    return value.strip(" \t")


def subject(value: str) -> str:
    """A subject: a single line that is not blank. Raises ValueError."""
    value = single_line(value)
    if not value:
        raise ValueError("is blank")
    return value


def mailbox_field(name: str, value: Mailbox) -> str:
    """A header line (or two) for a mailbox, without the final line end; non-ASCII only in the address."""
    if not value.display:
        return f"{name}: {value.address}"
    shown = value.display
    if not _PHRASE.fullmatch(shown) or "  " in shown:
        shown = '"' + re.sub(r'(["\\])', r"\\\1", shown) + '"'
    # Not even quotes keep "=?" from readers that decode it, and a quoted string may not be cut.
    if not shown.isascii() or "=?" in shown or len(name) + 2 + len(shown) > FOLD_AT:
        shown = _encoded_words(value.display, len(name) + 2)
    line = f"{name}: {shown} <{value.address}>"
    return line if len(line) <= FOLD_AT else f"{name}: {shown}\r\n <{value.address}>"


def text_field(name: str, value: str) -> str:
    """An unstructured header field, folded and encoded as needed, without the final line end.

    Source: RFC 5322 section 2.2.3 (folding), RFC 2047 (encoded words). `value` must be a single line.
    """
    # What looks like an encoded word would be decoded, and runs of spaces do not survive folding everywhere.
    if _PLAIN.fullmatch(value) and "=?" not in value:
        if len(name) + 2 + len(value) <= FOLD_AT:
            return f"{name}: {value}"
        lines = _folded(value, len(name) + 2)
        # A single word may be longer than the room it was given: behind the name, or behind the fold's space.
        if len(name) + 2 + len(lines[0]) <= FOLD_AT and all(len(line) < FOLD_AT for line in lines[1:]):
            return f"{name}: " + "\r\n ".join(lines)
    return f"{name}: {_encoded_words(value, len(name) + 2)}"


def _folded(value: str, used: int) -> list[str]:
    """The words of `value` in lines of at most 77 characters (one is left for the fold's space), the first shorter."""
    lines: list[str] = []
    room = FOLD_AT - used
    for word in value.split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= room:
            lines[-1] += " " + word
        else:
            room = FOLD_AT - 1 if lines else room
            lines.append(word)
    return lines


def _encoded_words(value: str, used: int) -> str:
    """`value` in base64 encoded words, cut between characters (RFC 2047 section 5), one to a line."""
    words: list[str] = []
    room = (_ENCODED_LINE - used - 12) // 4 * 3
    chunk, size = "", 0
    for character in value:
        width = len(character.encode())
        if size + width > room:
            words.append(chunk)
            chunk, size, room = "", 0, _WORD_BYTES
        chunk += character
        size += width
    words.append(chunk)
    encoded = (binascii.b2a_base64(word.encode(), newline=False).decode() for word in words)
    return "\r\n ".join(f"=?utf-8?b?{word}?=" for word in encoded)


def date(moment: datetime) -> str:
    """An RFC 5322 section 3.3 date-time in UTC, whatever the locale. `moment` is timezone-aware."""
    return _date(moment.astimezone(UTC))


@lru_cache(maxsize=64)  # all messages of a window have the same
def _date(utc: datetime) -> str:
    return (
        f"{_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month - 1]} {utc.year:04} "
        f"{utc.hour:02}:{utc.minute:02}:{utc.second:02} +0000"
    )


def https_url(url: str) -> str:
    """`url` as a single line, checked for a place between angle brackets on an unfolded line. Raises ValueError.

    Source: RFC 8058 section 3.1 (an HTTPS URI), RFC 2369 section 2.
    """
    if not _HTTPS.fullmatch(url) and not _HTTPS.fullmatch(url := single_line(url)):
        raise ValueError("is not an https:// URL in ASCII; pass variables through `|urlencode`")
    if len(url) > 900:
        raise ValueError("is longer than 900 characters; a header line ends at 998")
    return url
