"""Many CSV records at once, column by column: the same contacts that contact_rows.py makes, in a third of the time.

Never says what is wrong with a record: where one is not plainly a contact there is no table, and the records are
looked at one by one.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sendctl.addresses import Email, plain_emails
from sendctl.inputs.contact_rows import (
    ID_MAX_CHARACTERS,
    IGNORED_COLUMNS,
    ContactRow,
    ValueProblem,
    phone_of,
    zones,
)
from sendctl.inputs.csv_header import Header
from sendctl.inputs.csv_records import FIELD_MAX_CHARACTERS, csv_records


class ContactTable(NamedTuple):
    """Contacts with an e-mail address each, of consecutive lines. All sequences have one value for each contact.

    `records` are the fields as written, in the order of `names`, the template names of all columns.
    """

    first_line: int
    names: tuple[str, ...]
    records: Sequence[Sequence[str]]
    addresses: Sequence[str]
    address_keys: Sequence[str]
    phones: Sequence[str | None]
    external_ids: Sequence[str | None]
    timezones: Sequence[str | None]

    def rows(self) -> Iterator[ContactRow]:
        """The same contacts one by one."""
        for line, record, address, key, phone, name, zone in zip(
            range(self.first_line, self.first_line + len(self.records)), self.records, self.addresses,
            self.address_keys, self.phones, self.external_ids, self.timezones, strict=True,
        ):  # fmt: skip
            values = dict(zip(self.names, record, strict=True))
            yield ContactRow(line, Email(address, key, False), phone, name, zone, values)


def contact_table(first_line: int, texts: Sequence[str], header: Header) -> ContactTable | None:
    """The contacts of these lines, which are free of flaws; None unless each line is a record and plainly a contact."""
    names = header.names
    if "email" not in names or not IGNORED_COLUMNS.isdisjoint(names):
        return None
    records = _records(texts, header)
    if records is None:
        return None
    columns = dict(zip(names, zip(*records, strict=True), strict=True))
    none = ("",) * len(records)
    emails = plain_emails(columns["email"])
    phones = _phones(columns.get("phone", none))
    external_ids = _external_ids(columns.get("id", none))
    timezones = _timezones(columns.get("timezone", none))
    if emails is None or phones is None or external_ids is None or timezones is None:
        return None
    return ContactTable(first_line, names, records, *emails, phones, external_ids, timezones)


def _records(texts: Sequence[str], header: Header) -> list[list[str]] | None:
    if max(map(len, texts)) > FIELD_MAX_CHARACTERS:
        return None
    try:
        records = list(csv_records(iter(texts), header.delimiter))
    except csv.Error:
        return None
    # No record takes less than a line: as many records as lines are one to each.
    if len(records) != len(texts) or set(map(len, records)) != {len(header.names)}:
        return None
    return records


def _phones(texts: Sequence[str]) -> Sequence[str | None] | None:
    try:
        return [phone_of(text) if text else None for text in texts]
    except ValueProblem:
        return None


def _external_ids(texts: Sequence[str]) -> Sequence[str | None] | None:
    if max(map(len, texts)) > ID_MAX_CHARACTERS:
        return None
    return [text.strip(" \t") or None for text in texts]


def _timezones(texts: Sequence[str]) -> Sequence[str | None] | None:
    if not zones().issuperset(set(texts) - {""}):
        return None
    return [text or None for text in texts]
