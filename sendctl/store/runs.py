"""Runs: who executes, since when, with what result; and what a dead run left behind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import AttemptOutcome, State
from sendctl.store.dialect import insert_ignore
from sendctl.store.tables import attempts, campaigns, messages, runs


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of `runs`. `detail` is what it counted."""

    id: str
    command: str
    host_id: str
    hostname: str
    pid: int
    boot_id: str
    started_by: str
    started_at: datetime
    heartbeat_at: datetime
    finished_at: datetime | None
    result: str | None
    detail: dict[str, Any]


def _row(row: Any) -> RunRow:
    values = row._asdict()
    return RunRow(**(values | {"detail": json.loads(values["detail"])}))


def record(connection: Connection, run: RunRow) -> None:
    """Write a run; one that is there already stays as it is."""
    values = {name: getattr(run, name) for name in RunRow.__slots__} | {"detail": json.dumps(run.detail)}
    connection.execute(insert_ignore(connection, runs), [values])


def hold_open(connection: Connection, run_id: str) -> bool:
    """Whether the store knows the run and has not ended it; it is not ended before this transaction is."""
    statement = sa.select(runs.c.id).where(runs.c.id == run_id, runs.c.finished_at.is_(None))
    return connection.execute(statement.with_for_update(read=True, key_share=True)).first() is not None


def seize(connection: Connection, run_id: str) -> RunRow | None:
    """The row of a run that is to be ended, once every commit that it had under way is visible or gone.

    A process can die between sending a commit and the server's carrying it out.
    """
    row = connection.execute(sa.select(runs).where(runs.c.id == run_id).with_for_update()).first()
    return _row(row) if row is not None else None


def beat(connection: Connection, run_id: str, now: datetime) -> None:
    """Say that the run is alive."""
    connection.execute(sa.update(runs).where(runs.c.id == run_id).values(heartbeat_at=now))


def finish(connection: Connection, run_id: str, result: str, detail: dict[str, Any], now: datetime) -> bool:
    """End a run once; False when it had ended before."""
    statement = (
        sa.update(runs)
        .where(runs.c.id == run_id, runs.c.finished_at.is_(None))
        .values(finished_at=now, heartbeat_at=now, result=result, detail=json.dumps(detail))
    )
    return connection.execute(statement).rowcount == 1


def find(connection: Connection, ids: Iterable[str]) -> dict[str, RunRow]:
    """The runs among these ids that the store knows."""
    rows = connection.execute(sa.select(runs).where(runs.c.id.in_(list(ids))))
    return {row.id: _row(row) for row in rows}


def latest(connection: Connection, limit: int = 5) -> list[RunRow]:
    """The last runs, newest first."""
    return [_row(row) for row in connection.execute(sa.select(runs).order_by(runs.c.started_at.desc()).limit(limit))]


def boots_of(connection: Connection, host_id: str) -> list[str]:
    """The boot ids of a host's runs, newest run first, as far as the last hundred runs of all hosts tell."""
    newest = sa.select(runs.c.host_id, runs.c.boot_id).order_by(runs.c.started_at.desc()).limit(100)
    return [row.boot_id for row in connection.execute(newest) if row.host_id == host_id]


def unfinished(connection: Connection) -> list[RunRow]:
    """Runs that have not said that they ended: alive, or dead."""
    statement = sa.select(runs).where(runs.c.finished_at.is_(None)).order_by(runs.c.started_at)
    return [_row(row) for row in connection.execute(statement)]


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """A claimed message and its open attempt."""

    message_id: int
    number: int
    claim_id: str
    run_id: str
    worker: int
    provider: str
    claim_expires_at: datetime
    started_at: datetime


def open_attempts(
    connection: Connection,
    *,
    run_id: str | None = None,
    campaign_id: int | None = None,
    expired_at: datetime | None = None,
) -> list[OpenAttempt]:
    """Messages in `sending`: of one run, of one campaign, or those whose claim had expired at a moment."""
    living = sa.select(campaigns.c.id)
    living = living if campaign_id is None else living.where(campaigns.c.id == campaign_id)
    statement = (
        sa.select(
            messages.c.id, attempts.c.number, attempts.c.claim_id, attempts.c.run_id, attempts.c.worker,
            attempts.c.provider, messages.c.claim_expires_at, attempts.c.started_at,
        )
        .join(attempts, attempts.c.message_id == messages.c.id)
        .where(
            messages.c.campaign_id.in_(living),  # lets the index on (campaign_id, status) find the few in flight
            messages.c.status == State.SENDING,
            attempts.c.outcome == AttemptOutcome.OPEN,
        )
    )  # fmt: skip
    if run_id is not None:
        statement = statement.where(messages.c.run_id == run_id)
    if expired_at is not None:
        statement = statement.where(messages.c.claim_expires_at < expired_at)
    return [OpenAttempt(*row) for row in connection.execute(statement.order_by(messages.c.id))]


def attempt_states(connection: Connection, pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], tuple[str, str]]:
    """(claim id, outcome) of given attempts, by (message id, number): those the store knows."""
    found: dict[tuple[int, int], tuple[str, str]] = {}
    for start in range(0, len(pairs), 500):
        wanted = pairs[start : start + 500]
        statement = sa.select(attempts.c.message_id, attempts.c.number, attempts.c.claim_id, attempts.c.outcome).where(
            attempts.c.message_id.in_({message_id for message_id, _ in wanted})
        )
        for row in connection.execute(statement):
            found[row.message_id, row.number] = (row.claim_id, row.outcome)
    return found
