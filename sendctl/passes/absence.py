"""Whether it proves anything that a provider does not have a message it is asked for.

Of a file it does, while nobody has touched it. What a service is asked of lags behind what it takes, for how long
none of them says: nothing is proven, unless an operator has said it (`absent_after_s`, docs/adr/0014).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sendctl.durations import format_duration
from sendctl.passes.context import Context
from sendctl.providers.base import Lookup, ProvesAbsence
from sendctl.providers.facts import retention_s
from sendctl.store.doubts import Doubt

_ALIVE = "does not have it, but its run may still be alive"
_PUT_BACK = (
    "does not have it, which proves nothing: the store was put back to before the contents that were sent, by which"
    " it may have had another Message-ID"
)


def unproven(context: Context, doubt: Doubt, provider: Lookup, now: datetime) -> str:
    """Why it proves nothing that `provider` has none, as what follows its name; "" if it proves it. Raises OSError."""
    if not isinstance(provider, ProvesAbsence):
        return _unproven_of_service(context, doubt, now)
    if doubt.host_id != context.home.host_id:  # a file of that name there is another one
        return "does not have it, but another host handed it over: reconcile there"
    if doubt.evidence == "claim_expired":
        return _ALIVE
    if doubt.revision is None:
        return _PUT_BACK
    reason = provider.absence_unproven(doubt.handed_over_at)
    return f"does not have it, which proves nothing: {reason}" if reason else ""


def may_be_proven(context: Context, doubt: Doubt, now: datetime) -> bool:
    """Whether time alone brings the proof: until then no policy decides."""
    after_s = _absent_after_s(context, doubt)
    never = doubt.evidence == "claim_expired" or doubt.revision is None
    return after_s is not None and not never and _left_s(doubt, after_s, now) > 0


def _unproven_of_service(context: Context, doubt: Doubt, now: datetime) -> str:
    after_s = _absent_after_s(context, doubt)
    if after_s is None:  # who reads a mail may also delete it
        return "does not have it, or has it no more"
    if doubt.evidence == "claim_expired":
        return _ALIVE
    if doubt.revision is None:
        return _PUT_BACK
    kept_s = retention_s(context.settings.providers[doubt.provider].type)
    if now - doubt.first_at >= timedelta(seconds=kept_s):
        return f"does not have it, and need not keep any for more than {format_duration(kept_s)}"
    if (left_s := _left_s(doubt, after_s, now)) > 0:
        return f"does not have it yet: that counts in {format_duration(max(1.0, left_s))} (absent_after_s)"
    return ""


def _absent_after_s(context: Context, doubt: Doubt) -> float | None:
    table = context.settings.providers.get(doubt.provider)
    after_s = table.options.get("absent_after_s") if table is not None else None
    return float(after_s) if isinstance(after_s, int | float) else None


def _left_s(doubt: Doubt, after_s: float, now: datetime) -> float:
    """From when it became a doubt: its last byte had left by then, or never will."""
    return (doubt.since + timedelta(seconds=after_s) - now).total_seconds()
