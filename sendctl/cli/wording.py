"""Values as people read them: moments, spans, counts, and text from outside with nothing a terminal would obey.

Knows no store and prints nothing.
"""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sendctl.definition import LetterTerms

_SPANS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def clean(text: str, *, lines: bool = False) -> str:
    """`text` with control, direction-changing and invisible characters escaped: a reply may hold anything.

    With `lines`, line ends and tabs stay.
    """
    kept = "\n\t" if lines else ""
    return "".join(
        character if character.isprintable() or character in kept else ascii(character)[1:-1] for character in text
    )


def utc(moment: datetime) -> str:
    """`2026-11-23 09:00:12Z`: always UTC, always said."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def iso(moment: datetime | None) -> str | None:
    """RFC 3339 with "Z", for JSON and CSV."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def span(seconds: float) -> str:
    """The two largest units of a length of time, cut and not rounded: `3 d 4 h`, `12 min`, `0 s`.

    Seconds are said only below ten minutes, where they matter.
    """
    left = int(abs(seconds))
    parts: list[str] = []
    for index, (unit, size_s) in enumerate(_SPANS):
        count, left = divmod(left, size_s)
        if count:
            parts = [f"{count} {unit}"]
            if index + 1 < len(_SPANS) and (size_s != 60 or count < 10):
                rest = left // _SPANS[index + 1][1]
                parts += [f"{rest} {_SPANS[index + 1][0]}"] if rest else []
            break
    return " ".join(parts) or "0 s"


def ago(moment: datetime, now: datetime) -> str:
    """`12 min ago`, `in 3 h`, `now`."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(seconds)}"


def when(moment: datetime, now: datetime) -> str:
    """A moment both ways: `2026-11-23 09:00:12Z (12 min ago)`."""
    return f"{utc(moment)} ({ago(moment, now)})"


def count(number: int) -> str:
    """A count with thousands marked: `12,590`."""
    return f"{number:,}"


def hanging(text: str, indent: str, *, first: str | None = None) -> list[str]:
    """`text` as lines of at most 80 columns behind an indent; the first may begin otherwise. Words stay whole."""
    lead = indent if first is None else first
    return textwrap.wrap(
        text, 80, initial_indent=lead, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def character(one: str) -> str:
    """A character that may not be seen, with its number: `– U+2013`."""
    return f"{clean(one)} U+{ord(one):04X}"


def some(number: int, singular: str, plural: str = "") -> str:
    """`1 message`, `2,000 messages`."""
    return f"{count(number)} {singular if number == 1 else plural or singular + 's'}"


def in_flight(messages: int, deadline_s: float) -> str:
    """What is being handed over and cannot be called back."""
    if not messages:
        return "no message is in flight"
    verb = "is" if messages == 1 else "are"
    return f"{some(messages, 'message')} {verb} in flight and will finish within {deadline_s:g} s"


def letter_words(terms: LetterTerms) -> str:
    """What makes a campaign a letter: `encrypted letter, tells ops@shop.example`."""
    if terms.about:
        return f"tells of letter {terms.about}"
    what = "encrypted letter" if terms.contents else "letter"
    return f"{what}, tells {clean(terms.notify)}" if terms.notify else what


def step_of(name: str, occurrence: int, copy: int = 0) -> str:
    """The step of a message: `nudge`, `nudge 2` for its second time, `nudge 2 (copy 1)` when that is sent once more."""
    number = f" {occurrence + 1}" if occurrence else ""
    return f"{name}{number}" + (f" (copy {copy})" if copy else "")
