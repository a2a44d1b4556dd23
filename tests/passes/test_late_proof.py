"""Doubt that is proven later is dated at the acceptance, and all that counts from that follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sendctl.durations import Rate
from sendctl.passes import accounts, importing
from sendctl.settings import AccountTable, LimitsSettings
from sendctl.store.tables import attempts, messages
from tests.passes.test_ingest import fact, ingest
from tests.store.ground import ACCEPTED, DRIP, START, STEP, UNKNOWN, Ground

BEGUN = START + timedelta(seconds=1)  # by the window after the enqueue
TEN_DAYS = timedelta(days=10)


def moments(ground: Ground, column: sa.Column[Any] = messages.c.sent_at) -> list[datetime | None]:
    """A column of the messages of the first campaign, in the order of their steps."""
    with ground.store.read() as connection:
        chosen = sa.select(column).where(messages.c.campaign_id == 1).order_by(messages.c.step_index)
        return list(connection.execute(chosen).scalars())


def proven(ground: Ground, kind: str, occurred_at: datetime) -> None:
    number = ground.one("SELECT min(id) FROM messages")
    event = fact(kind, message_id=number) | {"occurred_at": occurred_at.isoformat()}
    assert ingest(ground, event).applied.proven == 1


@pytest.mark.parametrize(
    ("kind", "occurred_at", "sent_at"),
    [
        ("accepted", BEGUN + timedelta(seconds=20), BEGUN + timedelta(seconds=20)),
        ("delivered", BEGUN + timedelta(minutes=3), BEGUN + timedelta(minutes=3)),
        ("clicked", START + timedelta(days=9), BEGUN),  # it says only that it was accepted before
        ("delivered", START - timedelta(hours=1), BEGUN),  # by a clock that is slow
        ("delivered", START + timedelta(days=400), BEGUN + TEN_DAYS),  # by one that is fast: not in the future
    ],
)
def test_the_next_step_counts_from_the_acceptance_and_not_from_its_proof(
    ground: Ground, kind: str, occurred_at: datetime, sent_at: datetime
) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.pass_with(UNKNOWN)
    ground.clock.forward(days=10)
    proven(ground, kind, occurred_at)
    assert moments(ground)[0] == sent_at
    assert moments(ground, messages.c.due_at)[1] == sent_at + timedelta(days=3)
    with ground.store.read() as connection:
        assert connection.execute(sa.select(attempts.c.finished_at)).scalar_one() == sent_at


def test_of_what_events_say_of_the_acceptance_the_earliest_counts(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(UNKNOWN)
    ground.clock.forward(days=1)
    number = ground.one("SELECT id FROM messages")
    said = [("opened", 5), ("delivered", 90), ("accepted", 30)]
    ingest(ground, *(fact(kind, message_id=number) | {"occurred_at": (BEGUN + timedelta(seconds=s)).isoformat()}
                     for kind, s in said))  # fmt: skip
    assert moments(ground) == [BEGUN + timedelta(seconds=30)]


def test_what_was_accepted_in_a_month_is_not_used_up_in_the_next(ground: Ground) -> None:
    ground.accounts["shop"] = AccountTable("shop", 2, "month")
    ground.clock.now = datetime(2026, 3, 31, 23, 50, tzinfo=UTC)
    ground.enqueue(1, name="march", campaign='account = "shop"')
    ground.pass_with(UNKNOWN)
    ground.clock.forward(hours=1)
    ground.enqueue(2, name="april", campaign='account = "shop"')
    proven(ground, "delivered", datetime(2026, 3, 31, 23, 51, tzinfo=UTC))
    (shop,) = accounts.read(ground.context)
    assert (shop.consumed, shop.reserved, shop.left) == (0, 2, 0)


def test_a_cap_counts_it_when_it_was_received(ground: Ground) -> None:
    ground.limits = LimitsSettings(per_person=Rate(1, 86400))
    ground.enqueue(1, name="first", marketing=True)
    ground.pass_with(UNKNOWN)
    ground.clock.forward(days=2)
    proven(ground, "opened", ground.clock.now)
    ground.enqueue(1, name="second", marketing=True)
    assert len(ground.clerk("second").turn([], 10).messages) == 1


def test_a_reply_that_comes_after_its_claim_is_dated_when_it_came(ground: Ground) -> None:
    """The claim expired, another host doubted the message, and the first process records its reply in the end."""
    ground.enqueue(1, steps=(STEP, DRIP))
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    ground.clock.forward(seconds=20)
    done = ground.done(window, ACCEPTED)  # at this moment
    ground.clock.forward(hours=2)
    other = ground.other_host()
    importing.expire_foreign(other.context)
    assert ground.states() == {"in_doubt": 1}
    clerk.turn(done, 0)
    assert moments(ground)[0] == BEGUN + timedelta(seconds=20)
    assert moments(ground, messages.c.due_at)[1] == BEGUN + timedelta(seconds=20, days=3)
    other.close()
