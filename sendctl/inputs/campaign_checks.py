"""The form of single values in a campaign file: mailboxes, addresses of pages, zones, hours.

Each function takes text and raises ValueError with the problem. They know no file and look nothing up outside.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable

from sendctl.addresses import parse_mailbox
from sendctl.durations import format_duration, parse_duration_s
from sendctl.tomlfile.tables import nearest, printable

_EXPRESSION = re.compile(r"\{\{.*?\}\}")
_TOKEN = re.compile(r"\{\{[^}]*\btoken\b[^}]*\}\}")
_PAGE = re.compile(r"(https?)://[^\s/?#@]+[^\s<>\"]*")
_EVENT = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")


def mailbox(text: str) -> str:
    """One mailbox, `news@shop.example` or `Shop <news@shop.example>` (RFC 5322 section 3.4), unchanged."""
    try:
        parse_mailbox(text)
    except ValueError as error:
        wanted = 'want "news@shop.example" or "Shop <news@shop.example>"'
        raise ValueError(f'"{printable(text)}" is not one mailbox: {error}; {wanted}') from None
    return text


def page(text: str) -> str:
    """An http or https address that may hold template expressions."""
    if not text.isprintable() or not _PAGE.fullmatch(_EXPRESSION.sub("x", text)):
        raise ValueError(f'"{printable(text)}" is no address of a page: want "https://shop.example/..."')
    return text


def unsubscribe_page(text: str) -> str:
    """An https address (RFC 8058 section 3.1 requires HTTPS) with the enrollment's token in it."""
    if not page(text).startswith("https://"):
        raise ValueError(f'"{printable(text)}" must begin with https:// (RFC 8058)')
    if not _TOKEN.search(text):
        raise ValueError(f'"{printable(text)}" must contain {{{{ token }}}}, or nobody knows who unsubscribed')
    return text


def one_line(text: str) -> str:
    """Text without line breaks and control characters: what may stand in a header."""
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("must be one line without control characters")
    return text


def event_name(text: str) -> str:
    """An event's type, such as `order.delivered`."""
    if not _EVENT.fullmatch(text):
        raise ValueError(f'"{printable(text)}" is no event: want a word such as "order.delivered"')
    return text


def zone_name(text: str) -> str:
    """An IANA time zone that this machine knows."""
    try:
        zoneinfo.ZoneInfo(text)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        zones = zoneinfo.available_timezones()
        advice = nearest_zone(text, zones) if zones else "this machine has no time zones: install the package tzdata"
        raise ValueError(f'"{printable(text)}" is no IANA time zone; {advice}') from None
    return text


def nearest_zone(text: str, zones: set[str]) -> str:
    """Advice for a mistyped zone: a zone in any case, or one whose city is named, or the most similar."""
    wanted = text.lower().replace(" ", "_")
    named = sorted(zone for zone in zones if wanted in (zone.lower(), zone.lower().rpartition("/")[2]))
    if named:
        return f'did you mean "{named[0]}"?'
    return nearest(text.title(), zones) or 'want one such as "Europe/Berlin" or "UTC"'


def duration_from(least_s: int, most_s: int) -> Callable[[str], int]:
    """A function that reads a duration and refuses less than `least_s` and more than `most_s` seconds."""

    def seconds_in(text: str) -> int:
        seconds = parse_duration_s(text)
        if not least_s <= seconds <= most_s:
            raise ValueError(f'"{text}" is outside {format_duration(least_s)} to {format_duration(most_s)}')
        return seconds

    return seconds_in
