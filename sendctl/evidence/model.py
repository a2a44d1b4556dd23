"""What is looked for in an MTA's log, what the log says of it, and the verdict on each message.

Plain values; never reads a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class LastStatus(StrEnum):
    """The last thing the MTA logged about an accepted message and its recipient."""

    QUEUED = "queued"  # accepted, no delivery tried yet
    SENT = "sent"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    REMOVED = "removed"  # left the queue without a word about this recipient: an operator, or an alias


@dataclass(frozen=True, slots=True)
class Wanted:
    """One message in doubt. `key` is its whole Message-ID without <>.

    `dotted_at` is the last moment at which the last byte may have left, `begun_at` the first at which the first may
    have: of several attempts in doubt the latest and the earliest. Both UTC; without `begun_at` they are one.
    """

    key: str
    recipient: str
    dotted_at: datetime
    begun_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The MTA took responsibility for the message: it must not be sent again."""

    queue_id: str
    first_seen_at: datetime
    last_status: LastStatus


@dataclass(frozen=True, slots=True)
class Absent:
    """The log is complete and settled, and says that the MTA never accepted the message."""

    reason: str


@dataclass(frozen=True, slots=True)
class CannotTell:
    """The log neither shows an acceptance nor proves that there was none; `reason` in plain words.

    Reasons of one `kind` differ in the times that they name only: a report counts them as one.
    """

    reason: str
    kind: str = ""


Finding = Accepted | Absent | CannotTell


@dataclass(frozen=True, slots=True)
class Moment:
    """When a log line was written, UTC. The two differ only where a local time occurs twice (end of summer time)."""

    earliest: datetime
    latest: datetime


@dataclass(slots=True)
class Handover:
    """One queue id under which the MTA saw a wanted Message-ID."""

    queue_id: str
    seen: Moment
    accepted: bool = False
    ended: str = ""  # why it was never accepted, in the log's terms


@dataclass(slots=True)
class Trail:
    """Everything the logs say about one wanted message, in their order."""

    recipient: bytes  # lower case
    handovers: list[Handover] = field(default_factory=list)
    status: LastStatus = LastStatus.QUEUED

    def note(self, status: LastStatus) -> None:
        """Keep the latest status; leaving the queue says less than a delivery does."""
        if status is not LastStatus.REMOVED or self.status is LastStatus.QUEUED:
            self.status = status


def trails_of(wanted: list[Wanted]) -> dict[bytes, Trail]:
    """An empty trail for each message, by its Message-ID as the log has it."""
    return {as_logged(one.key): Trail(as_logged(one.recipient).lower()) for one in wanted}


def as_logged(text: str) -> bytes:
    """Text as bytes of a log; UTF-8, as both MTAs write it."""
    return text.encode("utf-8", "surrogateescape")
