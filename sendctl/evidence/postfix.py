"""Reads Postfix's log line by line and follows the queue ids that carry a wanted Message-ID.

Acceptance is the queue manager's "queue active", or any delivery: both come after cleanup(8) has closed the queue
file and returned success. A Message-ID line alone is not, for cleanup logs it while the client is still sending
(Postfix source, cleanup_message.c; tried with Postfix 3.7).
Never concludes absence: that is the coverage's part.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar

from sendctl.evidence.coverage import Coverage
from sendctl.evidence.model import Handover, LastStatus, Trail
from sendctl.evidence.stamps import RFC3339, TRADITIONAL, Stamps

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

# A queue id belongs to one queue, that is to one instance on one host; every short one is used again in time
# (postconf(5), enable_long_queue_ids).
QueueId = tuple[bytes, bytes, bytes]  # host, instance, id
Session = tuple[bytes, bytes, bytes]  # host, instance, process id of smtpd

_REMEMBERED = 20_000  # open sessions and ended messages kept: flat memory, far more than smtpd processes exist

# Deliveries; the reason in parentheses may quote anything the remote server said, so the status must come first.
_DELIVERY = re.compile(
    rb"to=<(?P<to>[^>]*)>, (?:orig_to=<(?P<orig>[^>]*)>, )?"
    rb"(?:(?!status=)[a-z_]+=[^,]*, )*status=(?P<status>sent|deferred|bounced)\b"
)
# Dropped lines: rsyslog's input modules and systemd-journald say so in these words.
_LOST_LINES = re.compile(rb"rate-limiting|Suppressed \d+ messages")
_LOST_BEFORE = timedelta(minutes=10)  # rsyslog's longest default interval (imjournal, 600 s)

_BEFORE_QUEUE = frozenset({b"smtpd", b"cleanup", b"pickup"})  # the services that see a message before it is accepted
# The message was refused with a 4xx or 5xx reply and its queue file deleted.
_REFUSED = {
    b"smtpd": (b"reject: DATA", b"reject: END-OF-MESSAGE", b"milter-reject: DATA", b"milter-reject: END-OF-MESSAGE"),
    b"cleanup": (b"reject: ", b"milter-reject: "),
}
_DISCARDED = (b"discard: ", b"milter-discard: ")
_WRITE_FAILED = (b"queue file size limit exceeded", b"write queue file: ")
_CUT_OFF = (b"lost connection after DATA", b"timeout after DATA")


class PostfixReader:
    """The trails found so far. One reader serves one search, fed with all lines in the order they were written."""

    # stamp, host, instance or program, service, process id, and what stands before the next ": " (a queue id, if any)
    start = re.compile(
        rb"(" + TRADITIONAL + rb"|" + RFC3339 + rb") ([^ ]+) "
        rb"([^ /\[:]*)(?:/(?:[^ /\[:]+/)*([^ /\[:]+))?(?:\[(\d+)\])?: (?:([^ :]+): )?"
    )

    def __init__(self, trails: Mapping[bytes, Trail], coverage: Coverage) -> None:
        self._trails = trails
        self._coverage = coverage
        self._open: dict[QueueId, tuple[Trail, Handover]] = {}
        self._sessions: OrderedDict[Session, QueueId] = OrderedDict()
        self._ended: OrderedDict[QueueId, str] = OrderedDict()  # kept, for the Message-ID may be logged after the end

    def read(self, start: re.Match[bytes], line: bytes, stamps: Stamps) -> None:
        """Take in one line; `start` is what the pattern of the same name matched in it."""
        stamp, host, instance, service, process_id, name = start.groups(b"")
        if not service:
            if _LOST_LINES.search(line, start.end()):
                self._coverage.blind_at(stamps.moment(stamp), before=_LOST_BEFORE)
            return
        queue_id = (host, instance, name)
        if service not in _BEFORE_QUEUE:
            if queue_id in self._open:
                self._follow(queue_id, service, line[start.end() :])
            return
        event = line[start.end() :]
        if service == b"smtpd":
            self._smtpd(queue_id, (host, instance, process_id), event)
        elif service == b"pickup":
            self._forget(queue_id)
        elif event.startswith(b"message-id="):
            self._bind(queue_id, event, stamps, stamp)
        if self._refused_or_unnamed(queue_id, service, event):
            self._coverage.blind_at(stamps.moment(stamp))

    def _smtpd(self, queue_id: QueueId, session: Session, event: bytes) -> None:
        """Which queue id each smtpd process is filling, so that a lost connection can be laid to it."""
        if event.startswith(b"client="):
            self._sessions.pop(session, None)
            if queue_id[2] != b"NOQUEUE":  # before a proxy filter there is no queue file
                self._forget(queue_id)
                _remember(self._sessions, session, queue_id)
        elif event.startswith(_CUT_OFF):
            cut_off = self._sessions.pop(session, None)
            if cut_off is not None:
                self._end(cut_off, "the connection broke off before the final dot")
        elif event.startswith(b"connect from"):
            self._sessions.pop(session, None)

    def _bind(self, queue_id: QueueId, event: bytes, stamps: Stamps, stamp: bytes) -> None:
        key = event.removeprefix(b"message-id=").strip().removeprefix(b"<").removesuffix(b">")
        self._open.pop(queue_id, None)  # the id is in use for another message now
        ended = self._ended.pop(queue_id, "")
        trail = self._trails.get(key)
        if not key:
            self._coverage.blind_at(stamps.moment(stamp))
        if trail is None:
            return
        seen = stamps.moment(stamp)
        if seen is None:
            self._coverage.problems.append(f"a line that names {key.decode('ascii', 'replace')} has no readable time")
            return
        handover = Handover(queue_id[2].decode("ascii", "replace"), seen, ended=ended)
        trail.handovers.append(handover)
        self._open[queue_id] = (trail, handover)

    def _follow(self, queue_id: QueueId, service: bytes, event: bytes) -> None:
        """A line about a bound queue id that is neither smtpd's nor a Message-ID."""
        trail, handover = self._open[queue_id]
        if event.startswith(b"to=<"):
            delivery = _DELIVERY.match(event)
            if delivery is None:
                return
            handover.accepted = True
            if trail.recipient in (delivery["to"].lower(), (delivery["orig"] or b"").lower()):
                trail.note(LastStatus(delivery["status"].decode("ascii")))
        elif service == b"qmgr":
            if event.startswith(b"from=<") and event.rstrip().endswith(b"(queue active)"):
                handover.accepted = True
            elif event.startswith(b"from=<") and b", status=expired" in event:
                trail.note(LastStatus.BOUNCED)
            elif event.startswith(b"removed"):
                handover.accepted = True
                trail.note(LastStatus.REMOVED)
                del self._open[queue_id]

    def _refused_or_unnamed(self, queue_id: QueueId, service: bytes, event: bytes) -> bool:
        """Note what smtpd and cleanup refuse; true if they answer 250 and leave no queue file to follow."""
        if event.startswith(_REFUSED.get(service, ())):
            self._end(queue_id, "the MTA refused it")
        elif queue_id[2] == b"warning":
            failed, _, problem = event.partition(b": ")
            if problem.startswith(_WRITE_FAILED):
                self._end((*queue_id[:2], failed), "the MTA could not store it")
        # Thrown away, or left to a filter before the queue: perhaps before the Message-ID was read.
        return event.startswith(_DISCARDED) or queue_id[2] == b"proxy-accept" or event.startswith(b"proxy-accept: ")

    def _end(self, queue_id: QueueId, reason: str) -> None:
        _remember(self._ended, queue_id, reason)
        if queue_id in self._open:
            self._open[queue_id][1].ended = reason

    def _forget(self, queue_id: QueueId) -> None:
        self._open.pop(queue_id, None)
        self._ended.pop(queue_id, None)


def _remember(table: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    table[key] = value
    if len(table) > _REMEMBERED:
        table.popitem(last=False)
