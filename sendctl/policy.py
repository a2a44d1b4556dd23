"""What an outcome means for a message: pure decisions, no store, no clock, no network.

Only definite non-acceptance ever leads back to `queued`. Unknown leads to `in_doubt`, whatever else is true.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sendctl.definition import Controls
from sendctl.providers.base import Outcome, Scope
from sendctl.schedule import retry_delay_s
from sendctl.states import AttemptOutcome


@dataclass(frozen=True, slots=True)
class Decision:
    """How to move a message. `transition` is a key of TRANSITIONS; `delay_s` counts from now."""

    transition: str
    charged: bool = False  # the attempt counts against max_attempts
    delay_s: float = 0.0
    next_provider: str | None = None
    transient: bool = False  # failed, but for a cause that may pass


def decide(
    outcome: Outcome,
    *,
    provider: str,
    charged_attempts: int,
    controls: Controls,
    providers: Sequence[str],
    jitter: random.Random,
) -> Decision:
    """The move for one outcome.

    `charged_attempts` are those before this attempt; `providers` stand in order of preference.
    """
    match outcome.kind:
        case AttemptOutcome.ACCEPTED:
            return Decision("accept", charged=True)
        case AttemptOutcome.REFUSED:
            return Decision("refuse", charged=True)
        case AttemptOutcome.UNTOUCHED | AttemptOutcome.HALTED:
            # Not this recipient's fault: nothing is charged. The breaker or the pause decides when it goes on.
            return Decision("release", delay_s=outcome.retry_after_s or 0.0)
        case AttemptOutcome.DEFERRED:
            return _defer(outcome, provider, charged_attempts + 1, controls, providers, jitter)
        case _:
            return Decision("doubt", charged=True)


def _defer(
    outcome: Outcome,
    provider: str,
    charged_attempts: int,
    controls: Controls,
    providers: Sequence[str],
    jitter: random.Random,
) -> Decision:
    following = _after(provider, providers)
    if outcome.scope is Scope.PROVIDER and following:
        # Definite non-acceptance that is the provider's doing: the next one may try at once.
        return Decision("release", next_provider=following)
    if outcome.scope is Scope.RECIPIENT and charged_attempts >= controls.max_attempts:
        return Decision("refuse", charged=True, transient=True)
    delay_s = retry_delay_s(charged_attempts, controls.retry_base_s, retry_after_s=outcome.retry_after_s, jitter=jitter)
    return Decision("release", charged=outcome.scope is Scope.RECIPIENT, delay_s=delay_s)


def _after(provider: str, providers: Sequence[str]) -> str | None:
    """The provider after this one in order: failover goes forward only, so that it ends."""
    if provider not in providers:
        return None
    place = list(providers).index(provider) + 1
    return providers[place] if place < len(providers) else None


def concerns_everyone(outcomes: Sequence[Outcome], *, at_least: int = 10) -> str:
    """The reason to stop a campaign when a window was refused as one; "" where it was not.

    A 5.7.1 or 5.3.4 can concern one recipient or everyone: only counting across recipients tells.
    """
    reached = [outcome for outcome in outcomes if outcome.kind is not AttemptOutcome.UNTOUCHED]
    refused = [outcome for outcome in reached if outcome.kind is AttemptOutcome.REFUSED]
    if len(refused) < at_least or len(refused) < 0.9 * len(reached):
        return ""
    kinds = {(outcome.code, outcome.enhanced, outcome.error_class) for outcome in refused}
    if len(kinds) != 1 or refused[0].enhanced.startswith("5.1."):
        return ""  # bad mailboxes are each recipient's own
    return f"{len(refused)} of {len(reached)} messages were refused alike: {refused[0].text}"
