"""Reads Exim's main log line by line and follows the message ids that carry a wanted Message-ID.

Acceptance is the `<=` line, written when the message stands in the spool; when the client has gone by then Exim logs
"SMTP connection lost after final dot", keeps nothing and writes no `<=` (Exim specification, chapter "Log files";
tried with Exim 4.96). Never concludes absence: that is the coverage's part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sendctl.evidence.coverage import Coverage
from sendctl.evidence.model import Handover, LastStatus, Trail
from sendctl.evidence.stamps import EXIM, Stamps

# Message ids have 16 characters, from Exim 4.97 on 23 (ChangeLog of 4.97; specification, "Message identification").
_EVENT = re.compile(
    rb"(?P<id>[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{6}-[0-9A-Za-z]{11}-[0-9A-Za-z]{4}) "
    rb"(?P<flag><=|=>|->|>>|\*\*|==|Completed)(?: |$)"
)
_MESSAGE_ID = re.compile(rb" id=(\S+)")
_OVER_SMTP = re.compile(rb" P=\S*smtp")
# What follows the recipient of a delivery line: " F=<sender>", " P=<return path>", " R=router", ": reason".
_AFTER_RECIPIENT = re.compile(rb" [A-Z]+=|: ")

_STATUS = {
    b"=>": LastStatus.SENT,
    b"->": LastStatus.SENT,
    b">>": LastStatus.SENT,
    b"**": LastStatus.BOUNCED,
    b"==": LastStatus.DEFERRED,
}


class EximReader:
    """The trails found so far. One reader serves one search, fed with all lines in the order they were written."""

    start = re.compile(rb"(" + EXIM + rb")() (?:\[\d+\] )?")  # a main log names no host: the second group is empty

    def __init__(self, trails: Mapping[bytes, Trail], coverage: Coverage) -> None:
        self._trails = trails
        self._coverage = coverage
        self._open: dict[bytes, Trail] = {}

    def read(self, start: re.Match[bytes], line: bytes, stamps: Stamps) -> None:
        """Take in one line; `start` is what the pattern of the same name matched in it."""
        event = _EVENT.match(line.rstrip(), start.end())
        if event is None:
            return
        exim_id, flag = event["id"], event["flag"]
        if flag == b"<=":
            self._arrival(exim_id, line[event.end() :], start[1], stamps)
        elif (trail := self._open.get(exim_id)) is not None:
            self._follow(trail, exim_id, flag, line[event.end() :])

    def _arrival(self, exim_id: bytes, rest: bytes, stamp: bytes, stamps: Stamps) -> None:
        self._open.pop(exim_id, None)
        named = _MESSAGE_ID.search(rest)
        if named is None:
            if _OVER_SMTP.search(rest):  # without a Message-ID, or with log_selector = -msg_id
                self._coverage.blind_at(stamps.moment(stamp))
            return
        trail = self._trails.get(named[1])
        if trail is None:
            return
        seen = stamps.moment(stamp)
        if seen is None:
            self._coverage.problems.append(f"the line of {exim_id.decode('ascii')} has no readable time")
            return
        trail.handovers.append(Handover(exim_id.decode("ascii"), seen, accepted=True))
        self._open[exim_id] = trail

    def _follow(self, trail: Trail, exim_id: bytes, flag: bytes, rest: bytes) -> None:
        if flag == b"Completed":
            trail.note(LastStatus.REMOVED)
            del self._open[exim_id]
            return
        addresses = _AFTER_RECIPIENT.split(rest.rstrip(), maxsplit=1)[0].lower().split()
        if trail.recipient in (address.strip(b"<>:") for address in addresses):
            trail.note(_STATUS[flag])
