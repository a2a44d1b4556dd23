"""Is there anything at all for a pass to do? Asked with the bare driver, for the pass that cron starts every minute.

Imports neither SQLAlchemy nor the ledger: they take longer than the answer. Whatever is not plainly "nothing" is
left to the full pass, errors included.
"""

from __future__ import annotations

import importlib
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sendctl.store.versions import newest_version

_READY = """
SELECT s.store_id FROM store s JOIN hosts h ON h.epoch = s.epoch
WHERE s.schema_version = ? AND h.host_id = ? AND (s.bound_to IS NULL OR s.bound_to = ?)
  AND NOT EXISTS (SELECT 1 FROM hosts other WHERE other.epoch <> s.epoch)"""
_SAME_DATABASE = """
SELECT 1 FROM store st, pg_control_system() s, pg_control_checkpoint() c, pg_database d
WHERE d.datname = current_database()
  AND st.database_id = s.system_identifier || '/' || c.timeline_id || '/' || d.oid"""
_ENDED = "SELECT count(*) FROM runs WHERE finished_at IS NOT NULL AND id = ?"
_DUE = """
SELECT 1 FROM campaigns c
WHERE c.status = 'running'
  AND (SELECT min(m.next_attempt_at) FROM messages m WHERE m.campaign_id = c.id AND m.status = 'queued') <= {now}
LIMIT 1"""
_UNSWEPT = """
SELECT 1 FROM campaigns c
WHERE c.status = 'cancelled'
  AND EXISTS (SELECT 1 FROM messages m WHERE m.campaign_id = c.id AND m.status = 'queued')
LIMIT 1"""
_NOTE = "UPDATE store SET last_pass_at = {now}, last_pass_host = ?"
_NOW = {True: "strftime('%Y-%m-%d %H:%M:%f000', 'now')", False: "clock_timestamp()"}  # by whether it is SQLite


@dataclass(frozen=True, slots=True)
class Here:
    """What this host knows of itself: who it is, and the newest run that this store has confirmed."""

    machine: str
    host_id: str
    hostname: str
    newest_run: str


def nothing_to_do(url: str, here: Here) -> bool:
    """Whether a pass would find nothing; the pass is noted in the store if so. `url` is in SQLAlchemy's form.

    False when in doubt. Raises whatever the driver raises.
    """
    sqlite = url.startswith("sqlite:///")
    with closing(_connect(url, sqlite)) as connection:
        run = _runner(connection, sqlite)
        ready = run(_READY, newest_version(), here.host_id, here.machine)
        if ready is None or (not sqlite and run(_SAME_DATABASE) is None):
            return False
        if here.newest_run and not run(_ENDED, here.newest_run)[0]:
            return False
        if run(_DUE) is not None or run(_UNSWEPT) is not None:
            return False
        run(_NOTE, here.hostname)
        connection.commit()
        return True


def _connect(url: str, sqlite: bool) -> Any:
    if sqlite:
        connection = importlib.import_module("sqlite3").connect(url.removeprefix("sqlite:///"), timeout=5.0)
        connection.execute("PRAGMA synchronous = FULL")
        return connection
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    return importlib.import_module("psycopg").connect(plain, connect_timeout=15, prepare_threshold=None)


def _runner(connection: Any, sqlite: bool) -> Any:
    def run(statement: str, *values: object) -> Any:
        cursor = connection.cursor()
        text = statement.format(now=_NOW[sqlite])
        cursor.execute(text if sqlite else text.replace("?", "%s"), values)
        return cursor.fetchone() if cursor.description else None

    return run
