"""What a measurement found, as tables to read and as data; and the blocks of a document that hold such tables.

A table is Markdown, so that what the terminal shows can be pasted into docs/PERFORMANCE.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import BenchmarkFailed


@dataclass(frozen=True, slots=True)
class Table:
    """One table; `notes` are sentences below it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[str] = ()
    numbers: bool = True  # right of the first column

    def text(self) -> str:
        lines = [f"**{self.title}**", ""] if self.title else []
        lines += [_line(self.columns), _line(["---", *["---:" if self.numbers else "---"] * (len(self.columns) - 1)])]
        lines += [_line([cell.replace("|", "/") for cell in row]) for row in self.rows]
        if self.notes:
            lines += ["", *[f"- {note}" for note in self.notes]]
        return "\n".join(lines)


@dataclass
class Report:
    """Of one point. `figures` is what --json writes; `failures` are reasons why the figures mean nothing."""

    point: str
    tables: list[Table] = field(default_factory=list)
    plain: list[tuple[str, str]] = field(default_factory=list)  # (title, preformatted text) below the tables
    figures: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    heading: str = ""

    def demand(self, holds: bool, otherwise: str) -> None:
        """Note a failure unless `holds`."""
        if not holds:
            self.failures.append(otherwise)

    def text(self) -> str:
        parts = [self.heading] if self.heading else []
        parts += [table.text() for table in self.tables]
        parts += [
            f"<details><summary>{title}</summary>\n\n```\n{text}\n```\n\n</details>" for title, text in self.plain
        ]
        parts += [f"**FAILED**: {failure}" for failure in self.failures]
        return "\n\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def write_blocks(document: Path, reports: Sequence[Report]) -> None:
    """Replace what stands between `<!-- bench: POINT -->` and `<!-- end of bench -->`, for each report.

    Raises BenchmarkFailed, with nothing written, when the document has no such block.
    """
    text = document.read_text()
    for report in reports:
        block = re.compile(rf"(<!-- bench: {re.escape(report.point)} -->\n).*?(<!-- end of bench -->)", re.DOTALL)
        found = list(block.finditer(text))
        if len(found) != 1:
            raise BenchmarkFailed(f"{document} has {len(found)} blocks `<!-- bench: {report.point} -->`, not one")
        text = text[: found[0].end(1)] + report.text() + "\n" + text[found[0].start(2) :]
    document.write_text(text)
