"""The states of messages, attempts, enrollments and campaigns, the types of events, and a message's allowed moves.

This is the only table of transitions. Statements that move a message take their source states from it, the
CHECK constraints in schema.sql repeat the words, and a test holds both and the chart in docs/STATES.md equal.
It imports nothing else of sendctl.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where one message stands."""

    QUEUED = "queued"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"
    SENT = "sent"
    BOUNCED = "bounced"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class AttemptOutcome(StrEnum):
    """How one try to hand a message to one provider ended."""

    OPEN = "open"  # written before any byte leaves; no reply is known
    ACCEPTED = "accepted"
    REFUSED = "refused"  # permanent
    DEFERRED = "deferred"  # definite non-acceptance, retry later
    HALTED = "halted"  # definite non-acceptance that concerns the provider or the campaign
    UNTOUCHED = "untouched"  # given back: no byte of this message left
    UNKNOWN = "unknown"  # nobody can say: the message is in doubt
    ABANDONED = "abandoned"  # was unknown; an operator or the campaign's policy chose to go on (store/late.py)


class EnrollmentStatus(StrEnum):
    """Where one contact stands in one campaign."""

    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"  # the current step's message failed; revived when it is queued again
    STOPPED = "stopped"  # suppressed, or a stop condition
    CANCELLED = "cancelled"


class CampaignStatus(StrEnum):
    """The life of a campaign."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ARCHIVED = "archived"


class Channel(StrEnum):
    """How a message travels."""

    EMAIL = "email"
    SMS = "sms"


class EventType(StrEnum):
    """What may be learned of a message after it was handed over, or of an enrollment."""

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    BOUNCED = "bounced"  # for good, unless the event says otherwise
    DEFERRED = "deferred"
    REJECTED = "rejected"
    FAILED = "failed"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    OPENED = "opened"
    CLICKED = "clicked"
    SUBMITTED = "submitted"


@dataclass(frozen=True, slots=True)
class Transition:
    """One allowed move: from any of `sources` to `target`."""

    sources: frozenset[State]
    target: State


def _move(target: State, *sources: State) -> Transition:
    return Transition(frozenset(sources), target)


TRANSITIONS: dict[str, Transition] = {
    "claim": _move(State.SENDING, State.QUEUED),
    "suppress": _move(State.SUPPRESSED, State.QUEUED),
    "cancel": _move(State.CANCELLED, State.QUEUED),
    "expire": _move(State.EXPIRED, State.QUEUED),
    "overtake": _move(State.FAILED, State.QUEUED),  # it had failed, and a later step is due before it was tried again
    "accept": _move(State.SENT, State.SENDING),
    "release": _move(State.QUEUED, State.SENDING),  # definite non-acceptance: later, or another provider
    "refuse": _move(State.FAILED, State.SENDING),  # permanent, or attempts exhausted: the dead letter
    "doubt": _move(State.IN_DOUBT, State.SENDING),
    "prove_accepted": _move(State.SENT, State.IN_DOUBT),
    "prove_absent": _move(State.QUEUED, State.IN_DOUBT),
    "resend": _move(State.QUEUED, State.IN_DOUBT),  # an operator's or the campaign's explicit choice
    "skip": _move(State.FAILED, State.IN_DOUBT),
    "retry": _move(State.QUEUED, State.FAILED),
    "bounce": _move(State.BOUNCED, State.SENT),
    # a journal knows what a rewound store forgot, also when someone has cancelled in the meantime
    "replay_accepted": _move(State.SENT, State.QUEUED, State.FAILED, State.CANCELLED, State.EXPIRED, State.SUPPRESSED),
    "replay_doubt": _move(State.IN_DOUBT, State.QUEUED, State.FAILED, State.CANCELLED, State.EXPIRED, State.SUPPRESSED),
}
