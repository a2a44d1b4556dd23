"""What others said, made fit to be shown and kept: one printable line, never longer than a column bears."""

from __future__ import annotations

TEXT_MAX_CHARACTERS = 500


def printable(raw: bytes | str) -> str:
    """`raw` as one printable line of at most 500 characters.

    Whatever Unicode calls control, format (bidi marks, zero width), surrogate, private or a line separator is
    escaped, so a reply can neither move a terminal's cursor nor forge a line of a log.
    """
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if len(text) <= TEXT_MAX_CHARACTERS else text[: TEXT_MAX_CHARACTERS - 3] + "..."
