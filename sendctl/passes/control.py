"""`pause`, `resume`, `cancel`, `tune`: change a campaign's life or its controls, and write down who did it and why.

Each is one transaction with the campaign's row locked: windows hold the row shared while they claim, so that nothing
is claimed after it, and the number of messages in flight is true. Doing what is done already is no error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from sendctl import faults
from sendctl.definition import Controls
from sendctl.durations import parse_rate
from sendctl.errors import ExitCode, UsageError
from sendctl.inputs.campaign_checks import duration_from
from sendctl.passes import archiving
from sendctl.passes.context import Context, who
from sendctl.passes.letter_fates import letter_of, refuse_row
from sendctl.states import CampaignStatus
from sendctl.store import audit, campaigns, finishing, limits, notices, reports
from sendctl.store.campaigns import Campaign


@dataclass(frozen=True, slots=True)
class ControlReport:
    """What a control did. `in_flight` messages finish within `deadline_s`; `changed` is False when it was so before."""

    campaign: str
    action: str
    status: CampaignStatus
    changed: bool
    in_flight: int
    deadline_s: float
    controls: Controls
    before: Controls
    cancelled: int = 0

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class Move:
    """A change of a campaign's life that an operator may ask for; `done` says it of the campaign."""

    sources: frozenset[CampaignStatus]
    target: CampaignStatus
    done: str


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """What became of a provider's breaker. `changed` is False when it lets everything through anyway."""

    provider: str
    changed: bool
    open_until: datetime | None  # before
    because: str

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.DONE


_RUNNING, _PAUSED, _COMPLETED = CampaignStatus.RUNNING, CampaignStatus.PAUSED, CampaignStatus.COMPLETED
# A completed campaign may have retries to come, so that it can be stopped too. The chart in docs/STATES.md shows all.
MOVES: dict[str, Move] = {
    "pause": Move(frozenset({_RUNNING, _COMPLETED}), _PAUSED, "paused"),
    "resume": Move(frozenset({_PAUSED}), _RUNNING, "resumed"),
    "cancel": Move(frozenset({_RUNNING, _PAUSED, _COMPLETED}), CampaignStatus.CANCELLED, "cancelled"),
    "archive": Move(frozenset({_COMPLETED, CampaignStatus.CANCELLED}), CampaignStatus.ARCHIVED, "archived"),
}


def pause(context: Context, name: str, reason: str = "") -> ControlReport:
    """Stop claiming before the next window. Raises UsageError for a campaign that is over."""
    return _move(context, name, "pause", reason)


def resume(context: Context, name: str, reason: str = "") -> ControlReport:
    """Let windows claim again. Raises UsageError for a campaign that is over."""
    return _move(context, name, "resume", reason)


def cancel(context: Context, name: str, reason: str = "") -> ControlReport:
    """End a campaign for good: what is queued is cancelled, what is in flight finishes.

    Raises TooLate for a letter that is being sent, was sent, or may have been: there is nothing left of it to cancel.
    """
    return _move(context, name, "cancel", reason)


def archive(context: Context, name: str, reason: str = "") -> ControlReport:
    """Put a campaign that is over away for good: no overview, no retry and no proof looks at it any more.

    What a late proof plans in it is cancelled, as in a campaign that was cancelled. A letter takes along the campaign
    that tells of it.

    Raises UsageError for one that goes on, or of which something is on its way, in doubt, queued, to be tried again or
    to be told.
    """
    return _move(context, name, "archive", reason)


def try_provider(context: Context, name: str, reason: str = "") -> ProviderReport:
    """Try a provider that is left alone with the next message. Raises UsageError for one that nobody knows."""
    with context.store.write() as connection:
        now = context.store.now(connection)
        breaker = limits.breakers(connection, lock=True).get(name)
        if breaker is None and name not in context.settings.providers:
            raise UsageError(f"there is no provider {name}", hint="`sendctl status` names those that are left alone.")
        if breaker is None or breaker.state == "closed":
            return ProviderReport(name, False, None, "")
        limits.try_now(connection, breaker, now)
        audit.write(
            connection, login=who(context.environ), hostname=context.hostname, action="resume", campaign_id=None,
            reason=reason, now=now,
            detail={"provider": name, "state": breaker.state, "retry_at": str(breaker.retry_at),
                    "because": breaker.reason},
        )  # fmt: skip
        return ProviderReport(name, True, breaker.retry_at, breaker.reason or "")


@contextmanager
def locked(context: Context, name: str) -> Iterator[tuple[Connection, Campaign, datetime]]:
    with context.store.write() as connection:
        campaign = campaigns.find(connection, name, lock="update")
        if campaign is None:
            raise UsageError(f"there is no campaign {name}", hint="`sendctl status` lists them.")
        yield connection, campaign, context.store.now(connection)


def _move(context: Context, name: str, action: str, reason: str) -> ControlReport:
    wanted = MOVES[action]
    with locked(context, name) as (connection, campaign, now):
        letter = letter_of(connection, campaign) if action == "cancel" else None
        if letter is not None and campaign.status is not wanted.target:
            refuse_row(letter, campaign.name, "cancelled")
        if action == "archive":
            archiving.refuse_open(context, connection, campaign, now)
        changed = campaigns.set_status(connection, campaign.id, wanted.sources, wanted.target, now)
        if not changed and campaign.status is not wanted.target:
            hint = _archive_hint(campaign) if action == "archive" else ""
            raise UsageError(f"campaign {name} is {campaign.status}: it cannot be {wanted.done}", hint=hint)
        cancelled = finishing.cancel_queued(connection, campaign.id, now) if action == "cancel" and changed else 0
        flying = reports.in_flight(connection, campaign.id)
        if changed:
            detail = {"before": campaign.status, "in_flight": flying, "cancelled": cancelled}
            write_audit(context, connection, campaign, action, reason, detail, now)
        if letter is not None and changed:
            _end_teller(connection, letter.id, now)
        if action == "archive" and changed:
            archiving.take_teller_along(connection, campaign, now)
        if action == "cancel":
            faults.passing("cancel.before_commit")
        report = ControlReport(
            name, action, wanted.target, changed, flying, context.settings.send.deadline_s, campaign.controls,
            campaign.controls, cancelled,
        )  # fmt: skip
    if action == "cancel":
        faults.passing("cancel.committed")
    return report


def _archive_hint(campaign: Campaign) -> str:
    """How a campaign that goes on comes to its end; one that is paused is never completed."""
    name = campaign.name
    first = f"`sendctl resume {name}` first, then " if campaign.status is _PAUSED else ""
    return f"{first}`sendctl reconcile` completes it once nothing is left of it; `sendctl cancel {name}` ends it."


def _end_teller(connection: Connection, message_id: int, now: datetime) -> None:
    """The campaign that would have told of a letter has nothing to tell: whoever cancels knows it."""
    teller = notices.silent_teller(connection, message_id)
    if teller is not None:
        sources = {CampaignStatus.RUNNING, CampaignStatus.PAUSED}
        campaigns.set_status(connection, teller, sources, CampaignStatus.COMPLETED, now)


def tune(context: Context, name: str, changes: Mapping[str, str | int], reason: str = "") -> ControlReport:
    """Change live controls; `changes` has the keys and forms of [controls] in a campaign file, and rate "none".

    The next window reads them. Raises UsageError for a value that a campaign file could not have either.
    """
    with locked(context, name) as (connection, campaign, now):
        if campaign.status in (CampaignStatus.CANCELLED, CampaignStatus.ARCHIVED):
            raise UsageError(f"campaign {name} is {campaign.status}: there is nothing to tune")
        controls = changed_controls(campaign.controls, changes)
        changed = controls != campaign.controls
        if changed:
            campaigns.set_controls(connection, campaign.id, controls, now)
            detail = {"before": asdict(campaign.controls), "after": asdict(controls)}
            write_audit(context, connection, campaign, "tune", reason, detail, now)
        flying = reports.in_flight(connection, campaign.id)
        return ControlReport(
            name, "tune", campaign.status, changed, flying, context.settings.send.deadline_s, controls,
            campaign.controls,
        )  # fmt: skip


def write_audit(
    context: Context, connection: Connection, campaign: Campaign, action: str, reason: str, detail: dict[str, Any],
    now: datetime,
) -> None:  # fmt: skip
    audit.write(connection, login=who(context.environ), hostname=context.hostname, action=action,
                campaign_id=campaign.id, reason=reason, detail=detail, now=now)  # fmt: skip


# The bounds of [controls] in inputs/campaign_file.py; a test holds both equal.
BATCH_SIZES = (1, 10_000)
ATTEMPTS = (1, 20)
COOLDOWNS = duration_from(0, 7 * 86400)
RETRY_BASES = duration_from(1, 6 * 3600)


def changed_controls(controls: Controls, changes: Mapping[str, str | int]) -> Controls:
    """`controls` with some values replaced. Raises UsageError naming the option."""
    values: dict[str, Any] = {}
    for key, given in changes.items():
        try:
            values |= _control(key, given)
        except ValueError as error:
            raise UsageError(f"--{key.replace('_', '-')}: {error}") from None
    return replace(controls, **values)


def _control(key: str, given: str | int) -> dict[str, Any]:
    match key:
        case "batch_size":
            return {key: _within(int(given), BATCH_SIZES)}
        case "max_attempts":
            return {key: _within(int(given), ATTEMPTS)}
        case "rate":
            return {key: None if given == "none" else parse_rate(str(given))}
        case "cooldown":
            return {"cooldown_s": float(COOLDOWNS(str(given)))}
        case "retry_base":
            return {"retry_base_s": float(RETRY_BASES(str(given)))}
    raise ValueError("no such control")


def _within(number: int, bounds: tuple[int, int]) -> int:
    if not bounds[0] <= number <= bounds[1]:
        raise ValueError(f"{number} is outside {bounds[0]} to {bounds[1]}")
    return number
