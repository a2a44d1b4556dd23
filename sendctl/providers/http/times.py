"""Moments as services write them in their lists; one without an offset is UTC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def iso(said: object) -> datetime:
    """Such as "2023-04-03 22:13:42.674981+00". Raises ValueError."""
    return _told(datetime.fromisoformat, said)


def iso_or_none(said: object) -> datetime | None:
    """The same; None for what is no time."""
    try:
        return iso(said)
    except ValueError:
        return None


def rfc2822(said: object) -> datetime:
    """Such as "Fri, 24 May 2019 17:44:46 +0000". Raises ValueError."""
    return _told(parsedate_to_datetime, said)


def rfc2822_or_none(said: object) -> datetime | None:
    """The same; None for what is no time."""
    try:
        return rfc2822(said)
    except ValueError:
        return None


def no_time(entry: Mapping[str, Any], name: str) -> OSError:
    """What is to be said of an entry that may be the one that is sought, and does not say when it was made."""
    return OSError(0, f"its answer: {name} {str(entry.get(name))[:40]!r} is no time")


def _told(read: Callable[[str], datetime], said: object) -> datetime:
    try:
        moment = read(str(said))
    except (ValueError, OverflowError) as error:  # such as more digits than a number of seconds can have
        raise ValueError(f"{str(said)[:40]!r} is no time") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
