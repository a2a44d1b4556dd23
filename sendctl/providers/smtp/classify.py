"""What a reply, a broken connection or a time-out means for one message: the phase table of docs, as code.

Pure functions from (step, reply) or (phase, failure) to an Outcome. It never talks to a server, and it never turns
a missing answer after the dot into anything but UNKNOWN.
"""

from __future__ import annotations

from enum import StrEnum

from sendctl.providers.base import Outcome, Phase, Scope
from sendctl.providers.smtp.connection import Dropped
from sendctl.providers.smtp.replies import ProtocolViolation, Reply
from sendctl.providers.text import printable
from sendctl.states import AttemptOutcome


class Step(StrEnum):
    """A command of the mail transaction, and the word its refusal is filed under."""

    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


# RFC 4954 section 6: authentication required, failed, too weak, or needing encryption.
_AUTH_CODES = frozenset({530, 534, 535, 538})
# RFC 5321 section 4.2.2 and RFC 3463: the server, not this message, asks us to come back later.
_THROTTLE_CODES = frozenset({421, 452, 454})
# RFC 3463: x.1.7 and x.1.8 bad sender, x.7.x policy. 501, 550 and 553 at MAIL speak of the sender's address.
_SENDER_CODES = frozenset({501, 550, 551, 553})
_SIZE_STATUS = ".3.4"  # RFC 3463: message too big for system
_UTF8_STATUS = ".6.7"  # RFC 6531 section 3.5: non-ASCII addresses not permitted


def wanted(step: Step, reply: Reply) -> bool:
    """Whether `reply` lets the transaction go on after `step` (RFC 5321 section 4.3.2)."""
    return reply.code // 100 == (3 if step is Step.DATA else 2)


def refused(step: Step, reply: Reply) -> Outcome:
    """The outcome of an unwanted reply before the dot: always definite non-acceptance."""
    if reply.code == 503 or reply.code // 100 in (2, 3):
        # Out of sequence or a wrong class: the two sides disagree about the dialogue, nothing is said of the message.
        return _before(AttemptOutcome.DEFERRED, Scope.PROVIDER, "protocol", reply)
    if reply.code // 100 == 4:
        return _deferred(step, reply)
    if reply.code in _AUTH_CODES:
        return _before(AttemptOutcome.HALTED, Scope.PROVIDER, "auth", reply)
    return {Step.MAIL: _mail_refused, Step.RCPT: _rcpt_refused, Step.DATA: _data_refused}[step](reply)


def _deferred(step: Step, reply: Reply) -> Outcome:
    throttled = reply.code in _THROTTLE_CODES or reply.enhanced.startswith("4.7.")
    # MAIL names no recipient, so whatever it answers concerns us or the server; 4.7.x at RCPT and DATA is greylisting
    # of one pair of addresses.
    scope = Scope.PROVIDER if step is Step.MAIL or _server_is_unwell(reply) else Scope.RECIPIENT
    return _before(AttemptOutcome.DEFERRED, scope, "throttled" if throttled else step.value, reply)


def _server_is_unwell(reply: Reply) -> bool:
    """Whether a temporary reply speaks of the server at any step.

    421 closes the channel (RFC 5321 section 3.8); 4.3.x is the mail system's status (RFC 3463 section 3.4), such as
    a lookup that fails for everybody.
    """
    return reply.code == 421 or reply.enhanced.startswith("4.3.")


def _mail_refused(reply: Reply) -> Outcome:
    if reply.enhanced.endswith(_UTF8_STATUS):
        return _before(AttemptOutcome.REFUSED, Scope.RECIPIENT, "smtputf8-unsupported", reply)
    # 552 at MAIL is about the size (RFC 1870 section 6.1), but for 5.2.2: MAIL names no mailbox that could be full
    # (RFC 3463 section 3.3), so it is the quota of our own account.
    if (reply.code == 552 and reply.enhanced != "5.2.2") or reply.enhanced.endswith(_SIZE_STATUS):
        return _before(AttemptOutcome.REFUSED, Scope.RECIPIENT, "size", reply)
    sender = reply.code in _SENDER_CODES or reply.enhanced.startswith(("5.1.", "5.7."))
    scope = Scope.CAMPAIGN if sender else Scope.PROVIDER
    return _before(AttemptOutcome.HALTED, scope, "sender" if sender else Step.MAIL.value, reply)


def _rcpt_refused(reply: Reply) -> Outcome:
    if reply.code == 552 and reply.enhanced in ("", "5.5.3"):
        # RFC 5321 section 4.5.3.1.10: 552 at RCPT may mean "too many recipients" and is to be taken as temporary.
        return _before(AttemptOutcome.DEFERRED, Scope.RECIPIENT, "throttled", reply)
    if reply.enhanced.endswith(_UTF8_STATUS):
        return _before(AttemptOutcome.REFUSED, Scope.RECIPIENT, "smtputf8-unsupported", reply)
    # 5.7.x may concern one recipient or all of them: its own class lets the caller count across recipients.
    error_class = "policy" if reply.enhanced.startswith("5.7.") else Step.RCPT.value
    return _before(AttemptOutcome.REFUSED, Scope.RECIPIENT, error_class, reply)


def _data_refused(reply: Reply) -> Outcome:
    return _before(AttemptOutcome.REFUSED, Scope.RECIPIENT, Step.DATA.value, reply)


def _before(kind: AttemptOutcome, scope: Scope, error_class: str, reply: Reply) -> Outcome:
    return _outcome(kind, Phase.BEGUN, scope, error_class, reply)


def interrupted(reply: Reply) -> Outcome:
    """The outcome of a reply that came while the body was still leaving: the dot is never sent after it."""
    if reply.code // 100 in (4, 5):
        settled = final(reply)
        return _before(settled.kind, settled.scope, settled.error_class, reply)
    return _before(AttemptOutcome.DEFERRED, Scope.PROVIDER, "protocol", reply)


def final(reply: Reply) -> Outcome:
    """The outcome of the reply to the dot: the only one that may say ACCEPTED.

    A 1xx cannot be parsed and a 3xx is no answer to the dot: the server's mind is unknown.
    """
    match reply.code // 100:
        case 2:
            return Outcome(
                kind=AttemptOutcome.ACCEPTED,
                phase=Phase.REPLIED,
                code=reply.code,
                enhanced=reply.enhanced,
                text=reply.text,
                provider_message_id=reply.queue_id,
            )
        case 3:
            return _outcome(AttemptOutcome.UNKNOWN, Phase.DOTTED, Scope.PROVIDER, "protocol", reply)
        case 4:
            throttled = reply.code in _THROTTLE_CODES or reply.enhanced.startswith("4.7.")
            scope = Scope.PROVIDER if _server_is_unwell(reply) else Scope.RECIPIENT
            error_class = "throttled" if throttled else "content"
            return _outcome(AttemptOutcome.DEFERRED, Phase.REPLIED, scope, error_class, reply)
    if reply.code in _AUTH_CODES:
        return _outcome(AttemptOutcome.HALTED, Phase.REPLIED, Scope.PROVIDER, "auth", reply)
    error_class = "size" if reply.enhanced.endswith(_SIZE_STATUS) else "content"
    return _outcome(AttemptOutcome.REFUSED, Phase.REPLIED, Scope.RECIPIENT, error_class, reply)


def broken(phase: Phase, failure: Dropped | ProtocolViolation | TimeoutError) -> Outcome:
    """The outcome when no reply decides. Scope PROVIDER: it is the relay that misbehaves, whatever the message."""
    match failure:
        case TimeoutError():
            error_class, text = "timeout", "no reply in time"
        case Dropped():
            error_class, text = "dropped", str(failure)
        case _:
            error_class, text = "protocol", str(failure)
    kind = {
        Phase.UNTOUCHED: AttemptOutcome.UNTOUCHED,
        Phase.BEGUN: AttemptOutcome.DEFERRED,
        Phase.DOTTED: AttemptOutcome.UNKNOWN,
    }[phase]
    return Outcome(kind=kind, phase=phase, scope=Scope.PROVIDER, text=text, error_class=error_class)


def stood_still(phase: Phase) -> Outcome:
    """The outcome of a deadline that was noticed late: this process was stopped, and the relay is not to blame."""
    kind = AttemptOutcome.UNKNOWN if phase is Phase.DOTTED else AttemptOutcome.UNTOUCHED
    return Outcome(kind=kind, phase=phase, text="this process stood still past the deadline", error_class="stood_still")


def overtaken(phase: Phase) -> Outcome:
    """The outcome of a message whose time was spent waiting for the answer to the one before it."""
    text = "its time was over while the message before it on the connection was waited for"
    return Outcome(kind=AttemptOutcome.UNTOUCHED, phase=phase, text=text, error_class="overtaken")


def withdrawn(phase: Phase) -> Outcome:
    """The outcome of a message whose envelope had left when sending was stopped, or its time was nearly over."""
    text = "sending was stopped, or its time was nearly over, before its body left"
    return Outcome(kind=AttemptOutcome.UNTOUCHED, phase=phase, text=text, error_class="withdrawn")


def local_refusal(error_class: str, text: str, enhanced: str, scope: Scope = Scope.RECIPIENT) -> Outcome:
    """A message that this server or SMTP itself can never take; nothing of it has left."""
    return Outcome(
        kind=AttemptOutcome.REFUSED,
        phase=Phase.UNTOUCHED,
        scope=scope,
        enhanced=enhanced,
        text=printable(text),
        error_class=error_class,
    )


def sender_unusable(text: str) -> Outcome:
    """The campaign's sender address can never be used: no message of it can go."""
    return Outcome(
        kind=AttemptOutcome.HALTED,
        phase=Phase.UNTOUCHED,
        scope=Scope.CAMPAIGN,
        enhanced="5.1.7",
        text=printable(text),
        error_class="sender",
    )


def setup_failed(error_class: str, text: str, *, halt: bool = False) -> Outcome:
    """The connection could not be made ready; `halt` when trying again cannot help until a person acts."""
    kind = AttemptOutcome.HALTED if halt else AttemptOutcome.UNTOUCHED
    return Outcome(
        kind=kind, phase=Phase.UNTOUCHED, scope=Scope.PROVIDER, text=printable(text), error_class=error_class
    )


def setup_refused(error_class: str, reply: Reply) -> Outcome:
    """A reply that ends the set-up: 5xx needs a person, 4xx time (RFC 5321 section 3.1, RFC 4954 section 6)."""
    halt = reply.code // 100 == 5
    return _outcome(
        AttemptOutcome.HALTED if halt else AttemptOutcome.UNTOUCHED, Phase.UNTOUCHED, Scope.PROVIDER, error_class, reply
    )


def _outcome(kind: AttemptOutcome, phase: Phase, scope: Scope, error_class: str, reply: Reply) -> Outcome:
    return Outcome(
        kind=kind,
        phase=phase,
        scope=scope,
        code=reply.code,
        enhanced=reply.enhanced,
        text=reply.text,
        error_class=error_class,
    )
