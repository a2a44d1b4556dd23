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

# Refusals that are the recipient's own, for how the address is written, what a service knows of it, or what they asked
# for: people like that may stand together in a file. Not "rcpt" of SMTP, which says where it was refused and not why.
OF_AN_ADDRESS = frozenset({"address", "smtputf8-unsupported", OPTED_OUT})

# A message that is tried and put off for ever leaves the queue in the end, whoever is to blame.
MOST_TRIES = 50


def decide(
    outcome: Outcome,
    *,
    provider: str,
    tries: int,
    charged_attempts: int,
    controls: Controls,
    providers: Sequence[str],
    jitter: random.Random,
) -> Decision:
    """The move for one outcome.

    `tries` counts the attempts before this one of which something left, without those that were halted or given back;
    `charged_attempts` those of them against max_attempts; `providers` stand in order of preference.
    """
    match outcome.kind:
        case AttemptOutcome.ACCEPTED:
            return _ACCEPT
        case AttemptOutcome.REFUSED:
            following = _after(provider, providers) if outcome.error_class in UNSUPPORTED else None
            if following:  # nothing has left, and another provider may be able to carry it
                return Decision("release", next_provider=following)
            return Decision("refuse", charged=True)
        case AttemptOutcome.UNTOUCHED | AttemptOutcome.HALTED:
            return _untried(outcome, provider, providers)
        case AttemptOutcome.DEFERRED:
            return _later(outcome, provider, tries, charged_attempts, controls, providers, jitter)
        case _:
            return Decision("doubt", charged=True)


def _untried(outcome: Outcome, provider: str, providers: Sequence[str]) -> Decision:
    """Halted or given back: when it goes on the breaker or the pause decides, whatever was tried before."""
    halt_of_provider = outcome.kind is AttemptOutcome.HALTED and outcome.scope is Scope.PROVIDER
    following = _after(provider, providers) if halt_of_provider else None
    return Decision("release", delay_s=0.0 if following else outcome.retry_after_s or 0.0, next_provider=following)


def _later(
    outcome: Outcome,
    provider: str,
    tries: int,
    charged_attempts: int,
    controls: Controls,
    providers: Sequence[str],
    jitter: random.Random,
) -> Decision:
    """Put off: when and where again, or the dead letter when it has had its tries."""
    charged = _is_charged(outcome)
    worn_out = tries + 1 >= MOST_TRIES and outcome.phase is not Phase.UNTOUCHED
    if worn_out or (charged and charged_attempts + 1 >= controls.max_attempts):
        return Decision("refuse", charged=charged, transient=True)
    following = _after(provider, providers)
    if outcome.scope is Scope.PROVIDER and following:
        # The provider's doing: the next one may try at once, also where this one has named a time for itself.
        return Decision("release", charged=charged, next_provider=following)
    number = (charged_attempts if charged else tries) + 1
    delay_s = retry_delay_s(number, controls.retry_base_s, retry_after_s=outcome.retry_after_s, jitter=jitter)
    return Decision("release", charged=charged, delay_s=delay_s)


def _is_charged(outcome: Outcome) -> bool:
    """Whether a deferral counts against max_attempts: it concerned this recipient, or broke off without a reply
    while this message was under way. A provider that says "later" to everyone (421, throttling) costs nobody anything.
    """
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
