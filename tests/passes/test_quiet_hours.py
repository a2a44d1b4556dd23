"""Quiet hours: nobody's local night, whoever plans; what is planned already learns of them at its claim."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from sendctl.definition import Window
from sendctl.errors import BadInput
from sendctl.passes import enqueue
from sendctl.passes.status import read
from sendctl.settings import LimitsSettings
from sendctl.store import loading
from tests.passes.orders import LINK, as_lines, event, trigger, write_campaign
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, START, STEP, Ground

QUIET = LimitsSettings(quiet=Window(time(21), time(8)))
NIGHT = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
MORNING = datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
LIFE = 'expires_after = "2h"'


def planned(ground: Ground, status: str = "queued") -> list[tuple[str, str]]:
    """(due, expires) of messages, as far as the minute, by UTC."""
    form = "substr({}, 9, 8)" if ground.store.sqlite else "to_char({} AT TIME ZONE 'UTC', 'DD HH24:MI')"
    due, expires = form.format("due_at"), form.format("expires_at")
    sql = f"SELECT {due}, {expires} FROM messages WHERE status = :status ORDER BY id"
    return [(row[0], row[1]) for row in ground.rows(sql, status=status)]


def test_whoever_plans_at_night_plans_for_the_morning_with_its_whole_life(ground: Ground) -> None:
    """A first message, a next step, a step that is re-timed, a removed one, and a retry."""
    ground.limits = QUIET
    ground.clock.now = NIGHT
    ground.enqueue(1, marketing=True, campaign=LIFE, steps=(STEP, DRIP.replace('"3d"', '"14h"')))
    assert planned(ground) == [("03 08:00", "03 10:00")]
    assert ground.clerk().turn([], 10).messages == ()
    ground.clock.now = MORNING + timedelta(hours=1)
    ground.pass_with(ACCEPTED)
    assert planned(ground) == [("04 08:00", "04 10:00")]  # 23:00, which is night
    ground.enqueue(marketing=True, campaign=LIFE, steps=(STEP, DRIP.replace('"3d"', '"13h"')))
    assert planned(ground) == [("04 08:00", "04 10:00")]  # 22:00
    ground.enqueue(
        marketing=True, campaign=LIFE, steps=(STEP, DRIP.replace('"3d"', '"38h"').replace("reminder", "tip"))
    )
    assert planned(ground) == [("05 08:00", "05 10:00")]
    ground.clock.now = MORNING + timedelta(days=2)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    ground.clock.now = datetime(2026, 3, 5, 20, 59, 59, tzinfo=UTC)
    clerk.turn(ground.done(window, DEFERRED), 0)
    assert ground.one("SELECT count(*) FROM messages WHERE status = 'queued'") == 1
    ground.clock.forward(hours=2)
    assert read(ground.context).campaigns[0].next_due_at == MORNING + timedelta(days=3)


def test_quiet_hours_that_are_set_later_reach_what_is_planned_and_nothing_expires_in_them(ground: Ground) -> None:
    """Planned for half past ten at night with two hours to live: it lives until ten in the morning."""
    ground.enqueue(2, marketing=True, at=NIGHT, campaign=LIFE)
    ground.enqueue(1, name="receipt", at=NIGHT, campaign=LIFE)  # transactional: exempt
    ground.close()
    ground.limits = QUIET
    ground.clock.now = NIGHT + timedelta(minutes=5)
    assert len(ground.clerk("receipt").turn([], 10).messages) == 1
    assert ground.clerk("sale").turn([], 10).messages == ()
    assert planned(ground) == [("03 08:00", "03 10:00")] * 2
    (held,) = read(ground.context, "sale").campaigns[0].held
    assert (held.why, held.number, held.first_at) == ("quiet_hours", 2, MORNING)
    assert held.example == "held by quiet hours (21:00-08:00) until 2026-03-03 08:00Z"
    ground.clock.now = MORNING + timedelta(minutes=1)
    assert len(ground.clerk("sale").turn([], 1).messages) == 1
    ground.clock.now = MORNING + timedelta(hours=2)
    ground.clerk("sale").turn([], 10)
    assert ground.states() == {"sending": 1, "expired": 1}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_pass_that_was_away_all_night_expires_nobody_for_the_night(ground: Ground) -> None:
    ground.enqueue(1, marketing=True, at=NIGHT, campaign=LIFE)
    ground.close()
    ground.limits = QUIET
    ground.clock.now = MORNING + timedelta(minutes=30)
    assert len(ground.clerk().turn([], 10).messages) == 1


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_an_order_of_the_night_is_asked_about_in_the_persons_morning(ground: Ground) -> None:
    ground.limits = QUIET
    path = write_campaign(ground, rest=trigger(delay='"12h"'), campaign=f"{LINK}\n{LIFE}", marketing=True)
    events = ground.folder / "events.jsonl"
    events.write_text(as_lines([event(at="2026-03-02T12:00:00Z")]))
    enqueue.run(ground.context, path, orders=events)
    assert planned(ground) == [("03 08:00", "03 10:00")]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_window_that_is_all_quiet_is_refused_and_one_that_becomes_so_is_said(ground: Ground) -> None:
    ground.limits = QUIET
    with pytest.raises(BadInput, match=r"campaign.toml:6:10: the whole window lies in the quiet hours"):
        ground.enqueue(1, marketing=True, campaign='window = "22:00-07:00"')
    assert ground.one("SELECT count(*) FROM campaigns") == 0
    ground.enqueue(1, campaign='window = "22:00-07:00"')
    ground.close()
    ground.limits = LimitsSettings()
    ground.enqueue(1, name="night", marketing=True, campaign='window = "22:00-07:00"')
    ground.close()
    ground.limits = QUIET
    ground.clock.now = START + timedelta(days=1)
    window = ground.clerk("night").turn([], 10)
    assert (window.messages, window.wait_s) == ((), None)
    assert window.blocked == "campaign night: its window lies in the quiet hours of [limits]"


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_letter_whose_window_is_all_quiet_is_refused_and_stays_as_it_was(ground: Ground) -> None:
    ground.limits = QUIET
    marketing = 'purpose = "marketing"\nunsubscribe_url = "https://x.example/{{ token }}"'
    with pytest.raises(BadInput, match=r"note.toml:\d+:\d+: the whole window lies in the quiet hours") as caught:
        ground.letter(more=f'{marketing}\nwindow = "22:00-07:00"')
    assert caught.value.exit_code == 65
    assert ground.one("SELECT count(*) FROM campaigns") == 0
    ground.letter(more=f'{marketing}\nwindow = "20:00-07:00"')
    before = ground.dump()
    with pytest.raises(BadInput, match="the whole window lies in the quiet hours"):
        ground.letter(more=f'{marketing}\nwindow = "22:00-07:00"')
    assert ground.dump() == before
    ground.letter("receipt", more='window = "22:00-07:00"')  # what is transactional has no quiet hours


def test_a_load_that_lasts_into_the_night_plans_for_everybodys_own_morning(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned at its end, which is night in London and evening in New York."""
    ground.limits = QUIET
    ground.clock.now = datetime(2026, 3, 2, 20, 30, tzinfo=UTC)
    load = loading.load_chunk

    def slowly(*arguments: Any) -> None:
        load(*arguments)
        ground.clock.forward(hours=1)

    monkeypatch.setattr(loading, "load_chunk", slowly)
    contacts = (
        "email,first_name,timezone\na@x.example,A,Europe/London\nb@x.example,B,America/New_York\nc@x.example,C,\n"
    )
    ground.enqueue(contacts=contacts, marketing=True, campaign=LIFE)
    assert planned(ground) == [("03 08:00", "03 10:00"), ("02 21:30", "02 23:30"), ("03 08:00", "03 10:00")]
    scheduled = ground.rows("SELECT e.next_scheduled_at = m.due_at FROM enrollments e JOIN messages m"
                            " ON m.enrollment_id = e.id")  # fmt: skip
    assert all(row[0] for row in scheduled)
