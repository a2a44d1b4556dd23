"""What a document tells its reader to do: console and SQL blocks in order, with the situations between them.

A console block holds commands behind `$ ` and what they print; `# exit 3` after a command is its exit status, else 0.
A line `...` stands for lines left out. `<!-- situation: WORDS -->` says what has happened before the next block. Runs
nothing.
"""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Where a document's commands are run, in its own words.
DOCUMENTED_FOLDER, DOCUMENTED_HOST, DOCUMENTED_LOGIN = "/var/lib/sendctl", "mail1", "sendctl@"


@dataclass
class Command:
    """One command, its exit status, and the pieces of text that its output must hold, in order."""

    line: int
    text: str
    exit_code: int = 0
    shown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Query:
    """A block of SQL."""

    line: int
    text: str


@dataclass(frozen=True)
class Situation:
    """Something that has happened, to be made true before the reader goes on."""

    line: int
    words: str


Part = Command | Query | Situation


def parts(path: Path) -> Iterator[Part]:
    """The parts of a document, in order."""
    lines = enumerate(path.read_text().splitlines(), start=1)
    for number, line in lines:
        if found := re.fullmatch(r"\s*<!-- situation: (.+) -->", line):
            yield Situation(number, found[1])
        elif line.strip() == "```sql":
            yield Query(number, "\n".join(_until_fence(lines)))
        elif line.strip() == "```console":
            yield from _commands(number, list(_until_fence(lines)))


def _until_fence(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, line in lines:
        if line.strip() == "```":
            return
        yield line


def _commands(number: int, lines: list[str]) -> Iterator[Command]:
    command: Command | None = None
    for offset, line in enumerate(lines, start=1):
        if line.startswith("$ "):
            if command is not None:
                yield command
            status = re.search(r"\s+# exit (\d+)$", line)
            command = Command(number + offset, line[2:], int(status[1]) if status else 0)
        elif command is not None and command.text.endswith("\\"):
            command.text += "\n" + line
        elif command is not None and (line.strip() == "..." or not command.shown):
            command.shown.append("" if line.strip() == "..." else line)
        elif command is not None:
            command.shown[-1] += f"\n{line}"
    if command is not None:
        yield command


# What differs from one run to the next, and the word that stands for it. Counts do not: each must be as shown.
_VARYING: tuple[tuple[str, str], ...] = (
    (r"\s+", " "),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00|\+00)?", "TIME"),
    (r"\w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d \+0000", "TIME"),
    (r"\b[0-9a-f]{32}\b", "KEY"),
    (r"\b[a-z2-7]{16}\b", "RANDOM"),
    (r"\bD[0-9A-F]+N[0-9A-F]+\b", "QUEUE"),
    (r"(?<![\w.])\d+(\.\d+)? (ms|s|min|h|d)\b( \d+ (s|min|h)\b)?", "SPAN"),
    (r"\bin SPAN|SPAN ago|\bnow\b", "WHEN"),
    (r"[█░]+", "BAR"),
    (r"oldest=\d+s", "oldest=SPAN"),
    (r"\b(pid|port) \d+", r"\1 N"),
    # A size limit on files, which a test may set, stands for a full disk, which it may not.
    (r"File too large|No space left on device|disk I/O error|database or disk is full", "NO-SPACE"),
)


def normalised(text: str, folder: Path | None = None) -> str:
    """The text without what varies. With `folder`, text of a run there, else a document's own."""
    if folder is not None:
        text = text.replace(str(folder), DOCUMENTED_FOLDER)
        text = text.replace(f"{getpass.getuser()}@", DOCUMENTED_LOGIN)
        text = re.sub(rf"\b{re.escape(socket.gethostname())}\b", DOCUMENTED_HOST, text)
    for pattern, word in _VARYING:
        text = re.sub(pattern, word, text)
    return text.strip()


def missing(shown: list[str], output: str, folder: Path) -> str | None:
    """The first piece of shown text that the output does not have after the piece before it, or None."""
    printed, place = normalised(output, folder), 0
    for piece in shown:
        # Whole numbers only: "sent 4" is not in "sent 40".
        found = re.compile(rf"(?<!\d){re.escape(normalised(piece))}(?!\d)").search(printed, place)
        if found is None:
            return piece
        place = found.end()
    return None
