"""The second reading of a contacts file: its people become entries of the ledger, a chunk at a time.

Runs inside the transaction of an enqueue. Checks nothing: the rows were checked at the first reading.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from sendctl import identity
from sendctl.definition import Definition
from sendctl.inputs.contacts import ContactFile, ContactRow
from sendctl.passes.row_checks import Progress, sendable
from sendctl.rendering.message import StepRenderer
from sendctl.schedule import next_open
from sendctl.store import loading
from sendctl.store.campaigns import Campaign
from sendctl.store.enrollments import expiry
from sendctl.store.loading import Entry, Ids, Loaded

CHUNK_ROWS = 2000


class EntryMaker:
    """Turns good rows into ledger entries: identities, due times, frozen attributes."""

    def __init__(self, definition: Definition, secret: str, start_at: datetime) -> None:
        self._definition, self._secret = definition, secret
        self._start_at = start_at + timedelta(seconds=definition.steps[0].after_s)
        self._due_at: dict[str, datetime] = {}

    @property
    def first_due_at(self) -> datetime | None:
        """The earliest due time of the entries made so far."""
        return min(self._due_at.values(), default=None)

    def entries(self, file: ContactFile, leaving_out: Sequence[StepRenderer]) -> Iterator[Entry]:
        """An entry for each row. With renderers, rows that these cannot fill are left out."""
        for row in file.rows():
            if isinstance(row, ContactRow) and (not leaving_out or sendable(row, leaving_out)):
                yield self._entry(row)

    def _entry(self, row: ContactRow) -> Entry:
        assert row.email is not None
        slot = {"campaign": self._definition.name, "address_key": row.email.key, "subject_key": ""}
        due_at = self._due(row.timezone or self._definition.timezone)
        return Entry(
            row.line, row.email.key, row.email.address, row.phone, row.external_id, row.timezone,
            json.dumps(row.attributes, ensure_ascii=False, separators=(",", ":")),
            identity.link_token(self._secret, **slot),
            identity.provider_key(self._secret, **slot, step_index=0, occurrence=0, channel="email"),
            due_at, expiry(self._definition, due_at),
        )  # fmt: skip

    def _due(self, zone: str) -> datetime:
        if zone not in self._due_at:
            self._due_at[zone] = next_open(self._start_at, self._definition.window, zone)
        return self._due_at[zone]


def enroll(
    connection: Connection, campaign: Campaign, file: ContactFile, entries: Iterator[Entry], ids: Ids, now: datetime,
    progress: Progress | None,
) -> Loaded:  # fmt: skip
    """Load all entries; returns what was added."""
    loaded = Loaded()
    for chunk in _chunks(entries, CHUNK_ROWS):
        loading.load_chunk(connection, campaign.id, "email", chunk, ids, loaded, now)
        if progress is not None:
            progress("loading", file.position_bytes(), file.size_bytes)
    return loaded


def _chunks(entries: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
