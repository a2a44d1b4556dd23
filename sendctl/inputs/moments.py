"""Moments as lines of JSON have them: RFC 3339, with their offset, as no zone is assumed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sendctl.durations import YEARS
from sendctl.inputs.contact_rows import ValueProblem

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:[Zz]|[+-]\d\d:?\d\d)").fullmatch
EXAMPLE = 'such as "2026-11-23T09:00:00Z"'


def moment(values: dict[str, Any], name: str) -> datetime | None:
    """The moment under a key, in UTC; None when it is not given. Raises ValueProblem. Source: RFC 3339 section 5.6."""
    text = values.get(name)
    if text in (None, ""):
        return None
    if not isinstance(text, str):
        raise ValueProblem(name, f"must be a string, {EXAMPLE}")
    there = _parsed(text)
    if there is None:
        raise ValueProblem(name, f"{text[:40]!r} is no time with its offset, {EXAMPLE}")
    if there.year not in YEARS:
        raise ValueProblem(name, f"the year {there.year} is outside {YEARS.start} to {YEARS.stop - 1}")
    return there.astimezone(UTC)


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.upper()) if _MOMENT(text) else None
    except ValueError:
        return None
