"""Two transactions at once on Postgres: one goes on when the other waits for it, and not a moment later."""

from __future__ import annotations

import threading

import sqlalchemy as sa
from sqlalchemy.engine import Connection


def until_it_waits(connection: Connection, thread: threading.Thread) -> None:
    """Until a thread waits for what this transaction holds, or has ended. On SQLite only one can write at all."""
    if connection.dialect.name == "sqlite":
        return
    waits = sa.text("SELECT count(*) FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
    while thread.is_alive() and not connection.execute(waits).scalar_one():
        thread.join(0.01)


def begin_before_the_commit(engine: sa.Engine, thread: threading.Thread) -> None:
    """Start a thread right before the next commit here, which comes when it waits for that, or has ended."""

    def begin(connection: Connection) -> None:
        thread.start()
        until_it_waits(connection, thread)

    sa.event.listen(engine, "commit", begin, once=True)
