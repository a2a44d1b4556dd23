"""Subjects are found by their keys: what a look costs does not grow with the campaign."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from sendctl.store import subjects
from tests.passes.orders import event, load
from tests.store.ground import Ground


def plans(ground: Ground, statement: str) -> str:
    """How SQLite would run what `statement`'s words begin, each time that a load ran it."""
    seen: list[tuple[str, Any]] = []

    def look(_connection: Any, _cursor: Any, text: str, parameters: Any, *_: Any) -> None:
        if " ".join(text.split()).startswith(statement):
            seen.append((text, parameters))

    sa.event.listen(ground.store.engine, "before_cursor_execute", look)
    with ground.store.write() as connection:
        subjects.known(connection, 1, ["1/1"])
        subjects.enrolled(connection, 1, ["1/1"])
        subjects.save(connection, 1, subjects.known(connection, 1, ["1/1"]))
        subjects.stop(connection, 1, [1], ["order.refunded"], ground.clock.now)
    sa.event.remove(ground.store.engine, "before_cursor_execute", look)
    assert seen
    with ground.store.read() as connection:
        return " ".join(
            str(row[3])
            for text, parameters in seen
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters)
        )


def test_no_statement_looks_through_all_subjects_or_enrollments(sqlite_ground: Ground) -> None:
    load(sqlite_ground, *(event(number) for number in range(1, 30)))
    for words, index in (
        (
            "SELECT subjects.",
            "SEARCH subjects USING INDEX sqlite_autoindex_subjects_1 (campaign_id=? AND subject_key=?)",
        ),
        ("SELECT enrollments.", "INDEX enrollments_one_subject (campaign_id=? AND subject_key=?)"),
        ("DELETE FROM subjects", "INDEX sqlite_autoindex_subjects_1 (campaign_id=? AND subject_key=?)"),
        ("SELECT messages.", "SEARCH messages USING"),
        ("UPDATE enrollments", "SEARCH enrollments USING INDEX sqlite_autoindex_enrollments_1 (id=?)"),
    ):
        found = plans(sqlite_ground, words)
        assert index in found, found
        assert "SCAN subjects" not in found
        assert "SCAN enrollments" not in found
        assert "SCAN messages" not in found


def test_two_enrollments_for_one_key_are_refused_by_the_database_itself(ground: Ground) -> None:
    load(ground, event(1), event(2))
    with ground.store.write() as connection:
        second = subjects.enrolled(connection, 1, ["2/1"])["2/1"]
        try:
            connection.execute(
                sa.text("UPDATE enrollments SET subject_key = '1/1' WHERE id = :id"), {"id": second}
            )  # fmt: skip
        except sa.exc.IntegrityError as error:
            refused = str(error)
        else:
            refused = ""
        connection.rollback()
    assert "subject" in refused
