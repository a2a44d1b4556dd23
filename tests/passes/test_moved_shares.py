"""What is moved keeps its share of its account within a period, and asks for one in another: by one rule for all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sendctl.errors import AllowanceExceeded
from sendctl.passes import accounts, rescheduling
from sendctl.settings import AccountTable
from tests.passes.orders import LINK, event, load, trigger
from tests.store.ground import ACCEPTED, DRIP, START, STEP, Ground

SHOP = 'account = "shop"'
APRIL = datetime(2026, 4, 2, tzinfo=UTC)


@pytest.fixture
def shop(ground: Ground) -> Ground:
    """Two messages a month."""
    ground.accounts["shop"] = AccountTable("shop", 2, "month")
    return ground


def state(ground: Ground) -> tuple[int, int, int, int, int]:
    """(sent, reserved, left, later, waiting) of the first account."""
    one = accounts.read(ground.context)[0]
    return one.consumed, one.reserved, one.left, one.later, one.waiting


def reschedule(ground: Ground, at: datetime, name: str = "sale") -> None:
    rescheduling.run(ground.context, name, lambda _definition, _now: at)


def test_who_is_moved_within_the_period_keeps_what_was_promised(shop: Ground) -> None:
    shop.enqueue(2, campaign=SHOP, at=START + timedelta(days=2))
    reschedule(shop, START + timedelta(days=2, hours=1))
    assert state(shop) == (0, 2, 0, 0, 0)
    with pytest.raises(AllowanceExceeded):
        shop.enqueue(1, first=3, name="next", campaign=SHOP)
    shop.clock.forward(days=3)
    shop.send_due()
    assert shop.states() == {"sent": 2}


def test_who_is_moved_into_another_period_gives_the_share_back_and_gets_one_there(shop: Ground) -> None:
    shop.enqueue(1, campaign=SHOP, at=START + timedelta(days=2))
    shop.enqueue(1, first=2, name="april", campaign=SHOP, at=APRIL)
    reschedule(shop, APRIL)
    assert state(shop) == (0, 0, 2, 1, 1)
    accounts.share_out(shop.context)
    assert state(shop) == (0, 0, 2, 2, 0)
    reschedule(shop, APRIL + timedelta(days=1), name="april")  # April is full: its own share stays good
    assert state(shop) == (0, 0, 2, 2, 0)


def test_credits_have_no_periods(ground: Ground) -> None:
    ground.accounts["agency"] = AccountTable("agency")
    accounts.grant(ground.context, "agency", 1, "invoice")
    ground.enqueue(1, campaign='account = "agency"', at=APRIL)
    reschedule(ground, APRIL + timedelta(days=400))
    assert state(ground) == (0, 1, 0, 0, 0)


def test_a_step_that_is_retimed_keeps_its_share_within_the_period(shop: Ground) -> None:
    shop.enqueue(1, campaign=SHOP, steps=(STEP, DRIP))
    shop.pass_with(ACCEPTED)
    accounts.share_out(shop.context)
    assert state(shop) == (1, 1, 0, 0, 0)
    shop.enqueue(campaign=SHOP, steps=(STEP, DRIP.replace('"3d"', '"4d"')))
    assert state(shop) == (1, 1, 0, 0, 0)
    shop.enqueue(campaign=SHOP, steps=(STEP, DRIP.replace('"3d"', '"40d"')))
    assert state(shop) == (1, 0, 1, 0, 1)


def test_what_has_no_share_has_none_at_another_time_and_is_asked_for_anew(shop: Ground) -> None:
    shop.enqueue(1, campaign=SHOP, steps=(STEP, DRIP))
    shop.enqueue(1, first=2, name="full", campaign=SHOP)
    shop.send_due()
    assert state(shop) == (2, 0, 0, 0, 1)
    shop.enqueue(campaign=SHOP, steps=(STEP, DRIP.replace('"3d"', '"40d"')))
    assert state(shop) == (2, 0, 0, 0, 1)
    shop.send_due()  # asked at once, not when it is due: April has room
    assert state(shop) == (2, 0, 0, 1, 0)


def test_an_earlier_event_does_not_overdraw_the_period_into_which_it_moves_a_message(shop: Ground) -> None:
    orders = {"campaign": f"{LINK}\n{SHOP}", "rest": trigger(delay='"30d"')}
    load(shop, event(at="2026-03-02T08:00:00Z"), **orders)  # due on 1 April
    shop.enqueue(2, name="full", campaign=SHOP)
    assert state(shop) == (0, 2, 0, 1, 0)
    load(shop, event(at="2026-02-20T08:00:00Z"), **orders)  # due on 22 March
    assert state(shop) == (0, 2, 0, 0, 1)
    shop.clock.now = datetime(2026, 3, 22, 9, tzinfo=UTC)
    shop.send_due()
    assert (state(shop), shop.states()) == ((2, 0, 0, 0, 1), {"queued": 1})
    shop.clock.now = datetime(2026, 4, 1, 0, 1, tzinfo=UTC)
    shop.send_due()
    assert (state(shop), shop.states()) == ((1, 1, 0, 0, 0), {"queued": 1, "sent": 1})


def test_an_earlier_event_within_the_period_keeps_the_share(shop: Ground) -> None:
    orders = {"campaign": f"{LINK}\n{SHOP}"}
    load(shop, event(at="2026-03-02T08:00:00Z"), **orders)
    shop.enqueue(1, name="full", campaign=SHOP)
    load(shop, event(at="2026-03-01T08:00:00Z"), **orders)
    assert state(shop) == (0, 2, 0, 0, 0)


def test_a_host_that_does_not_know_the_account_leaves_its_shares_to_one_that_does(shop: Ground) -> None:
    shop.enqueue(1, campaign=SHOP, at=START + timedelta(days=2))
    other = shop.other_host()
    other.accounts = {}
    reschedule(other, START + timedelta(days=3))
    other.close()
    assert state(shop) == (0, 0, 2, 0, 1)
    accounts.share_out(shop.context)
    assert state(shop) == (0, 1, 1, 0, 0)
