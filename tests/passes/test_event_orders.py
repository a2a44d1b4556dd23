"""Whatever the order in which events come, however often, in whatever pieces: the end is the same."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendctl.inputs.events import Event, open_events
from sendctl.passes.claiming import Window
from sendctl.passes.deciding import Desk
from sendctl.passes.events import apply, catch_up, sweep
from sendctl.providers.base import Outcome
from tests.passes.test_ingest import REMINDER, address, message_of, write
from tests.store.ground import ACCEPTED, DRIP, STEP, UNKNOWN, Ground

EXAMPLES = {"sqlite": 60, "postgres": 25}
KINDS = ("delivered", "opened", "clicked", "submitted", "bounced", "complained", "unsubscribed", "deferred")


def laid(ground: Ground) -> Window:
    """Four people in two campaigns: one was sent, one is in doubt, one in flight, one waits; then all once more."""
    stop = '[stop]\non = ["clicked"]\n'
    ground.enqueue(4, steps=(STEP, REMINDER), rest=stop)
    for outcome in (ACCEPTED, UNKNOWN):
        ground.pass_with(outcome, limit=1)
    flying = ground.clerk().turn([], 1)
    ground.enqueue(2, name="other", steps=(STEP, DRIP))
    clerk = ground.clerk("other")
    clerk.turn(ground.done(clerk.turn([], 9), ACCEPTED), 0)
    return flying


def lines(ground: Ground) -> list[dict[str, Any]]:
    """Every event that there can be here, by message, token and person, with and without an id."""
    found: list[dict[str, Any]] = []
    tokens = {row[0]: row[1] for row in ground.rows(
        "SELECT c.address_key, e.token FROM enrollments e JOIN contacts c ON c.id = e.contact_id"
        " JOIN campaigns a ON a.id = e.campaign_id WHERE a.name = 'sale'")}  # fmt: skip
    for place, kind in enumerate(KINDS):
        for number in range(1, 5):
            at = f"2026-03-02T{10 + place}:{10 * number}:00Z"
            whom = [{"message_id": message_of(ground, "sale", number)}, {"token": tokens[address(number)]}]
            if number <= 2:
                whom.append({"campaign": "other", "email": address(number)})
            found += [{"type": kind, "occurred_at": at} | one for one in whom]
            found.append({"type": kind, "occurred_at": at.replace(":00Z", ":30Z"), "id": f"{kind}{number}"} | whom[0])
    return found


def parsed(ground: Ground, every: list[dict[str, Any]]) -> list[Event]:
    with open_events(write(ground.folder / "events.jsonl", *every)) as file:
        rows = [row for row in file.rows() if isinstance(row, Event)]
    assert len(rows) == len(every)
    return rows


def end(ground: Ground) -> dict[str, Any]:
    """What must not depend on the order. Of what was never tried: only that it does not wait."""
    return {
        "tried": [tuple(row) for row in ground.rows(
            "SELECT id, status FROM messages WHERE composed_at IS NOT NULL ORDER BY id")],
        "waiting": [tuple(row) for row in ground.rows(
            "SELECT enrollment_id, step_index FROM messages WHERE status = 'queued' ORDER BY enrollment_id")],
        "enrollments": [tuple(row) for row in ground.rows(
            "SELECT id, status, ended_for FROM enrollments ORDER BY id")],
        "suppressions": [tuple(row) for row in ground.rows(
            "SELECT address_key, reason FROM suppressions ORDER BY address_key")],
        "events": [(row[0], str(row[1]), json.loads(row[2])) for row in ground.rows(
            "SELECT dedup_key, occurred_at, detail FROM events ORDER BY dedup_key")],
    }  # fmt: skip


def test_who_wants_nothing_more_waits_for_nothing_after_a_late_proof(ground: Ground) -> None:
    """They said so in another campaign, while nobody knew whether the message had been accepted."""
    laid(ground)
    desk = Desk(ground.context)
    fact = {"occurred_at": "2026-03-02T12:00:00Z", "campaign": "other", "email": address(2), "type": "unsubscribed"}
    proof = {"occurred_at": "2026-03-02T11:00:00Z", "message_id": message_of(ground, "sale", 2), "type": "delivered"}
    for event in parsed(ground, [fact, proof]):
        with desk.transaction() as connection:
            apply(desk, connection, [event])
    (found,) = (row for row in end(ground)["enrollments"] if row[0] == 2)
    assert found == (2, "stopped", "suppressed")


def test_the_end_is_the_same_whatever_the_order(ground: Ground) -> None:
    flying = laid(ground)
    every = parsed(ground, lines(ground))
    before = ground.backup()

    def ended(batches: list[list[int]], place: int, outcome: Outcome) -> dict[str, Any]:
        """The end after these batches; the message in flight gets its outcome before the batch at `place`."""
        ground.put_back(before)
        desk = Desk(ground.context)
        for number, batch in enumerate([*batches, []]):
            if number == min(place, len(batches)):
                ground.clerk().turn(ground.done(flying, outcome), 0)
            with desk.transaction() as connection:
                apply(desk, connection, [every[index] for index in batch])
        catch_up(desk)
        sweep(desk)
        assert not catch_up(desk).changed
        assert ground.violations() == []
        return end(ground)

    @settings(
        max_examples=EXAMPLES["sqlite" if ground.store.sqlite else "postgres"],
        suppress_health_check=[HealthCheck.too_slow], print_blob=True,
    )  # fmt: skip
    @given(st.data())
    def same(data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.integers(0, len(every) - 1), min_size=1, max_size=8, unique=True))
        repeats = data.draw(st.lists(st.sampled_from(chosen), max_size=4))
        order = data.draw(st.permutations([*chosen, *repeats]))
        cuts = data.draw(st.lists(st.integers(0, len(order)), max_size=3))
        edges = [0, *sorted(cuts), len(order)]
        batches = [order[begin:stop] for begin, stop in itertools.pairwise(edges)]
        outcome = data.draw(st.sampled_from([ACCEPTED, UNKNOWN]))
        place = data.draw(st.integers(0, len(batches)))
        assert ended(batches, place, outcome) == ended([[index] for index in sorted(chosen)], 0, outcome)

    same()
    ground.put_back(before)
