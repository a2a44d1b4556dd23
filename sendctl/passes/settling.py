"""Settling doubt by whatever proves it: the same again under its key, the service itself, the log of one's own MTA."""

from __future__ import annotations

from collections.abc import Sequence

from sendctl.passes import asking, evidence, key_replay
from sendctl.passes.context import Context
from sendctl.passes.evidence import Evidence
from sendctl.store.doubts import Doubt


def settle(context: Context, doubts: Sequence[Doubt], *, again: bool = True, because: str = "") -> Evidence:
    """Record what can be proven, and say what cannot. Without `again` nothing is sent again under its key.

    `because` of what: that is said of each that could be. Nothing is, of what nobody wants sent any more.
    """
    keyed, others = evidence.by_key(context, doubts)
    proof = key_replay.settle(context, keyed) if again else Evidence()
    if because:
        key_replay.leave(keyed, because, proof)
    proof.keyed |= {doubt.held for doubt in keyed}
    asked, left = asking.ask(context, others, record=True)
    proof.add(asked)
    logged = evidence.of_logs(context, left)
    evidence.record(context, logged)
    proof.add(logged)
    return proof


def look_up(context: Context, doubts: Sequence[Doubt]) -> Evidence:
    """What could be proven now. Writes and sends nothing."""
    keyed, others = evidence.by_key(context, doubts)
    proof, left = asking.ask(context, others, record=False)
    proof.add(key_replay.foresee(context, keyed))
    proof.add(evidence.of_logs(context, left))
    return proof
