"""The second reading of a contacts file: its people become entries of the ledger, a chunk at a time.

Runs inside the transaction of an enqueue. Checks nothing: the rows were checked at the first reading.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from sendctl import identity
from sendctl.calendar import Calendar, Slot
from sendctl.inputs.contacts import ContactFile, ContactRow, ContactTable
from sendctl.passes.row_checks import Progress, all_sendable, rows_of, sendable
from sendctl.rendering.steps import Renderer
from sendctl.store import loading
from sendctl.store.campaigns import Campaign
from sendctl.store.loading import Entries, Ids, Loaded

CHUNK_ROWS = 2000
JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Chunk(NamedTuple):
    """Entries that are loaded together, and how far the file was read for them."""

    entries: Entries
    position_bytes: int


class EntryMaker:
    """Turns good rows into ledger entries: identities, due times, frozen attributes."""

    def __init__(self, calendar: Calendar, secret: str, start_at: datetime) -> None:
        self._calendar = calendar
        name = calendar.definition.name
        self._names = {
            channel: identity.FirstNames(secret, campaign=name, channel=channel)
            for channel in calendar.definition.channels
        }
        self._start_at = start_at + timedelta(seconds=calendar.definition.steps[0].after_s)
        self._slots: dict[str | None, Slot] = {}

    def chunks(self, file: ContactFile, leaving_out: Sequence[Renderer]) -> Iterator[Chunk]:
        """The entries of the file's contacts. With renderers, rows that these cannot fill are left out."""
        for entries in self._entries(file, leaving_out):
            yield Chunk(entries, file.position_bytes())

    def _entries(self, file: ContactFile, leaving_out: Sequence[Renderer]) -> Iterator[Entries]:
        rows: list[ContactRow] = []
        for part in file.parts():
            if isinstance(part, ContactTable) and (not leaving_out or all_sendable(part, leaving_out)):
                yield from self._of_rows(rows)
                rows = []
                yield from self._of_table(part)
                continue
            for row in rows_of(part):
                if isinstance(row, ContactRow) and (not leaving_out or sendable(row, leaving_out)):
                    rows.append(row)
            if len(rows) >= CHUNK_ROWS:
                yield from self._of_rows(rows)
                rows = []
        yield from self._of_rows(rows)

    def _of_table(self, table: ContactTable) -> Iterator[Entries]:
        last = table.first_line + len(table.records)
        lines = range(table.first_line, last)
        attributes = json_objects(table.names, table.records)
        return self._divided(
            lines, table.address_keys, table.addresses, table.phones, table.external_ids, table.timezones, attributes
        )

    def _of_rows(self, rows: Sequence[ContactRow]) -> Iterator[Entries]:
        emails = [row.email for row in rows]
        return self._divided(
            [row.line for row in rows], [row.key for row in rows],
            [email.address if email else None for email in emails], [row.phone for row in rows],
            [row.external_id for row in rows], [row.timezone for row in rows],
            [JSON.encode(row.attributes) for row in rows],
        )  # fmt: skip

    def _divided(self, *columns: Sequence[Any]) -> Iterator[Entries]:
        """Entries of at most CHUNK_ROWS from columns in the order of `Entries`, with what is made of them."""
        for start in range(0, len(columns[0]), CHUNK_ROWS):
            part = [column[start : start + CHUNK_ROWS] for column in columns]
            address_keys, emails, phones, timezones = part[1], part[2], part[3], part[5]
            tokens = next(iter(self._names.values())).link_tokens(address_keys)
            names = tokens, self._keys("email", address_keys, emails), self._keys("sms", address_keys, phones)
            yield Entries._make([*part, *names, *map(list, zip(*map(self._slot, timezones), strict=True))])

    def _keys(
        self, channel: str, address_keys: Sequence[str], addresses: Sequence[str | None]
    ) -> Sequence[str | None]:  # fmt: skip
        """Provider keys of a channel's first messages; None for who has no address there, or all if it is not used."""
        if channel not in self._names:
            return [None] * len(address_keys)
        keys = self._names[channel].provider_keys(address_keys)
        if None not in addresses:
            return keys
        return [None if address is None else key for key, address in zip(keys, addresses, strict=True)]

    def _slot(self, zone: str | None) -> Slot:
        if zone not in self._slots:
            self._slots[zone] = self._calendar.slot(self._start_at, zone)
        return self._slots[zone]


def enroll(
    connection: Connection, campaign: Campaign, file: ContactFile, chunks: Iterator[Chunk], ids: Ids, now: datetime,
    progress: Progress | None,
) -> Loaded:  # fmt: skip
    """Load all entries of a file; returns what was added."""
    loaded = Loaded()
    for chunk in chunks:
        loading.load_chunk(connection, campaign.id, chunk.entries, ids, loaded, now)
        if progress is not None:
            progress("loading", chunk.position_bytes, file.size_bytes)
    return loaded


def json_objects(names: Sequence[str], records: Sequence[Sequence[str]]) -> list[str]:
    """Each record as the JSON object that JSON makes of it, faster where nothing in it has to be escaped."""
    fields = ",".join(JSON.encode(name).replace("%", "%%") + ':"%s"' for name in names)
    pattern = f"{{{fields}}}"
    return [
        pattern % tuple(record) if _is_plain("".join(record)) else JSON.encode(dict(zip(names, record, strict=True)))
        for record in records
    ]


def _is_plain(text: str) -> bool:
    """Whether JSON has the text as it is: nothing but quotes, backslashes and control characters is escaped."""
    return text.isprintable() and '"' not in text and "\\" not in text
