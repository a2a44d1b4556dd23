"""Rows given column by column: what is read back is what was given, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from sendctl.store.columns import insert_columns
from sendctl.store.tables import contacts
from tests.store.ground import Ground

TEXTS = ["", "\\", "\\N", "\\.", "a\tb\nc\rd\\te", "'\"%s%%", "ü\u2028🎉", "\x01\x7f"]
MOMENT = datetime(2026, 3, 2, 9, 0, 0, 120, tzinfo=UTC)


@pytest.mark.parametrize("shared", TEXTS)
def test_texts_nothing_and_moments_come_back_as_they_were(ground: Ground, shared: str) -> None:
    count = len(TEXTS)
    updated = [MOMENT.astimezone(timezone(timedelta(hours=k))) for k in range(count)]
    each = {
        "id": range(5, 5 + count), "address_key": [f"{k}{text}" for k, text in enumerate(TEXTS)], "email": TEXTS,
        "phone": [None, *TEXTS[1:]], "attributes": TEXTS, "updated_at": updated,
    }  # fmt: skip
    same = {"external_id": shared, "timezone": None, "created_at": MOMENT}
    with ground.store.write() as connection:
        insert_columns(connection, contacts, each, same)
        rows = connection.execute(sa.select(contacts).order_by(contacts.c.id)).mappings().all()
    wanted = [{**same, **{name: column[k] for name, column in each.items()}} for k in range(count)]
    assert [dict(row) for row in rows] == wanted


def test_no_rows_are_none(ground: Ground) -> None:
    with ground.store.write() as connection:
        insert_columns(connection, contacts, {"id": [], "email": [], "created_at": []}, {"attributes": "{}"})
    assert ground.one("SELECT count(*) FROM contacts") == 0
