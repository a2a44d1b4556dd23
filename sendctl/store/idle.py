"""Is there anything at all for a pass to do? Asked with the bare driver, for the pass that cron starts every minute.

Imports neither SQLAlchemy nor the ledger: they take longer than the answer. Whatever is not plainly "nothing" is
left to the full pass, errors included.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sendctl.errors import SendctlError
from sendctl.store.problems import BUSY_TIMEOUT_S, CONNECT_TIMEOUT_S, explained
from sendctl.store.versions import DATABASE_IDENTITY, newest_version

_READY = """
SELECT s.store_id FROM store s JOIN hosts h ON h.epoch = s.epoch
WHERE s.schema_version = ? AND h.host_id = ? AND (s.bound_to IS NULL OR s.bound_to = ?)
  AND NOT EXISTS (SELECT 1 FROM hosts other WHERE other.epoch <> s.epoch)"""
# A host that has not looked since the server was started looks now, in a full pass; one that finds nothing due shows
# itself once a day, so that others wait for it after the next start (meta.awaited).
_SAME_DATABASE = f"""
SELECT 1 FROM store s JOIN hosts h ON h.host_id = ?
WHERE s.database_id = {DATABASE_IDENTITY} AND h.server_start = pg_postmaster_start_time()
  AND h.last_run_at > clock_timestamp() - interval '1 day'"""  # noqa: S608  a constant
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
_NOTE = "UPDATE store SET passes = passes + 1, last_pass_at = {now}, last_pass_host = ? WHERE passes >= ?"
_PASSES = "SELECT passes FROM store"
_NOW = {True: "strftime('%Y-%m-%d %H:%M:%f000', 'now')", False: "clock_timestamp()"}  # by whether it is SQLite


class StillWaiting(Exception):
    """The store kept this pass waiting as long as a pass may wait: to ask again would only wait as long again.

    `problem` says it to a person.
    """

    def __init__(self, problem: SendctlError) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Here:
    """What this host knows of itself: where it is, the newest run it saw confirmed, and the passes it has seen."""

    place: str
    host_id: str
    hostname: str
    newest_run: str


def nothing_to_do(url: str, here: Here, seen_passes: Callable[[str], int]) -> tuple[str, int] | None:
    """(store id, number of this pass) when a pass would find nothing: it is noted in the store then, else None.

    `url` is in SQLAlchemy's form, `seen_passes` tells what this host has seen of a store. Raises StillWaiting, and
    what the driver raises.
    """
    if url.startswith("sqlite:///"):
        return _asked(_sqlite(url.removeprefix("sqlite:///")), True, here, seen_passes)
    psycopg = importlib.import_module("psycopg")
    waited = (psycopg.errors.ConnectionTimeout, psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)
    try:
        return _asked(_postgres(psycopg, url), False, here, seen_passes)
    except waited as error:
        problem = explained(str(error))
        if problem is None:
            raise
        raise StillWaiting(problem) from error


def _asked(opened: Any, sqlite: bool, here: Here, seen_passes: Callable[[str], int]) -> tuple[str, int] | None:
    """The answer of an open connection, which is closed then."""
    with closing(opened) as connection:
        run = _runner(connection, sqlite)
        ready = run(_READY, newest_version(), here.host_id, here.place)
        if ready is None or (not sqlite and run(_SAME_DATABASE, here.host_id) is None):
            return None
        if here.newest_run and not run(_ENDED, here.newest_run)[0]:
            return None
        if run(_DUE) is not None or run(_UNSWEPT) is not None:
            return None
        seen = seen_passes(ready[0])
        run(_NOTE, here.hostname, seen)
        (passes,) = run(_PASSES)
        if passes <= seen:
            return None  # the store counts fewer passes than this host has seen: the full pass says what that means
        connection.commit()
        return ready[0], passes


def _sqlite(path: str) -> Any:
    from sendctl.store.sqlite_file import check_writable  # noqa: PLC0415  not for Postgres to pay

    check_writable(Path(path))
    # mode=rw: a store that is not there is not created.
    connection = importlib.import_module("sqlite3").connect(f"file:{quote(path)}?mode=rw", uri=True, timeout=5.0)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _postgres(psycopg: Any, url: str) -> Any:
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    bound = {} if "connect_timeout=" in url else {"connect_timeout": CONNECT_TIMEOUT_S}
    connection = psycopg.connect(plain, prepare_threshold=None, **bound)
    most_ms = round(BUSY_TIMEOUT_S * 1000)
    connection.execute(f"SET LOCAL lock_timeout = {most_ms}; SET LOCAL statement_timeout = {2 * most_ms}")
    return connection


def _runner(connection: Any, sqlite: bool) -> Any:
    def run(statement: str, *values: object) -> Any:
        cursor = connection.cursor()
        text = statement.format(now=_NOW[sqlite])
        cursor.execute(text if sqlite else text.replace("?", "%s"), values)
        return cursor.fetchone() if cursor.description else None

    return run
