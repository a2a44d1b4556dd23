"""One request of a service, as its receiver has written it down, and what is left of it when it was opened.

The receiver is trusted with when it came and by which address; what came, only its signature vouches for.
"""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from sendctl.durations import format_duration
from sendctl.providers.events.line import Line, OtherForm


class Refused(ValueError):
    """An envelope that its sender has not signed as it is here, or of which nobody can tell. Never repeats a secret."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Names of headers are in lower case; those without a value are left out. `url` is "" where it was not written."""

    provider: str
    received_at: datetime
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = ""
    method: str = "POST"

    def header(self, name: str) -> str:
        """Raises Refused when the request did not have it."""
        found = self.headers.get(name)
        if not found:
            raise Refused(f"the header {name} is missing: its receiver must write it down")
        return found

    def document(self) -> Any:
        """The body as JSON. Raises OtherForm."""
        try:
            return json.loads(self.body, parse_float=_finite, parse_constant=_finite)
        except (ValueError, RecursionError) as error:
            hint = ": its receiver has not written it down" if not self.body.strip() else ""
            raise OtherForm(f"the body is {'empty' if hint else 'not JSON'}{hint}") from error

    def record(self) -> Mapping[str, Any]:
        """The body as a JSON object. Raises OtherForm."""
        found = self.document()
        if not isinstance(found, dict):
            raise OtherForm("the body is not a JSON object")
        return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no number")
    return number


# When an event that matches nothing is taken for one about somebody else's message, as an account has other users:
# at once where the service repeats our key in each of ours, later where it does not.
OfOthers = Literal["now", "later"]


class Opened(NamedTuple):
    """What an envelope says. `flaw`: what of it could not be read, beside the lines that could; `notice`: for a person.

    `ignored` is how many of its events have no meaning here.
    """

    lines: list[Line]
    of_others: OfOthers = "now"
    ignored: int = 0
    flaw: str = ""
    notice: str = ""


def opened(lines: list[Line], of_others: OfOthers = "now") -> Opened:
    """What one event says: a line, or none where it has no meaning here."""
    return Opened(lines, of_others, ignored=0 if lines else 1)


def same(given: str, wanted: str) -> bool:
    """Whether two signatures or secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def check_fresh(envelope: Envelope, signed: str, within_s: float) -> None:
    """Raises Refused unless `signed`, seconds since 1970, is near the time at which the envelope came.

    Not near now: a spool may be read days later.
    """
    try:
        moment = datetime.fromtimestamp(int(signed), UTC)
    except (ValueError, OverflowError, OSError):
        raise Refused(f"{signed[:40]!r} is no time of a signature") from None
    check_near(envelope, moment, within_s)


def check_near(envelope: Envelope, moment: datetime, within_s: float) -> None:
    """Raises Refused unless the envelope came within so many seconds of the moment of its signature."""
    apart_s = abs((envelope.received_at - moment).total_seconds())
    if apart_s > within_s:
        raise Refused(
            f"signed at {moment.isoformat()} and received at {envelope.received_at.isoformat()}: more than"
            f" {format_duration(within_s)} apart"
        )
