"""What a reply means, in the words that services share. Each service's own file says which of its codes mean which.

Only what the service itself said counts: an error page of something between us and it says nothing of the message,
but that it was not passed on where its status is one of the client's errors (RFC 9110 section 15.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from sendctl.providers.base import Outcome, Phase, Scope
from sendctl.providers.http.api import Reply
from sendctl.providers.text import printable
from sendctl.states import AttemptOutcome

LONGEST_WAIT_S = 24 * 3600.0  # whatever a header says: a day later somebody has looked


class Verdict(NamedTuple):
    """What some code of a service means: the outcome, whom it concerns, and the word it is filed under."""

    kind: AttemptOutcome
    scope: Scope
    error_class: str


BAD_KEY = Verdict(AttemptOutcome.HALTED, Scope.PROVIDER, "auth")
SUSPENDED = Verdict(AttemptOutcome.HALTED, Scope.PROVIDER, "suspended")
QUOTA = Verdict(AttemptOutcome.HALTED, Scope.PROVIDER, "quota")
MISUSED = Verdict(AttemptOutcome.HALTED, Scope.PROVIDER, "protocol")  # we are understood to have asked for nonsense
BAD_SENDER = Verdict(AttemptOutcome.HALTED, Scope.CAMPAIGN, "sender")
BAD_RECIPIENT = Verdict(AttemptOutcome.REFUSED, Scope.RECIPIENT, "address")  # in the service's own words: policy.py
BAD_CONTENT = Verdict(AttemptOutcome.REFUSED, Scope.RECIPIENT, "data")
THROTTLED = Verdict(AttemptOutcome.DEFERRED, Scope.PROVIDER, "throttled")
AWAY = Verdict(AttemptOutcome.DEFERRED, Scope.PROVIDER, "unavailable")
UNCLEAR = Verdict(AttemptOutcome.UNKNOWN, Scope.PROVIDER, "no-verdict")


def accepted(reply: Reply, provider_message_id: str) -> Outcome:
    """The service has taken it, under an id of its own."""
    return Outcome(
        AttemptOutcome.ACCEPTED, Phase.REPLIED, code=reply.status, provider_message_id=printable(provider_message_id)
    )


def judged(reply: Reply, verdict: Verdict, text: str = "") -> Outcome:
    """The outcome of a reply that is no acceptance; `text` is what the service said, in its words."""
    return Outcome(
        verdict.kind,
        Phase.DOTTED if verdict.kind is AttemptOutcome.UNKNOWN else Phase.REPLIED,
        verdict.scope,
        code=reply.status,
        text=printable(f"HTTP {reply.status}: {text or reply.shown()}"),
        error_class=verdict.error_class,
        retry_after_s=retry_after_s(reply) if verdict in (THROTTLED, AWAY, QUOTA) else None,
    )


def unrecognised(reply: Reply) -> Outcome:
    """What is left when no code of the service was found in a reply."""
    if reply.status == 429:
        return judged(reply, THROTTLED)
    if 300 <= reply.status < 500 and reply.status not in (303, 408):
        return judged(reply, MISUSED)
    return judged(reply, UNCLEAR)


def of_field(said: str, fields: Mapping[str, Verdict]) -> Verdict:
    """What a refusal means by the field that its words name first, else bad content.

    An address that they quote comes after that, and may have another field's name in it.
    """
    named = [field for field in fields if field in said]
    return fields[min(named, key=said.index)] if named else BAD_CONTENT


def retry_after_s(reply: Reply) -> float | None:
    """Seconds that `Retry-After` asks to wait, in either of its forms (RFC 9110 section 10.2.3)."""
    value = reply.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return min(float(value), LONGEST_WAIT_S)
    return until_s(reply, value)


def until_s(reply: Reply, said: str) -> float | None:
    """Seconds from the reply to a moment such as "Mon, 25 Aug 2025 07:00:31 GMT"; None where it is none."""
    try:
        moment = parsedate_to_datetime(said)
        now = parsedate_to_datetime(reply.headers["date"]) if "date" in reply.headers else datetime.now(UTC)
        return min(max(0.0, (moment - now).total_seconds()), LONGEST_WAIT_S)
    except (TypeError, ValueError, OverflowError):
        return None
