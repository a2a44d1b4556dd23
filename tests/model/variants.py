"""The protocol broken on purpose, one promise at a time; a model that catches none of them would prove nothing.

Nothing in sendctl is changed: the breaks hold while a variant is explored, and in that process only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.evidence.model import Absent, CannotTell
from sendctl.passes import evidence, importing
from sendctl.passes.claiming import Clerk, Done, Window
from sendctl.passes.deciding import Desk
from sendctl.providers.base import Outcome, Phase, Scope
from sendctl.states import AttemptOutcome
from sendctl.store import loading, outcomes
from tests.model.explorer import Break, Found, explore
from tests.model.scenario import ENQUEUED_AGAIN, KILLED, LOOKED_UP, REFUSED, STOPPED, Scenario


@dataclass(frozen=True, slots=True)
class Variant:
    """One break, the smallest scenario that shows it, and how the model must put it."""

    broken: Break
    scenario: Scenario
    seen_as: str  # a part of the violation


def expired_claims_are_queued_again(patch: pytest.MonkeyPatch) -> None:
    """What a claim's expiry means where nobody can prove its run dead: send it again."""

    def untouched(kind: AttemptOutcome, phase: Phase, **rest: Any) -> Outcome:
        if rest.get("error_class") == "claim_expired":
            return Outcome(AttemptOutcome.UNTOUCHED, Phase.UNTOUCHED, **rest)
        return Outcome(kind, phase, **rest)

    patch.setattr(importing, "Outcome", untouched)


def outcomes_are_not_fenced(patch: pytest.MonkeyPatch) -> None:
    """Whoever writes an outcome writes it: neither the claim nor the state is asked."""
    real = outcomes.settle

    def settle(connection: Connection, settled: Sequence[Any], *rest: Any) -> set[int]:
        for item in settled:
            statement = (
                "UPDATE messages SET status = 'sending', claim_id = :claim, run_id = 'anyone',"
                " claim_expires_at = due_at WHERE id = :id"
            )
            connection.execute(sa.text(statement), {"claim": item.claim_id, "id": item.due.id})
        return real(connection, settled, *rest)

    patch.setattr(outcomes, "settle", settle)


def claims_are_not_durable(patch: pytest.MonkeyPatch) -> None:
    """A window is sent whose claim is not in the store yet: its transaction is thrown away."""
    real = Clerk.turn

    class Lost(Exception):
        pass

    def turn(clerk: Clerk, done: Sequence[Done], limit: int) -> Window:
        write = clerk.desk.context.store.write
        if done or not limit:
            return real(clerk, done, limit)
        claimed: list[Window] = []
        with suppress(Lost), patch.context() as now, write() as connection:
            now.setattr(clerk.desk.context.store, "write", lambda: _again(connection))
            claimed.append(real(clerk, done, limit))
            raise Lost
        return claimed[0]

    patch.setattr(Clerk, "turn", turn)


class _again:  # noqa: N801  a context manager, read as a phrase
    """The transaction that is open already."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __enter__(self) -> Connection:
        return self.connection

    def __exit__(self, *_: object) -> None:
        """Whoever opened it ends it."""


def a_lagging_log_is_trusted(patch: pytest.MonkeyPatch) -> None:
    """What the MTA's log does not have was not accepted, however far the log reaches."""
    real = evidence.search

    def search(*given: Any, **options: Any) -> dict[str, Any]:
        found = real(*given, **options)
        return {key: Absent("not there") if isinstance(one, CannotTell) else one for key, one in found.items()}

    patch.setattr(evidence, "search", search)


def silence_fails_over(patch: pytest.MonkeyPatch) -> None:
    """A lost reply is taken for a refusal by the provider: the next one is asked."""
    real = Desk.decided

    def decided(desk: Desk, due: Any, attempt: Any, outcome: Outcome, **rest: Any) -> Any:
        if outcome.kind is AttemptOutcome.UNKNOWN:
            outcome = outcome._replace(kind=AttemptOutcome.DEFERRED, scope=Scope.PROVIDER)
        return real(desk, due, attempt, outcome, **rest)

    patch.setattr(Desk, "decided", decided)


def identities_come_from_a_counter(patch: pytest.MonkeyPatch) -> None:
    """A message is known by its number in the store, which a store that was put back gives to somebody else."""
    real = loading.insert_columns

    def insert(connection: Any, table: Any, each: dict[str, Any], same: Any) -> None:
        if "provider_key" in each:
            each = each | {"provider_key": [f"{message_id:032x}" for message_id in each["id"]]}
        real(connection, table, each, same)

    patch.setattr(loading, "insert_columns", insert)


ONCE_EACH = tuple((command, host, 1) for command, host, _ in ENQUEUED_AGAIN.commands)
VARIANTS = {
    "an expired claim goes back to the queue": Variant(
        expired_claims_are_queued_again, STOPPED, "p1@x.example was sent to 2 times"
    ),
    "outcomes are written without a fence": Variant(
        outcomes_are_not_fenced, STOPPED, "UNIQUE constraint failed: attempts.message_id"
    ),
    "a claim is not durable": Variant(claims_are_not_durable, KILLED, "under a claim that the store does not have"),
    "a lagging log is trusted": Variant(
        a_lagging_log_is_trusted, replace(LOOKED_UP, kills=0, jumps=0), "p1@x.example was sent to 2 times"
    ),
    "silence fails over to the next provider": Variant(silence_fails_over, REFUSED, "p1@x.example was sent to 2 times"),
    "identities come from a counter": Variant(
        identities_come_from_a_counter,
        replace(ENQUEUED_AGAIN, commands=ONCE_EACH),
        "counts as sent, and nobody accepted anything",
    ),
}


def explored(name: str) -> Found:
    """What the model finds of a variant; a violation other than the expected one does not count.

    Here and not beside the command line: a process that is started anew cannot import from `__main__`.
    """
    found = explore(VARIANTS[name].scenario, VARIANTS[name].broken)
    if VARIANTS[name].seen_as not in found.violation:
        found.violation = ""
    return found
