"""What a provider is: one account at one service, that takes one message at a time and says what came of it.

Phase decides what a failure means. Before the last byte that makes acceptance possible (SMTP: the final dot;
HTTP: the request) every failure is definite non-acceptance; after it only a reply decides, and silence, a
reset or a time-out is Unknown. A provider reports each phase to the `PhaseMark` it is given *before* the bytes
leave; the mark writes the journal and may refuse.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

from sendctl.clock import Deadline
from sendctl.durations import Rate
from sendctl.providers.checks import Checked
from sendctl.states import AttemptOutcome


class Scope(StrEnum):
    """Whom an outcome concerns."""

    RECIPIENT = "recipient"
    PROVIDER = "provider"  # the whole account or relay: connect failure, 421, bad credentials
    CAMPAIGN = "campaign"  # every message of the campaign: sender refused, content refused


class Phase(StrEnum):
    """How far a submission got."""

    UNTOUCHED = "untouched"  # no byte of this message left
    BEGUN = "begun"  # envelope or body may have left, the last byte has not
    DOTTED = "dotted"  # the last byte may have left, no reply is known
    REPLIED = "replied"  # the reply to the whole message is known


class Outgoing(NamedTuple):
    """One rendered message, ready to hand over; frozen, byte for byte the same on a replay.

    `sender` and `recipient` are envelope addresses without brackets; `recipient` may hold a UTF-8 local part,
    its domain is in ASCII (A-labels). `content` is the whole RFC 5322 message with CRLF line ends, ending in
    CRLF, not dot-stuffed. Of a text message `sender` is a number, a name or "", `recipient` a number in E.164 form and
    `content` the text in UTF-8. `key` is the provider key (DESIGN: identities), also the left part of Message-ID.
    """

    message_id: int
    attempt: int
    key: str
    provider: str
    sender: str
    recipient: str
    content: bytes
    eight_bit: bool = False  # the content has bytes over 127: needs 8BITMIME
    smtputf8: bool = False  # an address or header is not ASCII: needs SMTPUTF8 (RFC 6531)


OPTED_OUT = "opted-out"  # an error_class: the recipient has told the service to let nothing through any more


class Outcome(NamedTuple):
    """What came of one submission. `kind` is never OPEN or ABANDONED.

    `code` is the SMTP or HTTP status, `enhanced` the RFC 3463 code such as "5.1.1", `text` the reply or local
    error in one printable line of at most 500 characters, `error_class` a short stable word for filtering
    ("connect", "tls", "auth", "rcpt", "data", "timeout", "throttled", ...), empty when accepted.
    """

    kind: AttemptOutcome
    phase: Phase
    scope: Scope = Scope.RECIPIENT
    code: int | None = None
    enhanced: str = ""
    text: str = ""
    error_class: str = ""
    provider_message_id: str = ""
    retry_after_s: float | None = None


class ClaimExpired(Exception):
    """The mark refused: the claim or the deadline is over, so not one more byte may leave."""


class PhaseMark(Protocol):
    """Called by a provider before bytes leave. Raises ClaimExpired when they must not."""

    def begin(self) -> None:
        """The first byte that names this message is about to leave."""
        ...

    def dot(self) -> None:
        """The last byte that makes acceptance possible is about to leave."""
        ...


class Job(NamedTuple):
    """One message to hand over, until when, and whom to tell how far it got."""

    message: Outgoing
    deadline: Deadline
    mark: PhaseMark


class Feed(Protocol):
    """The messages of one lane, in order. Whatever is taken is ended once, by `end` or by `fail`."""

    def take(self) -> Job | None:
        """The next message; None when there is none now."""
        ...

    async def more(self) -> bool:
        """Wait until `take` may have one again; False when it never will."""
        ...

    def goes_on(self, job: Job) -> bool:
        """Whether a message begun early may go on to its body: a Halt, a drain or too little time forbids it."""
        ...

    def end(self, job: Job, outcome: Outcome) -> None:
        """What came of it."""
        ...

    def fail(self, job: Job, error: Exception) -> None:
        """What its mark raised, or a defect: the mark knows how far it got."""
        ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can prove; each figure is cited in its adapter."""

    key_window_s: float = 0.0  # how long a replay with the same key is answered without a second delivery
    key_replay: bool = False  # ... which is how doubt about it is settled, while that lasts
    lookup: bool = False  # it can be asked whether it accepted a key
    lookup_pace: Rate | None = None  # how often at most; None: a file, which minds nothing
    lookup_by_content: bool = False  # ... and only by what was in it
    retention_s: float = 0.0  # ... for so long at least after the hand-over; 0: no figure is documented
    absence: bool = False  # ... and that it has none proves that it accepted none, without waiting
    batch_max: int = 1  # messages in one request: docs/adr/0012 says why nowhere more
    channels: tuple[str, ...] = ("email",)  # what it carries; settings/provider_options.py says the same by type
    pulled: tuple[str, ...] = ()  # the types of events that it can be asked for (pull_events)


class Sought(NamedTuple):
    """A message of which it is asked whether it was accepted, by whatever a service can find it."""

    key: str
    message_id: str  # of the e-mail, without its angle brackets; "" of a text
    recipient: str
    handed_over_at: datetime
    content: bytes = b""  # as it was handed over, for a service that has nothing else to know it by
    is_another: Callable[[str], bool] = lambda _known: False  # whether an id of the service is another message's
    last_at: datetime | None = None  # when it was last handed over, where that was more than once


@runtime_checkable
class Lookup(Protocol):
    """What a provider with `Capabilities.lookup` has besides."""

    @property
    def capabilities(self) -> Capabilities: ...

    def find(self, sought: Sought) -> str | None:
        """The provider_message_id under which it was accepted; None when the provider does not have it (any more).

        Raises OSError when it cannot be asked.
        """
        ...


@runtime_checkable
class ProvesAbsence(Protocol):
    """What a provider with `Capabilities.absence` has besides `find`."""

    def absence_unproven(self, since: datetime) -> str:
        """Why it proves nothing that `find` finds none of what was handed over at `since`; "" where it proves it.

        Asked after `find`, about what nobody can be handing over any more. Raises OSError when it cannot be asked.
        """
        ...


@runtime_checkable
class Streaming(Protocol):
    """What a provider has besides that can begin a message before the last one is answered."""

    async def stream(self, feed: Feed) -> None:
        """Hand over all that `feed` gives, in order. Never raises for what the network or the service does."""
        ...


class Provider(Protocol):
    """One account at one service. Knows nothing of the store."""

    name: str
    capabilities: Capabilities
    connections: int  # how many submissions it takes at once, at least 1

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        """Hand over one message. Never raises for what the network or the service does; never retries."""
        ...

    def check(self, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """Ask whether it is there, knows us and would take these senders; each thing is told as soon as it is known.

        Hands nothing over and never raises for what the network does. Whoever asks sets the limit. `senders` are
        addresses of e-mail, or numbers and names that texts come from; "" where a text names none.
        """
        ...

    async def close(self) -> None:
        """Give connections back. A failure here never changes an outcome."""
        ...
