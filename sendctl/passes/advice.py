"""What is wrong and what to do next, in plain words: the judgement of `status`, `status --check` and the on-call.

Reads a Situation, nothing else: the same situation always gives the same advice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from sendctl.durations import format_duration, format_rate
from sendctl.passes.status import CampaignState, Situation
from sendctl.states import CampaignStatus, State
from sendctl.store.holds import Why
from sendctl.store.limits import Breaker

# Cron starts a pass every minute: ten missed ones are no accident.
SILENT_S = 600.0
# A run says every few seconds that it goes on.
QUIET_S = 60.0


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
    """All there is to say, the most urgent first; of what is equally urgent, causes before what comes of them."""
    found = [*_of_store(situation), *_of_sending(situation)]
    for state in situation.campaigns:
        found += _of_campaign(situation, state)
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
    if store.homeless:
        yield Advice(
            Level.WARNING, "", f"{_messages(store.homeless)} known from journals only: of campaigns or people that the"
            " store has forgotten since it was put back. Enqueue their files again, and resend again what was resent",

        )  # fmt: skip
    if store.uncounted:
        yield Advice(
            Level.WARNING, "", f"the frequency cap and the distance do not count {_number(store.uncounted)} that only"
            " journals know: who got them may get more than [limits] says, until their files are enqueued again",
        )  # fmt: skip
    if store.sending_enabled and store.journal_trouble:
        yield Advice(Level.CRITICAL, "", f"nothing is sent from here: {store.journal_trouble}")
    if store.foreign:
        yield Advice(Level.WARNING, "", f"nothing is sent from here: {store.foreign}", "sendctl migrate --adopt")
    if store.sending_enabled and not store.providers:
        yield Advice(
            Level.CRITICAL, "", "nothing can be sent from here: sending is enabled, and no provider is configured."
            " Write a section [providers.NAME] in sendctl.toml",
        )  # fmt: skip
    if store.sending_enabled and not store.witnessed:
        yield Advice(
            Level.WARNING, "", "no witness folder can be written: if the store is put back together with its journals,"
            " nobody will notice. Name a folder of its own with [journal] witness",
        )  # fmt: skip
    for breaker in store.breakers:
        yield _left_alone(situation, breaker)
    for run in store.runs:
        if run.life == "dead":
            yield Advice(
                Level.WARNING, "", f"run {run.row.id} on {run.row.hostname} died; the next pass there takes up what it"
                " left, or at once", "sendctl reconcile",
            )  # fmt: skip


def _left_alone(situation: Situation, breaker: Breaker) -> Advice:
    """A provider that failed. When its time is over and nothing is due for it, only the next message finds out more."""
    carries = any(breaker.provider in _here(situation, state) for state in _due(situation))
    if breaker.lets_through(situation.now) and not carries:
        return Advice(
            Level.OK, "", f"provider {breaker.provider} failed last ({breaker.reason}) and is tried with the next"
            " message; nothing is due for it now",
        )  # fmt: skip
    return Advice(
        Level.CRITICAL, "", f"provider {breaker.provider} is left alone for a while: {breaker.reason}. Mend the"
        f" cause; it is tried again by itself, or at once after `sendctl resume --provider {breaker.provider}`",
    )  # fmt: skip


def _of_campaign(situation: Situation, state: CampaignState) -> Iterator[Advice]:
    name, counts = state.campaign.name, state.counts
    if counts[State.IN_DOUBT]:
        yield Advice(
            Level.CRITICAL, name, f"{_messages(counts[State.IN_DOUBT])} in doubt: the provider may or may not have"
            " accepted. Look for proof first (`sendctl reconcile`), then decide", f"sendctl recover --campaign {name}",
        )  # fmt: skip
    if state.claims_expired:
        yield _expired(situation, state)
    if state.unreadable:
        yield Advice(
            Level.CRITICAL if state.due else Level.WARNING, name, "this letter cannot be sent from here:"
            f" {state.unreadable}. It waits, and no other waits for it (docs/runbooks/unreadable-letter.md)",
        )  # fmt: skip
    yield from _pauses(state)
    yield from _held(situation, state)
    yield from _failures(situation, state)
    if counts[State.EXPIRED]:
        yield Advice(
            Level.OK, name, f"{_did(counts[State.EXPIRED], 'expired')} and will never be sent: it was later than"
            " the campaign's expires_after", f"sendctl messages --campaign {name} --status expired",
        )  # fmt: skip
    if state.overdue and _flows(situation, state) and not _silent(situation):  # else the cause is said already
        rate = state.campaign.controls.rate
        bound = f" with its rate of {format_rate(rate)}" if rate is not None else ""
        yield Advice(
            Level.WARNING, name, f"{_messages(state.overdue)} overdue: passes do not keep up{bound}",
            f"sendctl send-due --campaign {name}",
        )  # fmt: skip


def _expired(situation: Situation, state: CampaignState) -> Advice:
    matter = f"{_messages(state.claims_expired)} in flight with an expired claim"
    quiet = [
        run.row for run in situation.store.runs
        if run.life == "alive" and (situation.now - run.row.heartbeat_at).total_seconds() > QUIET_S
    ]  # fmt: skip
    if not quiet:
        return Advice(
            Level.WARNING, state.campaign.name, f"{matter}: the run died or stands still", "sendctl reconcile"
        )
    held = ", ".join(f"run {run.id} (pid {run.pid})" for run in quiet)
    return Advice(
        Level.WARNING, state.campaign.name, f"{matter}, held by a process of this host that is stopped or hung: {held}."
        f" Look at it (`ps -fp {quiet[0].pid}`); let it go on (`kill -CONT`) or end it (`kill -9`), then",
        "sendctl reconcile",
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


_HELD = {
    Why.FREQUENCY_CAP: "by the frequency cap over all campaigns",
    Why.DISTANCE: "by the least distance between two messages to one person",
    Why.QUIET_HOURS: "by quiet hours",
}


def _held(situation: Situation, state: CampaignState) -> Iterator[Advice]:
    """What waits though its time has come, or has no share of its account yet."""
    name = state.campaign.name
    for one in state.held:
        first = f"{one.first_at:%Y-%m-%d %H:%M}Z"
        if one.why is not Why.ALLOWANCE:
            yield Advice(
                Level.OK, name, f"{_messages(one.number)} held {_HELD[one.why]}, the first until {first}",
                f"sendctl messages --campaign {name} --status queued",
            )  # fmt: skip
        elif not one.example:
            yield Advice(
                Level.OK, name, f"{_messages(one.number)} without a share of account {state.definition.account} yet:"
                " the next pass shares out what is left of it", "sendctl account",
            )  # fmt: skip
        else:
            yield Advice(
                Level.WARNING, name, f"{_messages(one.number)} waiting for a share of account"
                f" {state.definition.account} ({one.example}), asked for again at {first} or before", "sendctl account",
            )  # fmt: skip


def _failures(situation: Situation, state: CampaignState) -> Iterator[Advice]:
    name = state.campaign.name
    passing = sum(failure.count for failure in state.failures if failure.transient)
    lasting = sum(failure.count for failure in state.failures if not failure.transient)
    level = Level.WARNING if state.failed_recently else Level.OK
    if state.campaign.status in (CampaignStatus.CANCELLED, CampaignStatus.ARCHIVED):
        return  # nothing of it is sent again
    if lasting:
        yield Advice(
            level, name, f"{_did(lasting, 'failed')} for good. Read why; to try again after mending the cause:"
            f" `sendctl recover --campaign {name} --failed`", f"sendctl messages --campaign {name} --status failed",
        )  # fmt: skip
    if passing:
        yield Advice(
            level, name, f"{_did(passing, 'failed')} for a passing cause; reconcile tries again after"
            f" {format_duration(situation.store.retry_failed_after_s)}, as long as there are attempts left, or now",
            f"sendctl recover --campaign {name} --failed",
        )  # fmt: skip
    if state.given_up:
        yield Advice(
            Level.OK, name, f"{_messages(state.given_up)} given up in doubt and may have been accepted; only with"
            " --failed --in-doubt resend does recover send them again, at the risk of a second copy",
            f"sendctl messages --campaign {name} --status failed",
        )  # fmt: skip


# -- what is due, and what keeps it ---------------------------------------------------------------------------------


def _of_sending(situation: Situation) -> Iterator[Advice]:
    """Something is due: what keeps it from being sent? The cause before the silence that comes of it."""
    due = _due(situation)
    total, name = sum(one.due for one in due), due[0].campaign.name if len(situation.campaigns) == len(due) == 1 else ""
    if due and not (situation.store.sending_enabled or _refused(situation)):
        yield _disabled(situation, name, total)
    if not _may_send(situation):
        return
    for state in situation.campaigns:
        if state.campaign.status is CampaignStatus.RUNNING and state.next_due_at is not None:
            yield from _of_providers(situation, state)
    flowing = sum(one.due for one in due if _flows(situation, one))
    if _silent(situation):
        yield Advice(
            Level.CRITICAL, name, f"{_messages(total)} due and no send-due has started for more than ten minutes: is"
            " cron running, and what does it mail?", "sendctl send-due",
        )  # fmt: skip
    elif flowing and situation.store.awaited:
        yield Advice(Level.OK, name, f"{_messages(flowing)} due. {situation.store.awaited}")
    elif flowing:
        yield Advice(Level.OK, name, f"{_messages(flowing)} due; the next pass sends", "sendctl send-due")


def _disabled(situation: Situation, name: str, total: int) -> Advice:
    """This host may not send; that is worse where no other host does either."""
    matter = f"{_messages(total)} due, but sending is not enabled on this host"
    act = "set enabled = true in [send] of sendctl.toml where it may send"
    if _silent(situation):
        return Advice(Level.CRITICAL, name, f"{matter}, and no send-due has started for more than ten minutes: {act}")
    return Advice(Level.WARNING, name, f"{matter}: {act}")


def _of_providers(situation: Situation, state: CampaignState) -> Iterator[Advice]:
    """A campaign whose providers are not here, or are all left alone."""
    name, here = state.campaign.name, _here(situation, state)
    missing = [provider for provider in state.providers if provider not in here]
    if missing:
        what = "no fail-over to it" if here else "nothing of this campaign can be sent from here"
        yield Advice(
            Level.WARNING if here else Level.CRITICAL, name, f"provider {', '.join(missing)} is not configured on this"
            f" host: {what}. Write [providers.{missing[0]}] in sendctl.toml, or mend the campaign file and enqueue it",
        )  # fmt: skip
    if state.due and here and not state.unreadable and not _flows(situation, state):
        yield Advice(
            Level.WARNING if state.overdue else Level.OK, name, f"{_messages(state.due)} due and must wait for provider"
            f" {', '.join(here)}",
        )  # fmt: skip


def _due(situation: Situation) -> list[CampaignState]:
    return [one for one in situation.campaigns if one.due and one.campaign.status is CampaignStatus.RUNNING]


def _refused(situation: Situation) -> bool:
    return bool(situation.store.rewound or situation.store.foreign)


def _may_send(situation: Situation) -> bool:
    """Whether passes of this host get as far as claiming; why not, is said before."""
    store = situation.store
    able = store.sending_enabled and bool(store.providers) and not store.journal_trouble
    return able and not _refused(situation)


def _here(situation: Situation, state: CampaignState) -> list[str]:
    """The campaign's providers that are configured on this host, in order."""
    return [provider for provider in state.providers if provider in situation.store.providers]


def _flows(situation: Situation, state: CampaignState) -> bool:
    """Whether the next pass can claim something of this campaign."""
    shut = {one.provider for one in situation.store.breakers if not one.lets_through(situation.now)}
    return (
        _may_send(situation)
        and not state.unreadable
        and any(provider not in shut for provider in _here(situation, state))
    )


def _silent(situation: Situation) -> bool:
    """Whether the last sign is old: a send-due that started or beat, or the first message that became due."""
    due = _due(situation)
    signs = [run.row.heartbeat_at for run in situation.store.runs if run.row.command == "send-due"]
    signs += [one.next_due_at for one in due if one.next_due_at is not None]
    signs += [situation.store.last_pass_at] if situation.store.last_pass_at is not None else []
    return bool(due) and (situation.now - max(signs)).total_seconds() > SILENT_S


def _messages(number: int) -> str:
    return "1 message is" if number == 1 else f"{number:,} messages are"


def _number(number: int) -> str:
    return "1 message" if number == 1 else f"{number:,} messages"


def _did(number: int, verb: str) -> str:
    return f"1 message {verb}" if number == 1 else f"{number:,} messages {verb}"
