"""Order events: one enrollment for each eligible item, nothing twice, and no message about what was sent back."""

from __future__ import annotations

import json
import multiprocessing
import random
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendctl.errors import BadInput, UsageError
from sendctl.passes import control, enqueue, ordering
from tests.passes.judge import Judge
from tests.passes.orders import (
    AGAIN,
    DAY,
    LINK,
    STEP,
    TRIGGER,
    Event,
    as_lines,
    event,
    item,
    load,
    trigger,
    write_campaign,
)
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, START, UNKNOWN, UNTOUCHED, Ground, contacts_file, lay

LATER, LATEST, BEFORE = "2026-03-02T10:00:00Z", "2026-03-03T10:00:00Z", "2026-02-20T10:00:00Z"
REFUND = "order.refunded"


def subjects(ground: Ground) -> dict[str, str]:
    """What is about to be sent: the state of each subject's first message."""
    rows = ground.rows(
        "SELECT e.subject_key, m.status FROM enrollments e JOIN messages m ON m.enrollment_id = e.id AND step_index = 0"
    )
    return {row[0]: row[1] for row in rows}


def ended(ground: Ground) -> dict[str, tuple[str, str | None]]:
    """Status and reason of each enrollment."""
    return {row[0]: (row[1], row[2]) for row in ground.rows("SELECT subject_key, status, ended_for FROM enrollments")}


def test_each_eligible_item_is_one_enrollment_with_its_own_token(ground: Ground) -> None:
    report = load(ground, event(1, [item(1), item(2), item(3, "packed")]), event(2), event(3, type_="order.paid"))
    assert (report.rows, report.eligible, report.enrolled, report.contacts) == (3, 3, 3, 2)
    assert report.not_eligible == {"other type": 1, "where": 1}
    assert subjects(ground) == {"1/1": "queued", "1/2": "queued", "2/1": "queued"}
    tokens = [row[0] for row in ground.rows("SELECT token FROM enrollments")]
    assert len(set(tokens)) == 3
    assert {len(token) for token in tokens} == {32}
    assert ground.one("SELECT count(DISTINCT provider_key) FROM messages") == 3
    assert ground.one("SELECT attributes FROM contacts WHERE address_key = 'person1@x.example'") == json.dumps(
        {"email": "Person1@x.example", "name": "Person 1", "vip": True}, separators=(",", ":")
    )


def test_the_message_shows_order_item_and_contact(ground: Ground, judge: Judge) -> None:
    load(ground, event(1, [item(1), item(2)]))
    ground.clock.forward(days=8)
    ground.send_due()
    texts = sorted(message.content.decode().replace("=\r\n", "") for message in judge.delivered)
    tokens = {row[0]: row[1] for row in ground.rows("SELECT subject_key, token FROM enrollments")}
    for number, text in enumerate(texts, start=1):
        assert f"Subject: How is Lamp {number}?" in text
        assert f"Dear Person 1, order 1: Lamp {number} https://shop.example/r/{tokens[f'1/{number}']}" in text
    ground.clock.forward(days=4)
    ground.send_due()
    assert len(judge.delivered) == 4
    assert ground.states() == {"sent": 4}


def test_a_message_is_due_after_the_events_own_time_in_the_persons_hours(ground: Ground) -> None:
    lisbon = event(1)
    lisbon["order"]["customer"]["timezone"] = "Europe/Lisbon"
    campaign = f'{LINK}\nwindow = "12:00-20:00"\ntimezone = "America/New_York"\nexpires_after = "1d"'
    report = load(ground, lisbon, event(2), campaign=campaign)
    rows = ground.rows("SELECT recipient_key, due_at, expires_at FROM messages ORDER BY recipient_key")
    dues = [str(row[1])[:16] for row in rows]
    assert dues == ["2026-03-08 12:00", "2026-03-08 16:00"]  # summer time begins on that day in New York
    assert [str(row[2])[:16] for row in rows] == ["2026-03-09 12:00", "2026-03-09 16:00"]
    assert report.first_due_at == datetime(2026, 3, 8, 12, tzinfo=UTC)


def test_nothing_is_due_before_the_campaigns_start(ground: Ground) -> None:
    report = load(ground, event(1), campaign=f"{LINK}\nstart_at = 2026-06-01T08:00:00Z")
    assert report.first_due_at == datetime(2026, 6, 1, 8, tzinfo=UTC)


def test_a_replayed_or_repeated_event_adds_nothing(ground: Ground) -> None:
    first = event(1, [item(1), item(2)])
    assert load(ground, first, first).not_eligible == {"repeated": 2}
    before = {name: rows for name, rows in ground.dump().items() if name not in ("audit", "id_blocks")}
    again = load(ground, event(1, [item(1), item(2)], at=LATER), first)
    assert (again.enrolled, again.known) == (0, 2)
    assert again.not_eligible == {"known": 2, "repeated": 2}
    assert {name: rows for name, rows in ground.dump().items() if name not in ("audit", "id_blocks")} == before
    assert load(ground, event(1, [item(1)], email="new@x.example")).enrolled == 0  # another address, the same subject


def test_repetitions_are_found_across_chunks_and_files(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "CHUNK_ROWS", 2)
    events = [event(number) for number in range(1, 8)]
    report = load(ground, *events, *events[:3])
    assert (report.enrolled, report.not_eligible) == (7, {"repeated": 3})
    assert load(ground, *reversed(events)).not_eligible == {"known": 7}


def enqueue_here(url: str, folder: str, journal: str) -> None:
    """In another process: load the orders."""
    ground = Ground(Path(folder), url, journal=journal)
    enqueue.run(ground.context, Path(folder) / "campaign.toml", orders=Path(folder) / "orders.jsonl")
    ground.close()


def test_two_commands_at_the_same_time_enroll_each_item_once(ground: Ground) -> None:
    write_campaign(ground)
    (ground.folder / "orders.jsonl").write_text(as_lines(event(number) for number in range(1, 400)))
    ground.close()
    spawn = multiprocessing.get_context("spawn")
    commands = [
        spawn.Process(target=enqueue_here, args=(ground.url, str(ground.folder), f"journal{number}"))
        for number in range(2)
    ]
    for command in commands:
        command.start()
    for command in commands:
        command.join(60)
        assert command.exitcode == 0
    assert ground.states() == {"queued": 399}
    assert ground.one("SELECT count(DISTINCT subject_key) FROM enrollments") == 399


def test_a_command_waits_for_one_that_loads_and_then_finds_all_known(ground: Ground) -> None:
    load(ground, event(9))
    path, file = ground.folder / "campaign.toml", ground.folder / "both.jsonl"
    file.write_text(as_lines(event(number) for number in range(1, 5)))
    other, reports = ground.other_host(), list[enqueue.EnqueueReport]()
    second = Thread(target=lambda: reports.append(enqueue.run(other.context, path, orders=file)))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    def begin_the_second() -> None:
        second.start()
        while not ground.store.sqlite and second.is_alive() and not ground.one(waiting):
            pass  # SQLite has one writer: there is nothing to wait for

    with ground.once_after("FROM subjects", begin_the_second):
        report = enqueue.run(ground.context, path, orders=file)
    second.join(60)
    other.close()
    assert (report.enrolled, report.not_eligible) == (4, {})
    assert [(one.enrolled, one.not_eligible) for one in reports] == [(0, {"known": 4})]


# -- what ends an order --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [event(1, type_=REFUND, at=LATER), event(1, [item(1, "returned")], at=LATER)],
    ids=["cancel_on", "not eligible any more"],
)
def test_an_order_that_ends_before_the_send_is_not_written_about(ground: Ground, judge: Judge, ending: Event) -> None:
    load(ground, event(1), event(2))
    report = load(ground, ending)
    assert report.stopped == {ending["type"]: 1}
    assert subjects(ground) == {"1/1": "cancelled", "2/1": "queued"}
    assert ended(ground) == {"1/1": ("stopped", ending["type"]), "2/1": ("active", None)}
    ground.clock.forward(days=30)
    ground.send_due()
    assert judge.people() == ["Person2"]
    assert load(ground, event(1, at=LATEST)).not_eligible == {"known": 1}
    assert subjects(ground)["1/1"] == "cancelled"


def test_an_ending_that_comes_in_before_its_order_still_counts(ground: Ground) -> None:
    load(ground, event(1, type_=REFUND, at=LATER))
    report = load(ground, event(1), event(2))
    assert (report.enrolled, report.not_eligible) == (1, {"stopped by order.refunded": 1})
    assert subjects(ground) == {"2/1": "queued"}
    assert load(ground, event(1, at=LATEST)).enrolled == 0


def test_an_ending_from_before_the_order_does_not_count(ground: Ground) -> None:
    load(ground, event(1), event(2, [item(1, "packed")], at=BEFORE), event(3, type_=REFUND, at=BEFORE))
    report = load(ground, event(1, [item(1, "packed")], at=BEFORE), event(2), event(3))
    assert report.stopped == {}
    assert subjects(ground) == {"1/1": "queued", "2/1": "queued", "3/1": "queued"}


def test_the_same_event_under_another_where_ends_nothing(ground: Ground) -> None:
    load(ground, event(1, total=60))
    report = load(ground, event(1, total=60), rest=trigger(where='"order.total > 100"'))
    assert (report.not_eligible, report.stopped) == ({"where": 1}, {})
    assert subjects(ground) == {"1/1": "queued"}


def test_what_is_in_flight_stays_and_later_steps_are_not_sent(ground: Ground, judge: Judge) -> None:
    load(ground, event(1), event(2), event(3))
    ground.clock.forward(days=8)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    endings = [event(number, type_=REFUND, at=LATER) for number in (1, 2, 3)]
    assert load(ground, *endings).stopped == {REFUND: 3}
    assert ground.states() == {"sending": 3}
    clerk.turn(ground.done(window, ACCEPTED, DEFERRED, UNTOUCHED), 0)
    ground.clock.forward(days=8)
    assert ground.violations() == []
    ground.send_due()
    assert judge.delivered == []
    assert ground.states() == {"sent": 1, "cancelled": 2}


def test_a_failed_message_of_an_order_that_ended_is_not_retried(ground: Ground, judge: Judge) -> None:
    load(ground, event(1))
    ground.clock.forward(days=8)
    ground.pass_with(REFUSED)
    load(ground, event(1, type_=REFUND, at=LATER))
    assert ended(ground) == {"1/1": ("stopped", REFUND)}
    assert ground.recover(failed=True).retried == 0
    assert ground.violations() == []
    ground.send_due()
    assert judge.delivered == []
    assert ground.states() == {"failed": 1}


def test_an_order_is_not_ended_after_its_last_step(ground: Ground) -> None:
    load(ground, event(1), steps=(STEP,))
    ground.clock.forward(days=8)
    ground.pass_with(ACCEPTED)
    assert load(ground, event(1, type_=REFUND, at=LATER), steps=(STEP,)).stopped == {}
    assert ended(ground) == {"1/1": ("completed", None)}


def test_a_campaign_whose_last_messages_were_stopped_is_over(ground: Ground) -> None:
    load(ground, event(1))
    load(ground, event(1, type_="order.cancelled", at=LATER))
    assert ground.one("SELECT status FROM campaigns") == "completed"
    load(ground, event(2))
    assert ground.one("SELECT status FROM campaigns") == "running"


def test_a_cancellation_ends_each_item_that_it_lists(ground: Ground) -> None:
    load(ground, event(1, [item(1), item(2), item(3)]))
    load(ground, event(1, [item(1), item(3, "packed")], type_=REFUND, at=LATER))
    assert subjects(ground) == {"1/1": "cancelled", "1/2": "queued", "1/3": "cancelled"}


WHOLE = event(1, [], type_=REFUND, at=LATER)
OTHERS = (event(11, at=DAY), event(2, [item(1), item(2)], at=DAY))  # the key of one begins as that of order 1 does
JOINED = '"{{ order.id }}{{ item.id }}"'


@pytest.mark.parametrize("key", [TRIGGER["key"], JOINED])
@pytest.mark.parametrize("place", range(4))
def test_a_refund_that_lists_nothing_ends_the_whole_order_whichever_comes_first(
    ground: Ground, key: str, place: int
) -> None:
    arrivals = [event(1, [item(1)], at=DAY), event(1, [item(2), item(3, "packed")], at=DAY), *OTHERS]
    arrivals.insert(place, WHOLE)
    for start in range(0, 5, 2):
        load(ground, *arrivals[start : start + 2], rest=trigger(key=key))
    ground.clock.forward(days=30)
    sent = ground.clerk().turn([], 10).messages
    assert sorted(one.due.recipient for one in sent) == ["Person11@x.example"] + ["Person2@x.example"] * 2
    assert {reason for status, reason in ended(ground).values() if status == "stopped"} <= {REFUND}
    report = load(ground, event(1, [item(4)], at=LATEST), WHOLE, rest=trigger(key=key))
    assert (report.enrolled, report.not_eligible, report.stopped) == (1, {"no entries": 1}, {})  # ordered anew


@pytest.mark.parametrize(
    ("key", "order"),
    [('"{{ item.id }}"', {"id": 1}), ('"o-{{ item.id }}"', {"id": 1}), (TRIGGER["key"], {"id": None}),
     ('"{% if order.id %}{{ item.id }}{% endif %}"', {"id": 1})],
)  # fmt: skip
def test_a_refund_that_lists_nothing_of_an_order_that_cannot_be_told_is_a_bad_line(
    ground: Ground, key: str, order: Event
) -> None:
    load(ground, event(1), rest=trigger(key=key))
    before = ground.dump()
    with pytest.raises(BadInput, match=r"orders\.jsonl:1:order\.items: order\.refunded lists nothing, and what is of"):
        load(ground, WHOLE | {"order": {"items": [], **order}}, rest=trigger(key=key))
    assert ground.dump() == before


def test_a_refund_that_stops_nothing_says_why(ground: Ground) -> None:
    refund = event(1, [item(1), item(2)], type_=REFUND, at=LATER)
    report = load(ground, refund)
    assert (report.stopped, report.not_stopped) == ({}, {"not enrolled": 2})
    load(ground, event(2, [item(1)]), event(3))
    report = load(ground, event(2, type_=REFUND, at=BEFORE), event(3, type_=REFUND, at=LATER))
    assert (report.stopped, report.not_stopped) == ({REFUND: 1}, {"from before its order": 1})
    report = load(ground, event(3, type_=REFUND, at=LATEST), refund)
    assert (report.stopped, report.not_stopped) == ({}, {"not enrolled": 2, "over before": 1})


def test_an_update_that_lists_an_item_no_longer_leaves_it(ground: Ground) -> None:
    load(ground, event(1, [item(1), item(2)]))
    report = load(ground, event(1, [item(1)], at=LATER), event(1, [], at=LATER))
    assert (report.not_eligible, report.stopped) == ({"known": 1, "no entries": 1}, {})
    assert subjects(ground) == {"1/1": "queued", "1/2": "queued"}


def test_an_earlier_event_that_comes_in_late_makes_it_due_earlier(ground: Ground) -> None:
    load(ground, event(1, at=LATER), event(2, at=LATER))
    ground.change("UPDATE messages SET attempts = 0")
    load(ground, event(1, at=DAY), event(1, at=LATEST))
    dues = ground.rows(
        "SELECT e.subject_key, m.due_at, m.next_attempt_at, e.next_scheduled_at FROM messages m"
        " JOIN enrollments e ON e.id = m.enrollment_id ORDER BY e.subject_key"
    )
    assert [[str(moment)[:10] for moment in row[1:]] for row in dues] == [["2026-03-08"] * 3, ["2026-03-09"] * 3]


def test_a_refund_of_a_whole_order_of_which_nothing_is_found_says_so(ground: Ground) -> None:
    keys = {"rest": trigger(key='"{{ order.customer.email }}/{{ item.id }}"')}
    load(ground, event(1, email="a@x.example"), **keys)
    refund = event(1, [], type_=REFUND, at=LATER, email="b@x.example")
    report = load(ground, refund, **keys)
    assert (report.stopped, report.not_stopped) == ({}, {"not enrolled": 1})
    report = load(ground, event(1, at=DAY, email="b@x.example"), **keys)
    assert (report.enrolled, report.not_eligible) == (0, {f"stopped by {REFUND}": 1})  # it is remembered
    report = load(ground, event(1, [], type_=REFUND, at=LATER, email="a@x.example"), **keys)
    assert (report.stopped, report.not_stopped) == ({REFUND: 1}, {})


def test_a_dry_run_says_whom_changed_terms_reach(ground: Ground) -> None:
    load(ground, event(1), event(2))
    ground.clock.now = datetime(2026, 3, 9, 10, tzinfo=UTC)
    ground.pass_with(UNKNOWN, limit=1)
    changed = {"campaign": f'{LINK}\nin_doubt = "skip"\nproviders = ["fallback"]', "rest": trigger(delay='"14d"')}
    report = load(ground, dry_run=True, **changed)
    assert report.notes[:3] == [
        "delay of [trigger]: for the orders to come; not for 2 people under way",
        "in_doubt is skip instead of hold: also for 1 message in doubt now",
        "providers is fallback instead of those of [send]: also for 1 message queued, from the next pass on",
    ]


def test_a_dry_run_says_that_changed_ends_are_for_those_under_way_too(ground: Ground) -> None:
    few = trigger(cancel_on=f'["{REFUND}"]')
    load(ground, event(1), event(2), rest=few)
    more = trigger(where="\"item.status == 'delivered' and order.id > 1\"", delay='"14d"', phone='"{{ order.phone }}"')
    report = load(ground, dry_run=True, rest=more)
    assert report.notes[:2] == [
        "phone, delay of [trigger]: for the orders to come; not for 2 people under way",
        "where, cancel_on of [trigger]: for the events to come, also about 2 people under way",
    ]
    report = load(ground, event(1, at=LATER), event(2, type_="order.cancelled", at=LATER), rest=more)
    assert report.stopped == {"order.cancelled": 1, "order.delivered": 1}


def test_a_file_that_leaves_doubt_and_providers_counts_no_messages(ground: Ground) -> None:
    load(ground, event(1))
    counts: list[str] = []

    def note(_connection: object, _cursor: object, sql: str, *_rest: object) -> None:
        counts.extend([sql] if "GROUP BY messages.status" in sql else [])

    sa.event.listen(ground.store.engine, "before_cursor_execute", note)
    try:
        load(ground, dry_run=True, rest=trigger(delay='"14d"'))
        assert counts == []
        load(ground, dry_run=True, campaign=f'{LINK}\nin_doubt = "skip"')
        assert len(counts) == 1
    finally:
        sa.event.remove(ground.store.engine, "before_cursor_execute", note)


def due(ground: Ground) -> str:
    (row,) = ground.rows("SELECT m.due_at, e.next_scheduled_at FROM messages m JOIN enrollments e"
                         " ON e.id = m.enrollment_id")  # fmt: skip
    assert row[0] == row[1]
    return str(row[0])[:16]


def test_an_earlier_event_never_makes_it_later_whatever_the_delay_is_now(ground: Ground) -> None:
    load(ground, event(1, at="2026-03-01T10:00:00Z"))
    load(ground, event(1, at="2026-03-01T09:00:00Z"), rest=trigger(delay='"14d"'))
    assert due(ground) == "2026-03-08 10:00"
    load(ground, event(1, at="2026-03-01T08:00:00Z"), rest=trigger(delay='"7d"'))
    assert due(ground) == "2026-03-08 08:00"


def test_an_earlier_event_is_planned_in_the_zone_that_was_frozen(ground: Ground) -> None:
    def order(zone: str, at: str) -> Event:
        made = event(1, at=at)
        made["order"]["customer"]["timezone"] = zone
        return made

    hours = {"campaign": f'{LINK}\nwindow = "08:00-20:00"'}
    load(ground, order("Europe/Berlin", "2026-03-01T10:00:00Z"), **hours)
    load(ground, order("Pacific/Auckland", "2026-03-01T09:30:00Z"), **hours)  # at night there
    assert due(ground) == "2026-03-08 09:30"


STORY = (
    event(1, [item(1), item(2)], at=DAY), event(1, [item(1, "returned"), item(2)], at=LATER),
    event(1, [item(2)], type_=REFUND, at=BEFORE), event(2, at=LATER), event(2, at=LATEST),
    event(2, type_=REFUND, at=LATER), event(3, at=LATEST), event(3, type_="order.cancelled", at=DAY),
    event(3, at=DAY), event(4, at=DAY), event(4, at=LATER), event(4, [item(1, "packed")], at=DAY),
)  # fmt: skip


def end_of(folder: Path, arrivals: Sequence[Sequence[Event]]) -> object:
    """What is planned in the end on a new store, when the events came in so."""
    ground = lay(folder, f"sqlite:///{folder / 'store.db'}")
    found = loaded_into(ground, "sale", arrivals)
    assert ground.violations() == []
    ground.close()
    return found


def loaded_into(ground: Ground, name: str, arrivals: Sequence[Sequence[Event]]) -> object:
    """The same of one campaign."""
    for some in arrivals:
        load(ground, *some, name=name)
    rows = ground.rows(
        "SELECT e.subject_key, m.due_at, m.recipient_key FROM messages m JOIN enrollments e ON e.id = m.enrollment_id"
        " JOIN campaigns c ON c.id = m.campaign_id WHERE m.status = 'queued' AND c.name = :name ORDER BY e.subject_key",
        name=name,
    )
    known = ground.rows(
        "SELECT subject_key, eligible_at, stopped_at, stop_type FROM subjects JOIN campaigns c ON c.id = campaign_id"
        " WHERE c.name = :name ORDER BY subject_key",
        name=name,
    )
    return [tuple(row) for row in rows], [tuple(row) for row in known]


def test_events_in_any_order_have_one_end_on_each_database(ground: Ground) -> None:
    planned = loaded_into(ground, "sale", [STORY])
    for seed in range(8):
        chance = random.Random(seed)
        order = chance.sample([*STORY, *STORY[:3]], len(STORY) + 3)
        cut = chance.randrange(len(order))
        assert loaded_into(ground, f"sale-{seed}", [order[:cut], order[cut:]]) == planned


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_one_set_of_events_has_one_end_in_whatever_order_and_however_often(data: st.DataObject) -> None:
    order = data.draw(st.permutations([*STORY, *data.draw(st.lists(st.sampled_from(STORY), max_size=4))]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1), max_size=5)))
    arrivals = [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a").mkdir()
        (Path(folder) / "b").mkdir()
        planned = end_of(Path(folder) / "a", arrivals)
        assert planned == end_of(Path(folder) / "b", [STORY])
        assert [row[0] for row in planned[0]] == ["1/2", "4/1"]  # type: ignore[index]


# -- what cannot be used -------------------------------------------------------------------------------------------

BROKEN = '{"id": "evt-9", "type": "order.delivered", "occurred_at": "yesterday", "order": {}}'


def without(name: str) -> Event:
    found = event(5)
    del found["order"]["customer"][name]
    return found


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (BROKEN, r"orders\.jsonl:2:occurred_at: must be a time with its offset"),
        (without("name"), r"orders\.jsonl:2: the template uses contact\.name, which this order lacks"),
        (without("email"), r"orders\.jsonl:2: email, line 1: order\.customer\.email is undefined"),
        (event(5, email="nobody"), r"orders\.jsonl:2:email: "),
        (event(5, [{"id": 1, "name": "Lamp"}]), r"orders\.jsonl:2: where: `item\.status` is undefined"),
        (event(5, [{"name": "Lamp", "status": "delivered"}]), r"orders\.jsonl:2: key, line 1: item\.id is undefined"),
        ({**event(5), "order": {"id": 5, "items": "none"}}, r"orders\.jsonl:2: order\.items is no list"),
        (event(5, type_=REFUND, items=None, at=LATER) | {"order": {"id": 5}}, r"orders\.jsonl:2: order\.items is no l"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_and_nothing_is_written_or_it_is_skipped(
    ground: Ground, bad: Event | str, reason: str
) -> None:
    before = ground.dump()
    with pytest.raises(BadInput, match=reason):
        load(ground, event(1), bad, event(2))
    assert ground.dump() == before
    kept = ground.folder / "bad.jsonl"
    report = load(ground, event(1), bad, event(2), skip_bad=kept)
    assert (report.rows, report.skipped, report.enrolled) == (2, 1, 2)
    assert json.loads(kept.read_text())["sendctl_line"] == 2
    with pytest.raises(BadInput, match=reason.replace("jsonl:2", "jsonl:1")):
        load(ground, bad, skip_bad=ground.folder / "bad2.jsonl")


@pytest.mark.parametrize(
    ("rest", "steps", "reason"),
    [
        (trigger(where='"order.total >"'), (STEP,), r"campaign\.toml:\d+:9: where: unexpected end of input"),
        (trigger(where='"order.total|nope > 1"'), (STEP,), r"where: filter nope is unknown"),
        (trigger(where='"ordr.total > 1"'), (STEP,), r"campaign\.toml:\d+:9: where uses ordr\.total: it sees"),
        (trigger(key='"{{ order.id"'), (STEP,), r"campaign\.toml:\d+:7: \[trigger\]: key, line 1: "),
        (trigger(key='"{{ contact.id }}"'), (STEP,), r"key uses contact\.id"),
        (trigger(each=None, where=None), (STEP,), r"key uses item\.id: `item` needs `each`"),
        (trigger(each=None, where=None, key='"{{ order.id }}"'), (STEP,), r"use item\.name, and \[trigger\] has no `e"),
        (trigger(), (STEP.replace("item.name", "itm.name"),), r"the templates use itm\.name, which does not exist"),
    ],
)  # fmt: skip
def test_what_is_wrong_for_every_order_is_the_campaigns_fault(
    ground: Ground, rest: str, steps: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(BadInput, match=reason) as caught:
        load(ground, event(1), rest=rest, steps=steps, skip_bad=ground.folder / "bad.jsonl")
    assert "campaign.toml" in caught.value.place
    assert ground.one("SELECT count(*) FROM campaigns") == 0
    assert not (ground.folder / "bad.jsonl").exists()


def test_people_come_from_contacts_or_from_orders(ground: Ground) -> None:
    path = write_campaign(ground)
    rows = ground.folder / "contacts.csv"
    rows.write_text(contacts_file(1, 2))
    with pytest.raises(UsageError, match=r"has a \[trigger\]: its people come from order events"):
        enqueue.run(ground.context, path, contacts=rows)
    with pytest.raises(UsageError, match="exclude each other"):
        enqueue.run(ground.context, path, contacts=rows, orders=rows)
    with pytest.raises(UsageError, match=r"has no \[trigger\]"):
        load(ground, event(1), rest="")
    write_campaign(ground)
    with pytest.raises(UsageError, match="orders are due by their own time"):
        enqueue.run(ground.context, path, orders=rows, at=START)
    load(ground, event(1))
    with pytest.raises(BadInput, match=r"campaign sale was enqueued with a \[trigger\]"):
        ground.enqueue(2)
    ground.enqueue(2, name="other")
    with pytest.raises(BadInput, match=r"campaign other was enqueued without a \[trigger\]"):
        load(ground, event(1), name="other")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"key": '"{{ order.id }}-{{ item.id }}"'}, r"campaign\.toml:\d+:7: campaign sale was enqueued with key = "),
        ({"each": '"order_items"'}, r"campaign\.toml:\d+:8: campaign sale was enqueued with each = 'items'"),
        ({"each": None, "where": None, "key": '"{{ order.id }}"'}, r"campaign\.toml:\d+:7: campaign sale was enqu"),
    ],
)
def test_what_names_the_subjects_of_a_campaign_cannot_change(
    ground: Ground, changed: dict[str, str | None], problem: str
) -> None:
    load(ground, event(1))
    before = ground.dump()
    steps = (STEP.replace("item.name", "order.id"), AGAIN.replace("item.name", "order.id"))
    for arrival in (event(1), event(1, type_=REFUND, at=LATER)):
        with pytest.raises(BadInput, match=problem) as caught:
            load(ground, arrival, rest=trigger(**changed), steps=steps)
        assert "give the campaign another name" in caught.value.hint
    assert ground.dump() == before
    assert load(ground, event(1, type_=REFUND, at=LATER), rest=trigger(delay='"8d"', where=None)).stopped == {REFUND: 1}


def test_changed_templates_are_checked_against_the_orders_that_wait(ground: Ground) -> None:
    load(ground, event(1))
    with pytest.raises(BadInput, match=r"item\.colour, which person1@x\.example, already enrolled, lacks"):
        load(ground, event(2, [item(1, colour="red")]), steps=(STEP.replace("item.name", "item.colour"), AGAIN))
    report = load(ground, steps=(STEP.replace("item.name", "item.id"), AGAIN))
    assert report.revision == 2
    assert report.warnings == [f"{ground.folder / 'orders.jsonl'} has no events: nobody was added to campaign sale"]


def test_a_dry_run_counts_and_writes_nothing(ground: Ground) -> None:
    load(ground, event(1))
    before = ground.dump()
    report = load(ground, event(2), event(1, type_=REFUND, at=LATER), dry_run=True)
    assert (report.enrolled, report.stopped) == (1, {REFUND: 1})
    assert ground.dump() == before


def test_a_cancelled_campaign_takes_no_orders(ground: Ground) -> None:
    load(ground, event(1))
    control.cancel(ground.context, "sale")
    with pytest.raises(UsageError, match="campaign sale is cancelled"):
        load(ground, event(2))
