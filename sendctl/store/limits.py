"""Rate limits, cooldowns and circuit breakers, kept in the store so that they hold across passes and hosts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.durations import Rate
from sendctl.store.dialect import insert_ignore, skip_locked, upsert
from sendctl.store.tables import limits, provider_state

FAILURES_TO_OPEN = 3
OPEN_BASE_S = 30.0
HALT_BASE_S = 600.0
OPEN_CAP_S = 3600.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """A provider's circuit breaker. `closed` lets all through, `open` nothing before `retry_at`."""

    provider: str
    state: str = "closed"
    consecutive_failures: int = 0
    times_opened: int = 0
    retry_at: datetime | None = None
    reason: str | None = None

    def lets_through(self, now: datetime) -> bool:
        """Whether a window may go to this provider now; after `retry_at` one probe may."""
        return self.state == "closed" or (self.retry_at is not None and self.retry_at <= now)


def breakers(connection: Connection, *, lock: bool = False) -> dict[str, Breaker]:
    """All breakers that were ever moved. `lock` holds them until commit, so that one pass makes the probe."""
    statement = sa.select(provider_state).order_by(provider_state.c.provider)
    if lock and connection.dialect.name != "sqlite":
        statement = statement.with_for_update()
    return {
        row.provider: Breaker(
            row.provider, row.breaker, row.consecutive_failures, row.times_opened, row.retry_at, row.reason
        )
        for row in connection.execute(statement)
    }


def make_sure(connection: Connection, providers: Iterable[str], now: datetime) -> None:
    """A row for each of these, so that it can be held: whoever makes one at the same moment is waited for."""
    fresh = {"breaker": "closed", "consecutive_failures": 0, "times_opened": 0, "updated_at": now}
    rows = [{"provider": provider} | fresh for provider in sorted(providers)]
    if rows:
        connection.execute(insert_ignore(connection, provider_state), rows)


def _write(connection: Connection, breaker: Breaker, now: datetime) -> None:
    upsert(connection, provider_state, "provider", {
        "provider": breaker.provider, "breaker": breaker.state, "retry_at": breaker.retry_at,
        "consecutive_failures": breaker.consecutive_failures, "times_opened": breaker.times_opened,
        "reason": breaker.reason, "updated_at": now,
    })  # fmt: skip


def try_now(connection: Connection, breaker: Breaker, now: datetime) -> None:
    """Let the next window be the probe of a breaker that is not closed: a failure opens it for as long as ever."""
    changed = replace(breaker, state="open", retry_at=now)
    _write(connection, changed, now)


def probe(connection: Connection, breaker: Breaker, now: datetime, within_s: float) -> None:
    """Let one window through an open breaker; others wait until the probe has had its time."""
    retry_at = now + timedelta(seconds=within_s)
    _write(connection, Breaker(breaker.provider, "half_open", breaker.consecutive_failures, breaker.times_opened,
                               retry_at, breaker.reason), now)  # fmt: skip


def note_success(connection: Connection, breaker: Breaker, now: datetime) -> Breaker:
    """The provider answered: close its breaker. Writes only when there is something to close.

    An answer to what was handed over before a rest began says nothing of its end, and leaves it as it is.
    """
    if breaker.state == "open" and not breaker.lets_through(now):
        return breaker
    closed = Breaker(breaker.provider)
    if breaker.state != "closed" or breaker.consecutive_failures:
        _write(connection, closed, now)
    return closed


def note_failure(
    connection: Connection, breaker: Breaker, *, reason: str, halt: bool, retry_after_s: float | None, now: datetime,
    at_once: bool = False,
) -> Breaker:  # fmt: skip
    """Count a failure of the provider itself; opens at the third in a row, at once for a halt or a failed probe.

    A rest that is on already is never shortened.
    """
    failures = breaker.consecutive_failures + 1
    if not halt and not at_once and failures < FAILURES_TO_OPEN and breaker.state == "closed":
        changed = Breaker(breaker.provider, "closed", failures, breaker.times_opened, None, reason)
    else:
        base = HALT_BASE_S if halt else OPEN_BASE_S
        wait_s = max(min(base * 2.0 ** min(breaker.times_opened, 16), OPEN_CAP_S), retry_after_s or 0.0)
        retry_at = now + timedelta(seconds=wait_s)
        if _rests_longer(breaker, retry_at):
            return breaker
        changed = Breaker(breaker.provider, "open", failures, breaker.times_opened + 1, retry_at, reason)
    _write(connection, changed, now)
    return changed


def rest(connection: Connection, breaker: Breaker, *, reason: str, for_s: float, now: datetime) -> Breaker:
    """The provider asked for a pause: nothing goes to it for so long, and nothing counts as a failure.

    A longer rest that is on already goes on.
    """
    retry_at = now + timedelta(seconds=for_s)
    if _rests_longer(breaker, retry_at):
        return breaker
    resting = replace(breaker, state="open", retry_at=retry_at, reason=reason)
    _write(connection, resting, now)
    return resting


def _rests_longer(breaker: Breaker, until: datetime) -> bool:
    """Whether it is left alone beyond a moment already; the time of a probe is no rest."""
    return breaker.state == "open" and breaker.retry_at is not None and breaker.retry_at > until


def tokens_at_hand(connection: Connection, scope: str, rate: Rate, now: datetime) -> int:
    """Refill a bucket evenly for the time that passed; returns the whole tokens in it. Its row is locked until commit.

    It holds the rate's own period, at most a minute's worth and at least one token, so that a pass a minute can
    use an hourly rate up. A bucket that another turn holds counts as empty: turns ask several buckets in no common
    order, and waiting could close a ring.
    """
    per_s = rate.count / rate.per_s
    capacity = max(1.0, per_s * min(rate.per_s, 60))
    row = _locked(connection, scope)
    if row is None:
        return 0
    elapsed_s = max(0.0, (now - row.refilled_at).total_seconds())
    tokens = min(capacity, row.tokens + elapsed_s * per_s)
    connection.execute(sa.update(limits).where(limits.c.scope == scope).values(tokens=tokens, refilled_at=now))
    return int(tokens + 1e-9)


def spend(connection: Connection, scope: str, count: int) -> None:
    """Take tokens that `tokens_at_hand` has shown in this transaction."""
    if not count:
        return
    connection.execute(sa.update(limits).where(limits.c.scope == scope).values(tokens=limits.c.tokens - count))


def _locked(connection: Connection, scope: str) -> sa.Row[float, datetime, datetime | None] | None:
    """A scope's row, made when it is first asked for, locked until commit; None when another turn holds it."""
    statement = sa.select(limits.c.tokens, limits.c.refilled_at, limits.c.cooldown_until).where(limits.c.scope == scope)
    locked = connection.execute(skip_locked(connection, statement, limits)).one_or_none()
    if locked is None and connection.execute(statement).one_or_none() is None:
        # Empty since long ago: at the first refill it is full. Whoever makes it at the same moment is waited for.
        row = {"scope": scope, "tokens": 0.0, "refilled_at": datetime(2000, 1, 1, tzinfo=UTC)}
        connection.execute(insert_ignore(connection, limits), [row])
        locked = connection.execute(skip_locked(connection, statement, limits)).one_or_none()
    return locked


def resting_s(connection: Connection, scope: str, now: datetime) -> float:
    """Seconds that a scope still rests, 0.0 when a window may be opened. Its row is locked until commit.

    One that another turn holds is about to rest.
    """
    row = _locked(connection, scope)
    if row is None:
        return 1.0
    return 0.0 if row.cooldown_until is None else max(0.0, (row.cooldown_until - now).total_seconds())


def cool_down(connection: Connection, scope: str, until: datetime) -> None:
    """Let a scope rest until a moment, after `resting_s` has shown in this transaction that it may."""
    connection.execute(sa.update(limits).where(limits.c.scope == scope).values(cooldown_until=until))
