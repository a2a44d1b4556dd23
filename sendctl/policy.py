"""What an outcome means for a message: pure decisions, no store, no clock, no network.

Only definite non-acceptance ever leads back to `queued`. Unknown leads to `in_doubt`, whatever else is true.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from sendctl.definition import Controls
from sendctl.providers.base import OPTED_OUT, Outcome, Phase, Scope
from sendctl.schedule import retry_delay_s
from sendctl.states import AttemptOutcome


class Decision(NamedTuple):
    """How to move a message. `transition` is a key of TRANSITIONS; `delay_s` counts from now."""

    transition: str
    charged: bool = False  # the attempt counts against max_attempts
    delay_s: float = 0.0
    next_provider: str | None = None
    transient: bool = False  # failed, but for a cause that may pass


_ACCEPT = Decision("accept", charged=True)

# Refusals that speak of what a provider can carry, and of nothing that is wrong with the message.
UNSUPPORTED = frozenset({"size", "8bitmime-unsupported", "smtputf8-unsupported"})

# Refusals that are the recipient's own, for how the address is written or what they asked for: people like that may
# stand together in a file.
OF_AN_ADDRESS = frozenset({"address", "smtputf8-unsupported", OPTED_OUT})

# A message that never gets through to a verdict leaves the queue in the end, whoever is to blame.
MOST_ATTEMPTS = 50


def decide(
    outcome: Outcome,
    *,
    provider: str,
    attempts: int,
    charged_attempts: int,
    controls: Controls,
    providers: Sequence[str],
    jitter: random.Random,
) -> Decision:
    """The move for one outcome.

    `attempts` counts all so far, this one included; `charged_attempts` those against max_attempts before this one;
    `providers` stand in order of preference.
    """
    match outcome.kind:
        case AttemptOutcome.ACCEPTED:
            return _ACCEPT
        case AttemptOutcome.REFUSED:
            following = _after(provider, providers) if outcome.error_class in UNSUPPORTED else None
            if following:  # nothing has left, and another provider may be able to carry it
                return Decision("release", next_provider=following)
            return Decision("refuse", charged=True)
        case AttemptOutcome.UNTOUCHED:
            return Decision("release", delay_s=outcome.retry_after_s or 0.0)
        case AttemptOutcome.HALTED | AttemptOutcome.DEFERRED:
            return _later(outcome, provider, attempts, charged_attempts, controls, providers, jitter)
        case _:
            return Decision("doubt", charged=True)


def _later(
    outcome: Outcome,
    provider: str,
    attempts: int,
    charged_attempts: int,
    controls: Controls,
    providers: Sequence[str],
    jitter: random.Random,
) -> Decision:
    """Definite non-acceptance: when and where again, or the dead letter when it has had its attempts."""
    charged = _is_charged(outcome)
    worn_out = attempts >= MOST_ATTEMPTS and outcome.phase is not Phase.UNTOUCHED
    if worn_out or (charged and charged_attempts + 1 >= controls.max_attempts):
        return Decision("refuse", charged=charged, transient=True)
    following = _after(provider, providers)
    if outcome.scope is Scope.PROVIDER and following:
        # The provider's doing: the next one may try at once, also where this one has named a time for itself.
        return Decision("release", charged=charged, next_provider=following)
    tries = charged_attempts + 1 if charged else attempts
    if outcome.kind is AttemptOutcome.HALTED and outcome.phase is Phase.UNTOUCHED:
        tries = 0  # nothing of it was tried: the breaker or the pause decides when it goes on
    delay_s = (
        0.0
        if tries == 0
        else retry_delay_s(tries, controls.retry_base_s, retry_after_s=outcome.retry_after_s, jitter=jitter)
    )
    return Decision("release", charged=charged, delay_s=delay_s)


def _is_charged(outcome: Outcome) -> bool:
    """Whether an attempt counts against max_attempts: it concerned this recipient, or broke off without a reply
    while this message was under way. A provider that says "later" to everyone (421, throttling) costs nobody anything.
    """
    if outcome.kind is AttemptOutcome.HALTED:
        return False
    return outcome.scope is Scope.RECIPIENT or (outcome.phase is not Phase.UNTOUCHED and outcome.code is None)


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
    alike = _alike(outcomes, AttemptOutcome.REFUSED, at_least)
    if not alike or alike[0].enhanced.startswith("5.1."):  # bad mailboxes are each recipient's own
        return ""
    if alike[0].error_class in OF_AN_ADDRESS and all(outcome.scope is Scope.RECIPIENT for outcome in alike):
        return ""
    reached = sum(outcome.kind is not AttemptOutcome.UNTOUCHED for outcome in outcomes)
    return f"{len(alike)} of {reached} messages were refused alike: {alike[0].text}"


def concerns_the_provider(outcomes: Sequence[Outcome], *, at_least: int = 10) -> bool:
    """Whether a window of one provider was put off as one: it is the provider then, whatever its replies say.

    Else an hour of "451 try later" to everybody would use up everybody's attempts.
    """
    alike = _alike(outcomes, AttemptOutcome.DEFERRED, at_least)
    return bool(alike) and not alike[0].enhanced.startswith(("4.1.", "4.2."))  # each recipient's own mailbox


def _alike(outcomes: Sequence[Outcome], kind: AttemptOutcome, at_least: int) -> list[Outcome]:
    """The outcomes of one kind when nearly all that were tried are of it, and all for the same reason."""
    reached = [outcome for outcome in outcomes if outcome.kind is not AttemptOutcome.UNTOUCHED]
    found = [outcome for outcome in reached if outcome.kind is kind]
    reasons = {(outcome.code, outcome.enhanced, outcome.error_class) for outcome in found}
    return found if len(found) >= at_least and len(found) >= 0.9 * len(reached) and len(reasons) == 1 else []
