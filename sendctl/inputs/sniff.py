"""Which format a contacts file has, and which character divides its columns. Deterministic; refuses to guess."""

from __future__ import annotations

import re
from pathlib import PurePath

from sendctl.errors import BadInput
from sendctl.inputs.source_file import SourceFile

CSV, JSON_LINES = "csv", "jsonl"
_DELIMITERS = (",", ";", "\t")
_DELIMITER_OF_SUFFIX = {".csv": None, ".tsv": "\t"}
_JSON_SUFFIXES = (".jsonl", ".ndjson")
_QUOTED_PART = re.compile(r'"[^"]*"')


def file_format(source: SourceFile) -> str:
    """CSV or JSON_LINES: by the file's extension, else JSON Lines if the first byte that is not blank is "{".

    Raises BadInput for an empty file, for line ends that are carriage returns alone, and for one JSON array.
    """
    if source.is_blank:
        raise BadInput("the file is empty", place=source.name, hint="a contacts file starts with a header row.")
    if b"\r" in source.head and b"\n" not in source.head:
        hint = "convert it: tr '\\r' '\\n' < FILE > NEW"
        raise BadInput("the lines end in carriage returns alone, as on very old Macs", place=source.name, hint=hint)
    suffix = PurePath(source.name).suffix.lower()
    if suffix in _DELIMITER_OF_SUFFIX:
        return CSV
    first = source.head.lstrip()[:1]
    if first == b"[":
        hint = "write one JSON object on each line, for example with: jq -c '.[]'"
        raise BadInput("the file is one JSON array, not JSON Lines", place=f"{source.name}:1:1", hint=hint)
    return JSON_LINES if suffix in _JSON_SUFFIXES or first == b"{" else CSV


def column_delimiter(source_name: str, header_line: str) -> str:
    """A tab in a .tsv file; else the first of comma, semicolon and tab that the header line has outside quotes.

    A header without any of them is a single column.
    """
    fixed = _DELIMITER_OF_SUFFIX.get(PurePath(source_name).suffix.lower())
    if fixed:
        return fixed
    unquoted = _QUOTED_PART.sub("", header_line)
    return next((delimiter for delimiter in _DELIMITERS if delimiter in unquoted), ",")
