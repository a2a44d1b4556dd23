"""Many rows in one statement: they travel as one JSON parameter, and the database joins them with its tables.

Core's executemany passes each value through several Python calls, and gives Postgres a statement for each row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection

from sendctl.store.tables import text_of


def given(connection: Connection, *columns: sa.Column[Any]) -> sa.Subquery:
    """The rows of the parameter that `bound` makes, as a table with these columns' names and types."""
    return _given(connection.dialect.name, columns)


@cache
def _given(dialect: str, columns: tuple[sa.Column[Any], ...]) -> sa.Subquery:
    text = sa.bindparam("given", type_=sa.Text)
    if dialect == "sqlite":
        each = sa.func.json_each(text).table_valued("value")
        values: list[Any] = [sa.func.json_extract(each.c.value, f"$[{place}]") for place in range(len(columns))]
    else:
        each = sa.func.jsonb_array_elements(sa.cast(text, JSONB)).table_valued(sa.column("value", JSONB))
        values = [
            sa.cast(each.c.value.op("->>")(sa.literal_column(str(place))), column.type)
            for place, column in enumerate(columns)
        ]
    named = [value.label(column.name) for value, column in zip(values, columns, strict=True)]
    return sa.select(*named).subquery("given")


def bound(rows: Iterable[Sequence[Any]]) -> dict[str, str]:
    """The parameter for a statement over `given`: each row has the values of its columns, in order."""
    return {"given": json.dumps(list(rows), default=_plain, separators=(",", ":"))}


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return text_of(value)
    raise TypeError(f"{type(value).__name__} cannot travel as JSON")
