"""A changed file says other hours, another lifetime, another start: what that means for who waits, and the numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sendctl.durations import Rate
from sendctl.settings import LimitsSettings
from sendctl.store.tables import messages
from tests.passes.test_revising import FIRST, reminder, sent, step
from tests.store.ground import ACCEPTED, DEFERRED, START, Ground

TIPS = step("tips", "2d")
BERLIN = 'timezone = "Europe/Berlin"'


def queued(ground: Ground) -> list[tuple[datetime, datetime | None]]:
    """(due, too late) of what waits."""
    with ground.store.read() as connection:
        statement = sa.select(messages.c.due_at, messages.c.expires_at).where(messages.c.status == "queued")
        return [(row[0], row[1]) for row in connection.execute(statement.order_by(messages.c.id))]


def noted(ground: Ground, words: str, **campaign: Any) -> None:
    """Enqueue a changed file, of which the dry run says just what is done."""
    before = ground.dump()
    told = ground.enqueue(dry_run=True, **campaign).notes
    assert {name: rows for name, rows in ground.dump().items() if name != "id_blocks"} == {
        name: rows for name, rows in before.items() if name != "id_blocks"
    }
    assert words in told
    assert words in ground.enqueue(**campaign).notes
    assert ground.violations() == []


@pytest.mark.parametrize(
    ("before", "after", "said", "lives"),
    [
        ("30d", "1h", "expires_after is 1h instead of 30d: also for 2 people under way", timedelta(hours=1)),
        ("1h", "30d", "expires_after is 30d instead of 1h: also for 2 people under way", timedelta(days=30)),
        ("1h", None, "expires_after is never instead of 1h: also for 2 people under way", None),
        (None, "1h", "expires_after is 1h instead of never: also for 2 people under way", timedelta(hours=1)),
    ],
)
def test_another_lifetime_counts_for_who_waits_from_when_they_are_due(
    ground: Ground, before: str | None, after: str | None, said: str, lives: timedelta | None
) -> None:
    def life(text: str | None) -> str:
        return f'expires_after = "{text}"' if text else ""

    ground.enqueue(2, steps=(FIRST, TIPS), campaign=life(before))
    ground.pass_with(ACCEPTED, limit=1)
    noted(ground, said, steps=(FIRST, TIPS), campaign=life(after))
    assert [lives and due_at + lives for due_at, _ in queued(ground)] == [late for _, late in queued(ground)]
    assert len(queued(ground)) == 2


def test_what_would_have_expired_by_the_old_file_is_sent_by_the_new_one(ground: Ground) -> None:
    ground.enqueue(1, campaign='expires_after = "1h"')
    ground.clock.forward(days=2)
    ground.enqueue(campaign='expires_after = "30d"')
    ground.send_due()
    assert ground.states() == {"sent": 1}


def test_who_is_held_for_longer_than_a_shorter_lifetime_expires_in_time(ground: Ground) -> None:
    ground.limits = LimitsSettings(per_person=Rate(1, 7 * 86400))
    ground.enqueue(1, name="first", marketing=True)
    ground.pass_with(ACCEPTED)
    ground.enqueue(1, marketing=True)
    assert ground.clerk().turn([], 10).messages == ()  # held for a week
    ground.enqueue(marketing=True, campaign='expires_after = "1d"')
    ground.clock.forward(days=1)
    ground.clerk().turn([], 10)
    assert ground.states() == {"expired": 1}


def test_other_hours_move_who_waits_as_if_the_file_had_always_said_so(ground: Ground) -> None:
    """At nine: the first message of one, the second of the other, which is wanted at nine in two days."""
    ground.enqueue(1, steps=(FIRST, TIPS), campaign=f'window = "08:00-18:00"\n{BERLIN}')
    ground.pass_with(ACCEPTED)
    ground.enqueue(1, first=2, steps=(FIRST, TIPS), campaign=f'window = "08:00-18:00"\n{BERLIN}',
                   at=START + timedelta(days=1))  # fmt: skip
    said = (
        "window is 14:00-18:00 instead of 08:00-18:00: another moment for 2 people under way; who is due already, or"
        " was tried, waits at most for an opening"
    )
    noted(ground, said, steps=(FIRST, TIPS), campaign=f'window = "14:00-18:00"\n{BERLIN}')
    assert [due for due, _ in queued(ground)] == [
        datetime(2026, 3, 4, 13, tzinfo=UTC), datetime(2026, 3, 3, 13, tzinfo=UTC),
    ]  # fmt: skip
    said = said.replace("14:00-18:00 instead of 08:00-18:00", "the whole day instead of 14:00-18:00")
    noted(ground, said.replace("2 people", "1 person"), steps=(FIRST, TIPS), campaign=BERLIN)
    # The second message goes back to its own moment; what the first of the other was wanted for is not known any more.
    due = [due for due, _ in queued(ground)]
    assert due[1] == datetime(2026, 3, 3, 13, tzinfo=UTC)
    assert due[0] - START < timedelta(days=2, seconds=10)


def test_another_zone_of_the_campaign_moves_who_has_none_of_their_own(ground: Ground) -> None:
    hours = 'window = "08:00-10:00"\n'
    rows = "email,first_name,timezone\na@x.example,A,\nb@x.example,B,Asia/Tokyo\n"
    ground.enqueue(contacts=rows, campaign=f"{hours}{BERLIN}", at=START + timedelta(days=1))  # nine UTC: too late there
    said = (
        "timezone is America/New_York instead of Europe/Berlin: another moment for 1 person under way; who is due"
        " already, or was tried, waits at most for an opening"
    )
    noted(ground, said, campaign=f'{hours}timezone = "America/New_York"')
    assert [due for due, _ in queued(ground)] == [
        datetime(2026, 3, 4, 13, tzinfo=UTC), datetime(2026, 3, 3, 23, tzinfo=UTC),
    ]  # fmt: skip


def test_other_hours_leave_what_is_due_or_was_tried_to_its_claim(ground: Ground) -> None:
    ground.enqueue(2)
    ground.pass_with(DEFERRED, limit=1)
    before = queued(ground)
    ground.enqueue(campaign='window = "14:00-18:00"')
    assert queued(ground) == before
    ground.clock.forward(hours=4, minutes=55)
    ground.send_due()
    assert ground.states() == {"queued": 2}
    ground.clock.forward(minutes=6)
    ground.send_due()
    assert ground.states() == {"sent": 2}


def test_another_start_is_one_for_those_who_are_added(ground: Ground) -> None:
    ground.enqueue(1, campaign="start_at = 2026-04-01T00:00:00Z")
    said = (
        "start_at is 2026-03-10 00:00Z instead of 2026-04-01 00:00Z: for people who are added from now on; not for"
        " 1 person at the first step (`sendctl reschedule` moves them as long as nothing was tried)"
    )
    noted(ground, said, campaign="start_at = 2026-03-10T00:00:00Z")
    ground.enqueue(2, campaign="start_at = 2026-03-10T00:00:00Z")
    assert [due.day for due, _ in queued(ground)] == [1, 10]


def test_another_kind_and_more_reminders_are_said_and_move_nobody(ground: Ground) -> None:
    nudge = reminder("nudge", "1d", repeat=2)
    ground.enqueue(1, steps=(FIRST, nudge))
    ground.send_due()
    before = queued(ground)
    said = "step nudge comes 3 times at most instead of 2: for 1 person still at it"
    noted(ground, said, steps=(FIRST, reminder("nudge", "1d", repeat=3)))
    assert queued(ground) == before
    said = "step nudge is a drip instead of a reminder: from now on, also for 1 person at it, whom that does not move"
    noted(ground, said, steps=(FIRST, step("nudge", "1d")))
    assert queued(ground) == before
    for _ in range(6):
        ground.clock.forward(days=1, minutes=1)
        ground.send_due()
    assert sent(ground) == ["welcome", "nudge"]
