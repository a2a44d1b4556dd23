"""What must be true, in plain Python: who is planned, who may be sent to, who may get a second copy, and why.

Compares the relay's record with the ledger. Takes nothing from sendctl but the rows of its tables and the words of
its states.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.stateful.relay import Accepted, Slot
from tests.store.ground import Ground

DAY_S = 86400.0
_LEDGER = """
SELECT c.name, m.step_index, m.recipient_key, m.status, m.last_error, e.status AS enrollment,
       (SELECT count(*) FROM replayed_keys k WHERE k.provider_key = m.provider_key) AS remembered,
       (SELECT count(*) FROM attempts a WHERE a.message_id = m.id AND a.outcome = 'accepted') AS accepted,
       (SELECT count(*) FROM attempts a WHERE a.message_id = m.id AND a.outcome = 'abandoned') AS abandoned,
       (SELECT count(*) FROM attempts a WHERE a.message_id = m.id AND a.outcome IN ('unknown', 'open')) AS undecided
FROM messages m JOIN campaigns c ON c.id = m.campaign_id JOIN enrollments e ON e.id = m.enrollment_id"""
ENDS = ("sent", "failed", "suppressed", "cancelled", "expired", "in_doubt")


class Entry(NamedTuple):
    """What the ledger says of one message; the numbers count its attempts."""

    status: str
    reason: str | None
    enrollment: str
    remembered: int
    accepted: int
    abandoned: int
    undecided: int

    @property
    def accounted(self) -> int:
        """How many copies the ledger knows of, or holds for possible."""
        return self.remembered + self.accepted + self.abandoned + self.undecided


Ledger = Mapping[Slot, Entry]


def ledger_of(ground: Ground) -> dict[Slot, Entry]:
    """Every planned message."""
    return {
        Slot(name, step, person): Entry(status, reason, enrollment, *counts)
        for name, step, person, status, reason, enrollment, *counts in ground.rows(_LEDGER)
    }


@dataclass
class Planned:
    """What the operator has told the store so far: an older backup takes it back to an older one of these."""

    enrolled: dict[str, set[str]] = field(default_factory=dict)
    suppressed: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)

    def copied(self) -> Planned:
        return copy.deepcopy(self)

    def as_well_as(self, other: Planned) -> Planned:
        """What was closed at both moments."""
        return Planned({}, self.suppressed & other.suppressed, self.paused & other.paused,
                       self.cancelled & other.cancelled)  # fmt: skip


@dataclass
class Oracle:
    """`trusted` is False from the moment when an older store is put back until a pass has found nothing to refuse."""

    planned: Planned = field(default_factory=Planned)
    licensed: Counter[Slot] = field(default_factory=Counter)
    ever_suppressed: set[str] = field(default_factory=set)
    ever_cancelled: set[str] = field(default_factory=set)
    trusted: bool = True

    # -- decisions ------------------------------------------------------------------------------------------------

    def resent(self, before: Ledger, after: Ledger, accepted: Counter[Slot]) -> list[Slot]:
        """What is queued again by a decision and not by proof: it was in doubt, or was given up in doubt.

        What was decided on before and has not been accepted since needs no second decision.
        """
        found = []
        for slot, entry in after.items():
            was = before.get(slot)
            if was is None or entry.status != "queued":
                continue
            used_up = accepted[slot] > self.licensed[slot]
            if entry.abandoned > was.abandoned or (was.status == "failed" and entry.abandoned and used_up):
                found.append(slot)
        return found

    def note_resent(self, slots: Collection[Slot], *, allowed: Collection[str]) -> None:
        """One more copy may come of each; `allowed` are the campaigns that were decided on."""
        for slot in slots:
            assert slot.campaign in allowed, f"nobody decided to send {slot} again"
            self.licensed[slot] += 1

    def gave_up_journals(self, after: Ledger, accepted: Counter[Slot]) -> None:
        """A host was given up whose journals are gone: whom it reached since the backup may be reached once more."""
        for slot in accepted:
            if slot not in after or after[slot].status != "sent":
                self.licensed[slot] += 1

    # -- what must hold after everything ------------------------------------------------------------------------------

    def check_record(self, record: list[Accepted]) -> None:
        """Nobody was sent to twice, nor to a later step before its time."""
        for slot, copies in Counter(one.slot for one in record).items():
            assert copies <= 1 + self.licensed[slot], f"{slot} was accepted {copies} times"
        first = {one.slot: one.at_s for one in reversed(record)}
        for slot, at_s in first.items():
            before = slot._replace(step=slot.step - 1)
            assert at_s >= first.get(before, float("-inf")) + DAY_S, f"{slot} left too early"

    def check_ledger(self, ledger: Ledger, accepted: Counter[Slot]) -> None:
        """Everybody is planned, and the ledger accounts for each copy that was accepted; unless it has forgotten."""
        for name, people in self.planned.enrolled.items():
            listed = {slot.person for slot in ledger if slot.campaign == name and slot.step == 0}
            assert listed == people, f"{name} has planned {listed}, and not {people}"
        if not self.trusted:
            return
        for slot, entry in ledger.items():
            assert entry.status != "sent" or accepted[slot], f"{slot} counts as sent, and nobody accepted it"
            known = entry.accounted + self.licensed[slot]
            assert accepted[slot] <= known, f"{slot} was accepted, and is {entry.status}"
            if slot.campaign == "course" and slot.step == 0 and entry.status == "sent":
                follows = slot._replace(step=1) in ledger or entry.enrollment in ("stopped", "cancelled")
                assert follows, f"the step after {slot} was never planned"

    def check_new(self, new: list[Accepted], planned: Planned) -> None:
        """Whom a pass may reach that began when this was planned."""
        for one in new:
            assert one.slot.person not in planned.suppressed, f"{one.slot} was sent to, and was suppressed"
            closed = planned.paused | planned.cancelled
            assert one.slot.campaign not in closed, f"{one.slot} was sent, and its campaign had been stopped"

    # -- the end ------------------------------------------------------------------------------------------------------

    def check_end(self, ledger: Ledger, accepted: Counter[Slot]) -> None:
        """Everybody got exactly one message, or is listed with the reason."""
        for slot, entry in ledger.items():
            assert entry.status in ENDS, f"in the end {slot} is {entry.status}"
            chosen = entry.abandoned or entry.remembered or self.licensed[slot]
            match entry.status:
                case "sent":
                    held = accepted[slot] == 1 or chosen
                case "in_doubt":
                    held = entry.undecided == 1 and bool(entry.reason)
                case "failed":
                    held = bool(entry.reason) and (not accepted[slot] or chosen)
                case "suppressed":
                    held = slot.person in self.ever_suppressed and (not accepted[slot] or chosen)
                case "cancelled":
                    held = slot.campaign in self.ever_cancelled and (not accepted[slot] or chosen)
                case _:
                    held = slot.campaign == "course" and (not accepted[slot] or chosen)
            assert held, f"in the end {slot} is {entry}, and was accepted {accepted[slot]} times"
