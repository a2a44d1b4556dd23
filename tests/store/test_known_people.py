"""A second campaign to the same people costs what the first one did."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tests.store.ground import Ground


def test_whoever_is_known_is_looked_up_and_not_searched_for_in_the_whole_campaign(sqlite_ground: Ground) -> None:
    """Joined with what it is asked for, SQLite read all that was enrolled so far, and the rest for each of these."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith("SELECT enrollments.contact_id"):
            asked.append((statement, parameters))

    sqlite_ground.enqueue(3)
    sa.event.listen(sqlite_ground.store.engine, "before_cursor_execute", note)
    sqlite_ground.enqueue(3, name="second")
    sa.event.remove(sqlite_ground.store.engine, "before_cursor_execute", note)
    statement, parameters = asked[-1]
    with sqlite_ground.store.read() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        steps = [row[3] for row in rows]
    assert "campaign_id=? AND contact_id=? AND subject_key=?" in steps[0]
