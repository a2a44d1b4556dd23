"""When the messages of a campaign may go: the one place in which a moment is planned.

A moment is wanted by the campaign's file, an order's own time or the message before. What keeps it from being then
(the campaign's window in the person's own time zone) is asked here and nowhere else, for a first message, a later
step, a moved one and one that is due: what is planned in one way cannot be sent in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sendctl.definition import Definition
from sendctl.schedule import next_open


class Slot(NamedTuple):
    """When a message is due, and when it is too late for it (None: never)."""

    due_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Calendar:
    """Plans for one revision of a campaign. Time zones are those of the person; None is the campaign's."""

    definition: Definition

    def opening(self, moment: datetime, timezone: str | None) -> datetime:
        """The first moment at or after `moment` at which the campaign may send to a person there."""
        return next_open(moment, self.definition.window, timezone or self.definition.timezone)

    def slot(self, wanted: datetime, timezone: str | None) -> Slot:
        """The place of a message that is wanted at a moment. It expires so long after it is due, not after that."""
        due_at = self.opening(wanted, timezone)
        return Slot(due_at, self.expiry(due_at))

    def after(
        self, step_index: int, at: datetime, timezone: str | None, *, earliest: datetime | None = None
    ) -> Slot:  # fmt: skip
        """The same for a step whose delay counts from `at`, due at `earliest`."""
        wanted = at + timedelta(seconds=self.definition.step(step_index).after_s)
        return self.slot(max(wanted, earliest or wanted), timezone)

    def expiry(self, due_at: datetime) -> datetime | None:
        """When a message that was due then is too late to send."""
        life_s = self.definition.expires_after_s
        return None if life_s is None else due_at + timedelta(seconds=life_s)
