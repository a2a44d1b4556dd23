"""What is wrong and what to do next, in plain words: the judgement of `status`, `status --check` and the on-call.

Reads a Situation, nothing else: the same situation always gives the same advice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from sendctl.passes.status import CampaignState, Situation
from sendctl.states import CampaignStatus, State

# Cron starts a pass every minute: ten missed ones are no accident.
SILENT_S = 600.0


class Level(IntEnum):
    """How urgent, and the exit status of `status --check`.

    Source: Monitoring Plugins Development Guidelines, "Plugin Return Codes".
    """

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to know: what is the matter, and the command to run, if there is one."""

    level: Level
    campaign: str  # empty: concerns all
    matter: str
    command: str = ""


def advise(situation: Situation) -> list[Advice]:
    """All there is to say, the most urgent first."""
    found = [*_of_store(situation)]
    for state in situation.campaigns:
        found += _of_campaign(state)
    found += _silence(situation)
    return sorted(found, key=lambda advice: -advice.level)


def worst(advice: list[Advice]) -> Level:
    """The level of the whole."""
    return max((one.level for one in advice), default=Level.OK)


def _of_store(situation: Situation) -> Iterator[Advice]:
    store = situation.store
    first = situation.campaigns[0].campaign.name if len(situation.campaigns) == 1 else "NAME"
    if store.rewound:
        hosts = ", ".join(store.hosts_behind)
        yield Advice(
            Level.CRITICAL, "", f"nothing is sent: the store was rewound ({store.rewound}). On each of these hosts the"
            f" journals must be replayed: {hosts}", f"sendctl recover --campaign {first}",
        )  # fmt: skip
    if store.foreign:
        yield Advice(Level.WARNING, "", f"nothing is sent from here: {store.foreign}", "sendctl migrate --adopt")
    for breaker in store.breakers:
        yield Advice(
            Level.CRITICAL, "", f"provider {breaker.provider} is left alone for a while: {breaker.reason}. Mend the"
            " cause; it is tried again by itself",
        )  # fmt: skip
    for run in store.runs:
        if run.life == "dead":
            yield Advice(
                Level.WARNING, "", f"run {run.row.id} on {run.row.hostname} died; the next pass there takes up what it"
                " left, or at once", "sendctl reconcile",
            )  # fmt: skip


def _of_campaign(state: CampaignState) -> Iterator[Advice]:
    name, counts = state.campaign.name, state.counts
    if counts[State.IN_DOUBT]:
        yield Advice(
            Level.CRITICAL, name, f"{_messages(counts[State.IN_DOUBT])} in doubt: the provider may or may not have"
            " accepted. Look for proof first (`sendctl reconcile`), then decide", f"sendctl recover --campaign {name}",
        )  # fmt: skip
    if state.claims_expired:
        yield Advice(
            Level.WARNING, name, f"{_messages(state.claims_expired)} in flight with an expired claim: the run died"
            " or stands still", "sendctl reconcile",
        )  # fmt: skip
    yield from _pauses(state)
    yield from _failures(state)
    if state.overdue:
        yield Advice(
            Level.WARNING, name, f"{_messages(state.overdue)} overdue: passes do not keep up, or do not run",
            f"sendctl send-due --campaign {name}",
        )  # fmt: skip


def _pauses(state: CampaignState) -> Iterator[Advice]:
    name = state.campaign.name
    if state.campaign.status is not CampaignStatus.PAUSED:
        return
    if state.halted:
        yield Advice(
            Level.WARNING, name, f"sendctl paused it: {state.halted}. Mend the cause, then go on",
            f"sendctl resume {name}",
        )  # fmt: skip
    else:
        yield Advice(Level.OK, name, "paused by a person", f"sendctl resume {name}")


def _failures(state: CampaignState) -> Iterator[Advice]:
    name = state.campaign.name
    passing = sum(failure.count for failure in state.failures if failure.transient)
    lasting = sum(failure.count for failure in state.failures if not failure.transient)
    level = Level.WARNING if state.failed_recently else Level.OK
    if lasting:
        yield Advice(
            level, name, f"{_failed(lasting)} for good. Read why; to try again after mending the cause:"
            f" `sendctl recover --campaign {name} --failed`", f"sendctl messages --campaign {name} --status failed",
        )  # fmt: skip
    if passing:
        yield Advice(
            level, name, f"{_failed(passing)} for a passing cause; reconcile tries again after a day, or now",
            f"sendctl recover --campaign {name} --failed",
        )  # fmt: skip


def _silence(situation: Situation) -> Iterator[Advice]:
    """Something is due: does anything run?"""
    due = [one for one in situation.campaigns if one.due and one.campaign.status is CampaignStatus.RUNNING]
    if not due:
        return
    total = sum(one.due for one in due)
    name = due[0].campaign.name if len(situation.campaigns) == 1 else ""
    if not situation.store.sending_enabled:
        yield Advice(
            Level.WARNING, name, f"{_messages(total)} due, but sending is not enabled on this host: set enabled = true"
            " in [send] of sendctl.toml",
        )  # fmt: skip
    if (situation.now - _last_sign(situation, due)).total_seconds() > SILENT_S:
        yield Advice(
            Level.CRITICAL, name, f"{_messages(total)} due and no pass has started for more than ten minutes: is cron"
            " running?", "sendctl send-due",
        )  # fmt: skip
    elif situation.store.sending_enabled:
        yield Advice(Level.OK, name, f"{_messages(total)} due; the next pass sends", "sendctl send-due")


def _last_sign(situation: Situation, due: list[CampaignState]) -> datetime:
    """When a pass last started or beat, or the first message became due: what came last."""
    signs = [run.row.heartbeat_at for run in situation.store.runs if run.row.command == "send-due"]
    signs += [one.next_due_at for one in due if one.next_due_at is not None]
    signs += [situation.store.last_pass_at] if situation.store.last_pass_at is not None else []
    return max(signs)


def _messages(number: int) -> str:
    return "1 message is" if number == 1 else f"{number:,} messages are"


def _failed(number: int) -> str:
    return "1 message failed" if number == 1 else f"{number:,} messages failed"
