"""What a window's outcomes mean beyond their messages: for the provider's breaker, and for the whole campaign."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.engine import Connection

from sendctl.policy import concerns_everyone
from sendctl.providers.base import Outcome, Scope
from sendctl.states import AttemptOutcome, CampaignStatus
from sendctl.store import audit, campaigns, limits
from sendctl.store.limits import Breaker

# A window that ends in doubt like this and has nothing accepted is not tried a second time: each try costs people.
MOST_DOUBTFUL = 3
LONGEST_QUIET_S = 60.0  # a pause that a provider asks for; the next pass of a minutely crontab comes after it


def stop_reasons(outcomes: Sequence[tuple[int, Outcome]]) -> dict[int, str]:
    """Why campaigns must stop, by id: a Halt of campaign scope, or a window that was refused as one."""
    grouped: dict[int, list[Outcome]] = defaultdict(list)
    for campaign_id, outcome in outcomes:
        grouped[campaign_id].append(outcome)
    reasons = {campaign_id: _stop_reason(some) for campaign_id, some in grouped.items()}
    return {campaign_id: reason for campaign_id, reason in reasons.items() if reason}


def _stop_reason(outcomes: Sequence[Outcome]) -> str:
    halts = [
        outcome.text for outcome in outcomes
        if outcome.kind is AttemptOutcome.HALTED and outcome.scope is Scope.CAMPAIGN and outcome.text
    ]  # fmt: skip
    return halts[0] if halts else concerns_everyone(outcomes)


def pause(
    connection: Connection, campaign_id: int, reason: str, *, hostname: str, run_id: str, now: datetime
) -> str | None:
    """Pause a running campaign, keeping its queue; returns what to tell the operator."""
    if not campaigns.set_status(connection, campaign_id, {CampaignStatus.RUNNING}, CampaignStatus.PAUSED, now):
        return None
    audit.write(
        connection, login="sendctl", hostname=hostname, action="halt", campaign_id=campaign_id, reason=reason,
        detail={"run": run_id}, now=now,
    )  # fmt: skip
    return f"campaign {campaigns.by_id(connection, campaign_id).name} was paused: {reason}"


@dataclass
class Breakers:
    """The breakers as one turn sees them. Read before anything is locked: one order of locks, so no rings."""

    states: dict[str, Breaker] = field(default_factory=dict)

    def read(self, connection: Connection, outcomes: Iterable[tuple[str, Outcome]], now: datetime) -> None:
        """Read afresh; hold them until commit when this turn may move one, by what came of (provider, outcome)."""
        failed = {provider for provider, outcome in outcomes if outcome.scope is Scope.PROVIDER}
        self.states = limits.breakers(connection)
        limits.make_sure(connection, failed - self.states.keys(), now)
        moving = any(one.state != "closed" or one.consecutive_failures for one in self.states.values())
        if failed or moving:
            self.states = limits.breakers(connection, lock=True)

    def of(self, provider: str) -> Breaker:
        """The breaker of a provider; closed when nothing ever went wrong."""
        return self.states.get(provider, Breaker(provider))

    def note(self, connection: Connection, provider: str, outcomes: Sequence[Outcome], now: datetime) -> str | None:
        """Move a breaker by a window's outcomes; returns what to tell the operator when it opened.

        Any answer about a recipient closes it; the worst failure of the provider itself counts once a window, and the
        longest pause that it asked for is kept, whatever else came of the window.
        """
        failed = [item for item in outcomes if item.scope is Scope.PROVIDER and item.error_class]
        asked = max((item for item in failed if item.retry_after_s), key=_retry_after_s, default=None)
        # That it puts off for so long what is too much for it is no failure.
        counting = [item for item in failed if asked is None or item.error_class != "throttled"]
        halted = any(item.kind is AttemptOutcome.HALTED for item in counting)
        accepted = any(item.kind is AttemptOutcome.ACCEPTED for item in outcomes)
        if halted or (counting and not accepted):
            said = self._fail(connection, provider, counting, asked, now)
            if said is not None:
                return said
        if asked is not None:
            return self._rest(connection, provider, asked, now)
        answered = accepted or any(item.code is not None and item.scope is not Scope.PROVIDER for item in outcomes)
        if accepted or (answered and not failed):
            self.states[provider] = limits.note_success(connection, self.of(provider), now)
        return None

    def _fail(
        self, connection: Connection, provider: str, failed: Sequence[Outcome], asked: Outcome | None, now: datetime
    ) -> str | None:
        """Count a failure; returns what to tell the operator when the provider is left alone."""
        halted = [item for item in failed if item.kind is AttemptOutcome.HALTED]
        worst = (halted or failed)[0]
        doubtful = sum(item.kind is AttemptOutcome.UNKNOWN for item in failed)
        changed = limits.note_failure(
            connection, self.of(provider), reason=worst.text, halt=bool(halted), at_once=doubtful >= MOST_DOUBTFUL,
            retry_after_s=None if asked is None else asked.retry_after_s, now=now,
        )  # fmt: skip
        self.states[provider] = changed
        return f"provider {provider} is left alone for a while: {worst.text}" if changed.state == "open" else None

    def _rest(self, connection: Connection, provider: str, asked: Outcome, now: datetime) -> str | None:
        """It said for how long: said to the operator only when that is longer than a pass would wait."""
        said, for_s = asked.text, _retry_after_s(asked)
        self.states[provider] = limits.rest(connection, self.of(provider), reason=said, for_s=for_s, now=now)
        return f"provider {provider} asks for a pause of {for_s:.0f} s: {said}" if for_s > LONGEST_QUIET_S else None


def _retry_after_s(outcome: Outcome) -> float:
    return outcome.retry_after_s or 0.0
