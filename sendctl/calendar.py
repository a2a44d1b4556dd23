"""When the messages of a campaign may go: the one place in which a moment is planned.

A moment is wanted by the campaign's file, an order's own time or the message before. What keeps it from being then
(the campaign's window and this host's quiet hours, in the person's own time zone) is asked here and nowhere else, for
a first message, a later step, a moved one and one that is due: what is planned in one way cannot be sent in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sendctl.definition import Definition, Window
from sendctl.schedule import meet, next_open

_ROUNDS = 8  # window and quiet hours agree at the second; more is a day whose clocks change


class Slot(NamedTuple):
    """When a message is due, and when it is too late for it (None: never)."""

    due_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Calendar:
    """Plans for one revision of a campaign. Time zones are those of the person; None is the campaign's."""

    definition: Definition
    quiet: Window | None = None  # hours of a person's day in which nobody gets marketing

    @property
    def calm(self) -> Window | None:
        """The hours outside of the quiet ones; None where the campaign has no quiet hours."""
        if self.quiet is None or self.definition.purpose != "marketing":
            return None
        return Window(self.quiet.end, self.quiet.start)

    @property
    def is_bounded(self) -> bool:
        """Whether there is any moment at which it may not send."""
        return self.definition.window is not None or self.calm is not None

    @property
    def never_opens(self) -> bool:
        """Whether the whole window of the campaign lies in the quiet hours."""
        window, calm = self.definition.window, self.calm
        return window is not None and calm is not None and not meet(window, calm)

    def opening(self, moment: datetime, timezone: str | None) -> datetime:
        """The first moment at or after `moment` at which the campaign may send to a person there."""
        zone = timezone or self.definition.timezone
        for _ in range(1 if self.never_opens else _ROUNDS):
            in_window = next_open(moment, self.definition.window, zone)
            moment = next_open(in_window, self.calm, zone)
            if moment == in_window:
                break
        return moment

    def is_quiet(self, moment: datetime, timezone: str | None) -> bool:
        """Whether a moment lies in somebody's quiet hours."""
        return next_open(moment, self.calm, timezone or self.definition.timezone) > moment

    def slot(self, wanted: datetime, timezone: str | None) -> Slot:
        """The place of a message that is wanted at a moment. It expires so long after it is due, not after that."""
        due_at = self.opening(wanted, timezone)
        return Slot(due_at, self.expiry(due_at))

    def kept(self, due_at: datetime, expires_at: datetime | None, timezone: str | None) -> Slot:
        """The place of a message that was planned before: at its moment, unless that is closed by now.

        What has to wait for that does not expire for it.
        """
        opened = self.opening(due_at, timezone)
        return Slot(opened, None if expires_at is None else expires_at + (opened - due_at))

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
