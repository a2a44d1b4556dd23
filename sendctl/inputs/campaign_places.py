"""A campaign file that was read, and where its templates stand: for what turns out to be wrong only after reading.

Looks for places only once there is an error to report. Never opens a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sendctl.definition import Definition
from sendctl.tomlfile import Document
from sendctl.tomlfile.places import Place, Places, find_places, place_at

CAMPAIGN_PARTS = ("link", "unsubscribe_url")
STEP_PARTS = ("subject", "text", "html", "sms")

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class CampaignFile:
    """What a campaign file says, and the document that says it."""

    path: Path
    definition: Definition
    document: Document
    is_letter: bool = False  # all of it stands in one section, [letter]

    def key_place(self, *path: str | int) -> str:
        """The value of a key, such as ("stop", "on"), as "file:line:column"; what is around it if it is not there."""
        return self._named(find_places(self.document.text).of_value(self._written(path)))

    def part_place(self, part: str, step_index: int, line: int | None = None) -> str:
        """The place of a template: its own file with the line, if it has one; else the campaign file's line and column.

        `part` is one of CAMPAIGN_PARTS or STEP_PARTS; `line` is 1-based, in the template.
        """
        file = self._template_file(part, step_index)
        if file is not None:
            return f"{file}:{line}" if line else str(file)
        places = find_places(self.document.text)
        path = self._written(_path(part, step_index))
        start = self._inline_start(places, path, self._source(part, step_index))
        value = places.of_value(path)
        if start is None or line is None:
            return self._named(value)
        there = place_at(self.document.text, start).line + line - 1
        return self._named(value) if there == value.line else f"{self.path}:{there}"

    def mention(self, variable: str, step_index: int) -> str:
        """Where a variable is first mentioned by the links or the step; the step's own place if it is not found."""
        wanted = re.compile(rf"(?<![\w.]){re.escape(variable)}(?!\w)")
        for part, source in self._sources(step_index):
            found = wanted.search(source)
            if found:
                return self._offset_place(part, step_index, source, found.start())
        return self.key_place("steps", step_index)

    def _offset_place(self, part: str, step_index: int, source: str, offset: int) -> str:
        file = self._template_file(part, step_index)
        if file is not None:
            place = place_at(source, offset)
            return f"{file}:{place.line}:{place.column}"
        places = find_places(self.document.text)
        path = self._written(_path(part, step_index))
        start = self._inline_start(places, path, source)
        return self._named(places.of_value(path) if start is None else place_at(self.document.text, start + offset))

    def _inline_start(self, places: Places, path: KeyPath, source: str) -> int | None:
        """Where the text of a value begins in the document; None where escapes make it read differently there."""
        start = places.values.get(path)
        if start is None:
            return None
        text = self.document.text
        start += 3 if text.startswith(('"""', "'''"), start) else 1
        if text.startswith("\n", start) and not source.startswith("\n"):
            start += 1  # a line end right after three quotes is not part of the text: TOML 1.0.0, "String"
        return start if text.startswith(source, start) else None

    def _template_file(self, part: str, step_index: int) -> Path | None:
        if part in CAMPAIGN_PARTS:
            return None
        owner = self.document.data["letter"] if self.is_letter else self.document.data["steps"][step_index]
        name = owner.get(f"{part}_file")
        return self.path.parent / name if name else None

    def _source(self, part: str, step_index: int) -> str:
        owner = self.definition if part in CAMPAIGN_PARTS else self.definition.steps[step_index]
        return str(getattr(owner, part))

    def _sources(self, step_index: int) -> Iterator[tuple[str, str]]:
        return ((part, self._source(part, step_index)) for part in (*CAMPAIGN_PARTS, *STEP_PARTS))

    def _written(self, path: KeyPath) -> KeyPath:
        """Where a key of the campaign or of a step stands in this file."""
        if not self.is_letter or path[0] not in ("campaign", "steps"):
            return path
        return ("letter", *path[2 if path[0] == "steps" else 1 :])

    def _named(self, place: Place) -> str:
        return f"{self.path}:{place.line}:{place.column}"


def _path(part: str, step_index: int) -> KeyPath:
    return ("campaign", part) if part in CAMPAIGN_PARTS else ("steps", step_index, part)
