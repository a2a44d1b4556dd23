"""One contact as read from a file, or the reason why a record is none; the checks that CSV and JSON Lines share.

Never repairs a value: addresses are normalised by their own rules (addresses.py), all else stays as written.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from sendctl.addresses import Email, parse_email, parse_phone

SPECIAL_COLUMNS = ("email", "phone", "id", "timezone")
# Columns that a file of skipped records carries; ignored on reading, so that a repaired file reads like the original.
SKIPPED_LINE, SKIPPED_REASON, SKIPPED_RAW = "sendctl_line", "sendctl_reason", "sendctl_raw"
IGNORED_COLUMNS = frozenset({SKIPPED_LINE, SKIPPED_REASON, SKIPPED_RAW})
ID_MAX_CHARACTERS = 255  # it is indexed: a Postgres b-tree entry holds at most 2704 bytes


class ContactRow(NamedTuple):
    """One valid record. `line` is the first line of the record in the file, 1-based.

    A named tuple: a file makes millions of them, and a frozen dataclass takes three times as long.
    `attributes` has every column under its template name, the special ones too: strings as written from CSV, JSON
    values from JSON Lines.
    """

    line: int
    email: Email | None
    phone: str | None
    external_id: str | None
    timezone: str | None
    attributes: dict[str, Any]

    @property
    def key(self) -> str:
        """Who this is: the e-mail address as compared, else the number."""
        return self.email.key if self.email is not None else self.phone or ""


@dataclass(frozen=True, slots=True)
class BadRow:
    """One record that is no contact.

    `column` is 1-based: of the CSV column, or of the character in a JSON line; for a wrong JSON value, its key; None
    where the record as a whole is to blame.
    `raw` is the record's text without the last line end; bytes that are not UTF-8 stand in it as lone surrogates
    (PEP 383), so it is for `SkipFile`, not for printing.
    """

    line: int
    column: int | str | None
    reason: str
    raw: str


class ValueProblem(ValueError):
    """The value of one column or key is wrong."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


def contact_row(
    line: int, special: tuple[str | None, str | None, str | None, str | None], values: dict[str, Any]
) -> ContactRow:
    """The contact that one record describes.

    `special` are the values of SPECIAL_COLUMNS in their order; None and "" both mean that the record does not say.

    Raises ValueProblem naming the column, ValueError if there is neither e-mail nor phone.
    """
    email, phone, external_id, timezone = special
    try:
        mailbox = parse_email(email) if email else None
    except ValueError:
        mailbox = _trimmed_email(email or "")
    number = phone_of(phone) if phone else None
    if mailbox is None and number is None:
        raise ValueError("neither email nor phone")
    name = _external_id(external_id) if external_id else None
    zone = timezone if timezone in zones() else _timezone(timezone) if timezone else None
    return ContactRow(line, mailbox, number, name, zone, values)


def _trimmed_email(text: str) -> Email | None:
    trimmed = text.strip(" \t")
    try:
        return parse_email(trimmed) if trimmed else None
    except ValueError as error:
        raise ValueProblem("email", str(error)) from None


def phone_of(text: str) -> str | None:
    """The number, None if there is none. Raises ValueProblem."""
    trimmed = text.strip(" \t")
    try:
        return parse_phone(trimmed) if trimmed else None
    except ValueError as error:
        raise ValueProblem("phone", str(error)) from None


def _external_id(text: str) -> str | None:
    trimmed = text.strip(" \t")
    if len(trimmed) > ID_MAX_CHARACTERS:
        raise ValueProblem("id", f"{len(trimmed)} characters, the limit is {ID_MAX_CHARACTERS}")
    return trimmed or None


def _timezone(text: str) -> str | None:
    trimmed = text.strip(" \t")
    if not trimmed or trimmed in zones():
        return trimmed or None
    shown = repr(trimmed[:60])
    near = _zone_of_word().get(trimmed.lower().replace(" ", "_"))
    hint = f" (did you mean {near}?)" if near else " (an example: Europe/Berlin)"
    raise ValueProblem("timezone", f"{shown} is not an IANA time zone{hint}")


@cache
def zones() -> frozenset[str]:
    """The names of time zones that a contact may have."""
    # "localtime" is whatever this host is set to and "Factory" means that it is not set: neither is a person's zone.
    return frozenset(zoneinfo.available_timezones() - {"localtime", "Factory"})


@cache
def _zone_of_word() -> dict[str, str]:
    """Zones by what people write instead: another case, or the city alone."""
    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(zones()) if "/" in zone}
    return cities | {zone.lower(): zone for zone in zones()}
