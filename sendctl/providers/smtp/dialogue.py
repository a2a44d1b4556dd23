"""One mail transaction on a ready connection: MAIL, RCPT, DATA, the body, the dot.

The dot is a step of its own: everything before it can fail without any doubt, and nothing here sends it unless
the envelope was accepted, the body has left and the mark agrees. It never retries.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sendctl import faults
from sendctl.providers.base import Job, Outcome, Outgoing, Phase, Scope
from sendctl.providers.smtp import classify
from sendctl.providers.smtp.classify import Step
from sendctl.providers.smtp.connection import Connection, Dropped
from sendctl.providers.smtp.replies import ProtocolViolation, Reply

# RFC 5321 section 4.1.2: a dot-string or quoted-string, "@", a domain. Only what could end or forge a command is
# kept out here: control characters anywhere; spaces, quotes and brackets outside a quoted local part.
_MAILBOX = re.compile(
    r'(?:"(?:[^"\\\x00-\x1f\x7f-\x9f]|\\[ -~])*"|[^\s"<>@\x00-\x1f\x7f-\x9f]+)@[^\s"<>@\x00-\x1f\x7f-\x9f]+'
)


@dataclass(slots=True)
class Submission:
    """One message on its way: the only place where its phase advances."""

    job: Job
    phase: Phase = Phase.UNTOUCHED
    expires_s: float = 0.0  # the deadline on the loop's clock
    offered_on: Connection | None = None  # where its envelope has left already, behind another message's dot

    def begin(self) -> None:
        """MAIL is about to leave. Once per message: a second try on a fresh connection is the same submission."""
        self._check_deadline()
        if self.phase is Phase.UNTOUCHED:
            self.job.mark.begin()
            self.phase = Phase.BEGUN

    def dot(self) -> None:
        """The final dot is about to leave."""
        self._check_deadline()
        faults.passing("provider.before_dot")
        self.job.mark.dot()
        self.phase = Phase.DOTTED

    def _check_deadline(self) -> None:
        # The loop's timers run late in a process that was stopped or suspended; this clock does not.
        if self.job.deadline.passed():
            raise TimeoutError


_ENVELOPE = (Step.MAIL, Step.RCPT, Step.DATA)

# A body this small leaves in one write with the dot: the kernel takes both or neither.
_ONE_WRITE_BYTES = 16 * 1024


class NothingAcknowledged(Exception):
    """A connection that had idled was closed by the server before it answered MAIL."""


def is_mailbox(address: str) -> bool:
    """Whether an address can stand in an envelope without changing the dialogue's meaning."""
    return _MAILBOX.fullmatch(address) is not None


def unsendable(message: Outgoing) -> Outcome | None:
    """Why no server could be handed this message, or None: bytes that would change the dialogue's meaning."""
    if message.sender and not is_mailbox(message.sender):
        return classify.sender_unusable(f"sender {message.sender!r} cannot stand in an envelope")
    if not is_mailbox(message.recipient):
        text = f"recipient {message.recipient!r} cannot stand in an envelope"
        return classify.local_refusal("address", text, "5.1.3")
    ends = message.content.count(b"\r\n")
    if message.content.count(b"\n") != ends or message.content.count(b"\r") != ends:
        # A bare CR or LF is how one message is made to look like two (RFC 5321 section 2.3.8).
        return classify.local_refusal("content", "the message has a bare CR or LF", "5.6.0")
    if not message.content.endswith(b"\r\n"):
        return classify.local_refusal("content", "the message does not end in CRLF", "5.6.0")
    return None


def unsupported(message: Outgoing, extensions: dict[str, str]) -> Outcome | None:
    """Why this server cannot take the message, by what its EHLO offered, or None."""
    size_bytes, limit = len(message.content), extensions.get("SIZE", "")
    if limit.isdecimal() and 0 < int(limit) < size_bytes:  # RFC 1870 section 4: 0 means no fixed maximum
        return classify.local_refusal("size", f"{size_bytes} bytes; the server takes at most {limit}", "5.3.4")
    if _needs_utf8(message) and "SMTPUTF8" not in extensions:
        # An ASCII recipient is refused for an address that stands in all messages of the campaign.
        scope = Scope.CAMPAIGN if message.recipient.isascii() else Scope.RECIPIENT
        text = "an address is not ASCII and the server does not offer SMTPUTF8"
        return classify.local_refusal("smtputf8-unsupported", text, "5.6.7", scope)
    if message.eight_bit and "8BITMIME" not in extensions:
        return classify.local_refusal(
            "8bitmime-unsupported", "the message has 8-bit bytes and the server does not offer 8BITMIME", "5.6.3"
        )
    return None


def _needs_utf8(message: Outgoing) -> bool:
    return message.smtputf8 or not (message.sender.isascii() and message.recipient.isascii())


def envelope(message: Outgoing, extensions: dict[str, str]) -> tuple[bytes, bytes, bytes]:
    """MAIL, RCPT and DATA as bytes with CRLF."""
    parameters = f" SIZE={len(message.content)}" if "SIZE" in extensions else ""  # RFC 1870 section 3
    parameters += " BODY=8BITMIME" if message.eight_bit else ""  # RFC 6152
    parameters += " SMTPUTF8" if _needs_utf8(message) else ""  # RFC 6531 section 3.4
    return (
        f"MAIL FROM:<{message.sender}>{parameters}\r\n".encode(),
        f"RCPT TO:<{message.recipient}>\r\n".encode(),
        b"DATA\r\n",
    )


def dot_stuffed(content: bytes) -> bytes:
    """The body as it travels, without the final dot (RFC 5321 section 4.5.2)."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


async def transact(
    connection: Connection, submission: Submission, reply_timeout_s: float, follow: Callable[[Connection], bytes]
) -> Outcome:
    """Hand the message over; `submission.begin()` has been called. What `follow` gives leaves behind the dot.

    Raises Dropped, ProtocolViolation, TimeoutError and whatever the mark raises: by then `submission.phase` says
    what that means. Raises NothingAcknowledged on an idle connection that turns out to be closed.
    """
    refusal = await _offer(connection, submission, reply_timeout_s)
    if refusal is not None:
        return refusal
    body = dot_stuffed(submission.job.message.content)
    whole = len(body) <= _ONE_WRITE_BYTES
    if not whole:
        connection.write(body)
        await connection.drained(submission.expires_s)
    if not connection.quiet():
        early = await connection.reply(submission.expires_s)
        connection.abort()  # the server is in mid-body and must not read on
        return classify.interrupted(early)
    behind = follow(connection)
    submission.dot()
    connection.write((body if whole else b"") + b".\r\n" + behind)
    outcome = classify.final(await connection.reply(submission.expires_s))
    faults.passing("provider.replied")
    return outcome


async def _offer(connection: Connection, submission: Submission, reply_timeout_s: float) -> Outcome | None:
    """Send the envelope; None when the server awaits the body. One group where PIPELINING is offered (RFC 2920)."""
    pipelined = "PIPELINING" in connection.extensions
    commands = envelope(submission.job.message, connection.extensions) if submission.offered_on is None else ()
    if pipelined and commands:
        connection.write(b"".join(commands))
    for position, step in enumerate(_ENVELOPE):
        if not pipelined:
            if not connection.quiet():
                raise ProtocolViolation("the server answered before it was asked")
            connection.write(commands[position])
        reply = connection.arrived() or await _envelope_reply(connection, step, submission, reply_timeout_s)
        if step is Step.MAIL and reply.code == 421 and connection.carried > 1:
            raise NothingAcknowledged  # RFC 5321 section 3.8: the service is closing the channel
        if not classify.wanted(step, reply):
            connection.owed = len(_ENVELOPE) - 1 - position if pipelined else 0
            connection.recipient_refused = step is Step.RCPT
            connection.needs_reset = True
            return classify.refused(step, reply)
    return None


async def _envelope_reply(connection: Connection, step: Step, submission: Submission, reply_timeout_s: float) -> Reply:
    idled = step is Step.MAIL and connection.carried > 1
    try:
        return await connection.reply(min(submission.expires_s, connection.in_s(reply_timeout_s)))
    except Dropped as dropped:
        raise NothingAcknowledged if idled else dropped from dropped


async def clear_refused(connection: Connection, reply_timeout_s: float) -> None:
    """Bring a connection back to the state after EHLO when its last transaction was refused.

    The replies still owed to a pipelined group are read first. When DATA was answered 354 although the recipient
    was refused, a lone dot ends it (RFC 2920 section 3.1): no body was sent and there is nobody to send it to. When
    the recipient had been accepted, that dot would deliver an empty message, so the connection is given up.
    Raises Dropped, ProtocolViolation and TimeoutError.
    """
    while connection.owed:
        reply = await connection.reply(connection.in_s(reply_timeout_s))
        connection.owed -= 1
        if connection.owed:  # MAIL was refused, so this answers RCPT
            connection.recipient_refused = not classify.wanted(Step.RCPT, reply)
        elif classify.wanted(Step.DATA, reply):
            if not connection.recipient_refused:
                raise ProtocolViolation("the server awaits a body for a refused sender")
            connection.write(b".\r\n")
            await connection.reply(connection.in_s(reply_timeout_s))
    connection.write(b"RSET\r\n")
    reply = await connection.reply(connection.in_s(reply_timeout_s))
    if reply.code != 250 or not connection.quiet():
        raise ProtocolViolation("RSET was answered " + reply.text)
    connection.needs_reset = False
