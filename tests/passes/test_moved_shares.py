"""What is moved keeps its share of its account within a period, and asks for one in another: by one rule for all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from sendctl.errors import AllowanceExceeded
from sendctl.passes import accounts, ingest, rescheduling
from sendctl.settings import AccountTable
from tests.passes.orders import LINK, event, load, trigger
from tests.store.ground import ACCEPTED, DRIP, START, STEP, UNKNOWN, Ground

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
    assert state(shop) == (1, 0, 1, 1, 0)


def test_what_has_no_share_has_none_at_another_time_and_is_asked_for_anew(shop: Ground) -> None:
    shop.enqueue(1, campaign=SHOP, steps=(STEP, DRIP))
    shop.enqueue(1, first=2, name="full", campaign=SHOP)
    shop.send_due()
    assert state(shop) == (2, 0, 0, 0, 1)
    shop.enqueue(campaign=SHOP, steps=(STEP, DRIP.replace('"3d"', '"40d"')))  # April has room
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


def test_a_later_campaign_never_takes_what_was_moved_to_a_time_that_has_room(shop: Ground) -> None:
    shop.enqueue(2, campaign=SHOP, at=APRIL)
    reschedule(shop, START + timedelta(days=3))
    assert state(shop) == (0, 2, 0, 0, 0)  # at once: no pass has anything to do before that
    with pytest.raises(AllowanceExceeded, match=r"0 of 2 messages a month left in 2026-03 \(0 sent, 2 reserved\)"):
        shop.enqueue(1, first=3, name="late", campaign=SHOP)


def test_who_waits_is_served_before_what_an_enqueue_plans(shop: Ground) -> None:
    """Also where something has left them waiting: a host that does not know the account, or a command that died."""
    shop.enqueue(2, campaign=SHOP, at=APRIL)
    other = shop.other_host()
    other.accounts = {}
    reschedule(other, START + timedelta(days=3))
    other.close()
    assert state(shop) == (0, 0, 2, 0, 2)
    with pytest.raises(AllowanceExceeded, match="1 too many"):
        shop.enqueue(1, first=3, name="late", campaign=SHOP)
    shop.enqueue(name="late", campaign=SHOP)  # it plans nobody, and serves those who wait
    assert state(shop) == (0, 2, 0, 0, 0)


def test_who_goes_on_with_the_step_after_one_that_is_removed_has_a_share_at_once(shop: Ground) -> None:
    later = DRIP.replace("reminder", "last")
    shop.enqueue(1, campaign=SHOP, steps=(STEP, DRIP, later))
    shop.send_due()
    assert state(shop) == (1, 1, 0, 0, 0)
    shop.enqueue(campaign=SHOP, steps=(STEP, later))
    assert state(shop) == (1, 1, 0, 0, 0)


def test_who_asks_in_vain_is_told_so_by_the_command_that_moved_them(shop: Ground) -> None:
    shop.enqueue(2, campaign=SHOP, at=APRIL)
    shop.enqueue(1, first=3, name="march", campaign=SHOP)
    reschedule(shop, START + timedelta(days=3))
    assert state(shop) == (0, 2, 0, 0, 1)
    assert shop.rows("SELECT last_error FROM messages WHERE error_class = 'allowance'") == [
        ("nothing left of 2 messages a month of account shop in 2026-03",)
    ]


def test_the_next_step_of_what_an_event_proves_has_its_share_at_once(shop: Ground) -> None:
    shop.enqueue(1, campaign=SHOP, steps=(STEP, DRIP))
    shop.pass_with(UNKNOWN)
    event = {"id": "1", "type": "delivered", "occurred_at": "2026-03-02T09:30:00Z",
             "message_id": shop.one("SELECT id FROM messages")}  # fmt: skip
    (shop.folder / "events.jsonl").write_text(json.dumps(event) + "\n")
    ingest.run(shop.context, shop.folder / "events.jsonl")
    assert state(shop) == (1, 1, 0, 0, 0)
