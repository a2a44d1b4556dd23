"""Accounts: nothing is planned beyond what is left, and what is not sent comes back; counted from the messages."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from sendctl.errors import AllowanceExceeded, BadInput, ExitCode, UsageError
from sendctl.passes import accounts, control, reconcile
from sendctl.passes.advice import advise
from sendctl.passes.status import read
from sendctl.settings import AccountTable
from sendctl.store import accounts as store_accounts
from tests.store.ground import ACCEPTED, DRIP, REFUSED, START, STEP, UNKNOWN, Ground
from tests.store.waiting import until_it_waits

SHOP = 'account = "shop"'
SHORT_DRIP = DRIP.replace('"3d"', '"1h"')


@pytest.fixture
def shop(ground: Ground) -> Ground:
    """Ten messages a month."""
    ground.accounts["shop"] = AccountTable("shop", 10, "month")
    ground.accounts["other"] = AccountTable("other")
    return ground


def state(ground: Ground, name: str = "shop") -> tuple[int, int, int, int]:
    """(sent, reserved, left, waiting)."""
    (one,) = [one for one in accounts.read(ground.context) if one.name == name]
    return one.consumed, one.reserved, one.left, one.waiting


def test_an_enqueue_beyond_what_is_left_writes_nothing_and_says_the_numbers(shop: Ground) -> None:
    shop.enqueue(7, campaign=SHOP)
    shop.pass_with(ACCEPTED, limit=2)
    before = shop.dump()
    with pytest.raises(AllowanceExceeded) as caught:
        shop.enqueue(4, name="next", campaign=SHOP)
    assert str(caught.value) == (
        "account shop has 3 of 10 messages a month left in 2026-03 (2 sent, 5 reserved), and this would plan 4:"
        " 1 too many"
    )
    assert caught.value.exit_code is ExitCode.ALLOWANCE
    after = shop.dump()
    assert {name: rows for name, rows in after.items() if name != "id_blocks"} == {
        name: rows for name, rows in before.items() if name != "id_blocks"
    }
    with pytest.raises(AllowanceExceeded):
        shop.enqueue(4, name="next", campaign=SHOP, dry_run=True)
    shop.enqueue(4, name="april", campaign=SHOP, at=datetime(2026, 4, 2, tzinfo=UTC))  # of another month
    shop.enqueue(3, name="next", campaign=SHOP)
    assert state(shop) == (2, 8, 0, 0)
    with pytest.raises(AllowanceExceeded, match="has 0 of 10 messages a month left"):
        shop.enqueue(1, first=8, campaign=SHOP)  # one more for a campaign that is there
    with pytest.raises(BadInput, match="campaign sale was enqueued with account shop"):
        shop.enqueue(1)
    with pytest.raises(BadInput, match="this host knows no account shopp"):
        shop.enqueue(1, name="typo", campaign='account = "shopp"')
    assert shop.violations() == []


def test_what_is_not_sent_comes_back_and_doubt_does_not(shop: Ground) -> None:
    shop.enqueue(8, campaign=SHOP + '\nexpires_after = "3h"')
    for outcome, left in ((ACCEPTED, 2), (REFUSED, 3), (UNKNOWN, 3)):
        shop.pass_with(outcome, limit=1)
        assert state(shop)[2] == left
    shop.change(
        "INSERT INTO suppressions (address_key, reason, created_at) VALUES ('p00004@x.example', '', CURRENT_TIMESTAMP)"
    )
    shop.pass_with(ACCEPTED, limit=1)
    assert state(shop) == (1, 5, 4, 0)
    shop.clock.forward(hours=4)
    shop.clerk().turn([], 2)
    assert state(shop) == (1, 3, 6, 0)
    control.cancel(shop.context, "sale")
    assert state(shop) == (1, 1, 8, 0)
    shop.clock.now = datetime(2026, 4, 1, 0, 0, 1, tzinfo=UTC)
    assert state(shop) == (0, 0, 10, 0)
    assert shop.violations() == []


def test_next_steps_get_their_share_with_the_pass_that_plans_them_or_wait_and_say_so(shop: Ground) -> None:
    shop.enqueue(6, campaign=SHOP, steps=(STEP, SHORT_DRIP))
    shop.send_due()
    assert state(shop) == (6, 4, 0, 2)
    assert shop.one("SELECT count(*) FROM messages WHERE error_class = 'allowance'") == 2
    with pytest.raises(AllowanceExceeded):
        shop.enqueue(1, name="greedy", campaign=SHOP)
    shop.clock.forward(hours=1)
    shop.send_due()
    assert (shop.states(), state(shop)) == ({"sent": 10, "queued": 2}, (10, 0, 0, 2))
    situation = read(shop.context, "sale")
    (held,) = situation.campaigns[0].held
    assert (held.why, held.number) == ("allowance", 2)
    assert held.example == "nothing left of 10 messages a month of account shop in 2026-03"
    assert any("2 messages are waiting for a share of account shop" in one.matter for one in advise(situation))
    shop.clock.forward(hours=2)
    shop.send_due()
    assert shop.states() == {"sent": 10, "queued": 2}
    shop.clock.now = datetime(2026, 4, 1, 0, 0, 1, tzinfo=UTC)
    shop.send_due()
    assert (shop.states(), state(shop)) == ({"sent": 12}, (2, 0, 8, 0))
    assert shop.violations() == []


def test_credits_are_granted_with_a_reason_and_let_those_go_who_wait(shop: Ground) -> None:
    other = 'account = "other"'
    with pytest.raises(AllowanceExceeded, match="account other has 0 of 0 credits left"):
        shop.enqueue(1, campaign=other)
    accounts.grant(shop.context, "other", 3, "paid")
    shop.enqueue(2, campaign=other, steps=(STEP, SHORT_DRIP))
    shop.send_due()
    assert state(shop, "other") == (2, 1, 0, 1)
    report = accounts.grant(shop.context, "other", 5, "paid again")
    assert (report.before, report.left, report.shared) == (0, 4, 1)
    assert state(shop, "other") == (2, 2, 4, 0)
    with pytest.raises(AllowanceExceeded, match="account other has 4 credits left: 5 cannot be taken back"):
        accounts.grant(shop.context, "other", -5, "mistake")
    accounts.grant(shop.context, "other", -4, "mistake")
    shop.clock.forward(days=400)  # credits do not run out
    assert state(shop, "other") == (2, 2, 0, 0)
    rows = shop.rows("SELECT action, reason FROM audit WHERE action = 'grant' ORDER BY id")
    assert [tuple(row) for row in rows] == [("grant", "paid"), ("grant", "paid again"), ("grant", "mistake")]
    for name, reason, problem in (
        ("shop", "x", "has an allowance"),
        ("none", "x", "no account"),
        ("other", " ", "--reason"),
    ):
        with pytest.raises(UsageError, match=problem):
            accounts.grant(shop.context, name, 1, reason)


def test_what_failed_and_is_tried_again_asks_for_a_share_again(shop: Ground) -> None:
    shop.enqueue(1, campaign=SHOP)
    shop.pass_with(REFUSED)
    shop.enqueue(10, first=2, name="all", campaign=SHOP)
    shop.recover("sale", failed=True)
    assert (shop.states(), state(shop)) == ({"queued": 1}, (0, 10, 0, 1))
    assert shop.clerk("sale").turn([], 10).messages == ()
    control.cancel(shop.context, "all")
    shop.clock.forward(minutes=2)
    reconcile.run(shop.context)
    assert len(shop.clerk("sale").turn([], 10).messages) == 1
    assert shop.violations() == []


def of_another_host(ground: Ground) -> Ground:
    """Another host with files of its own."""
    other = ground.other_host()
    other.folder = ground.folder / "other"
    other.folder.mkdir()
    return other


def test_of_two_enqueues_at_the_same_moment_one_wins(shop: Ground) -> None:
    """The second begins when the first has counted, and has not committed yet."""
    shop.enqueue(1, name="known", campaign=SHOP)
    theirs = of_another_host(shop)
    assert theirs.store
    ended: list[str] = []

    def load() -> None:
        try:
            theirs.enqueue(6, first=2, name="known", campaign=SHOP)
            ended.append("planned")
        except AllowanceExceeded:
            ended.append("refused")

    loading = threading.Thread(target=load)

    def begin(connection: sa.Connection) -> None:
        planned = connection.execute(sa.text("SELECT count(*) FROM campaigns WHERE name = 'new'")).scalar_one()
        if planned and loading.ident is None:
            loading.start()
            until_it_waits(connection, loading)

    sa.event.listen(shop.store.engine, "commit", begin)
    shop.enqueue(6, name="new", campaign=SHOP)
    loading.join()
    theirs.close()
    assert ended == ["refused"]
    assert state(shop) == (0, 7, 3, 0)


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_an_enqueue_waits_for_whoever_counts_the_account(shop: Ground) -> None:
    """A pass gives the last share away, and has not committed yet."""
    shop.enqueue(9, campaign=SHOP)
    shop.enqueue(1, name="waits", campaign=SHOP)
    shop.change("UPDATE messages SET error_class = 'allowance' WHERE campaign_id = 2")
    theirs = of_another_host(shop)
    refused: list[str] = []

    def load() -> None:
        with pytest.raises(AllowanceExceeded) as caught:
            theirs.enqueue(1, first=10, campaign=SHOP)
        refused.append(str(caught.value))

    loading = threading.Thread(target=load)
    with shop.store.write() as connection:
        store_accounts.hold(connection, "shop", shop.clock.now)
        assert accounts.share(connection, shop.accounts["shop"], shop.clock.now) == 1
        loading.start()
        until_it_waits(connection, loading)
        assert loading.is_alive()
    loading.join()
    theirs.close()
    assert "has 0 of 10" in refused[0]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_step_that_is_due_at_once_waits_for_its_share_too(shop: Ground) -> None:
    shop.enqueue(1, campaign=SHOP, steps=(STEP, DRIP.replace('"3d"', '"0s"')))
    clerk = shop.clerk()
    window = clerk.turn(shop.done(clerk.turn([], 10), ACCEPTED), 10)
    assert (window.messages, state(shop)) == ((), (1, 0, 9, 1))
    assert accounts.share_out(shop.context) == 1
    assert len(clerk.turn([], 10).messages) == 1


def test_a_rewound_store_counts_what_journals_prove_also_beyond_the_allowance(shop: Ground) -> None:
    shop.enqueue(10, campaign=SHOP)
    shop.clock.forward(seconds=1)
    before = shop.backup()
    shop.send_due()
    shop.close()
    shop.put_back(before)
    control.cancel(shop.context, "sale")
    shop.enqueue(5, name="next", campaign=SHOP)
    shop.recover("sale", in_doubt="hold")
    assert state(shop) == (10, 5, -5, 0)
    with pytest.raises(AllowanceExceeded, match="has 0 of 10"):
        shop.enqueue(1, first=6, name="next", campaign=SHOP)
    assert shop.violations() == []


@pytest.mark.parametrize(
    ("period", "begins", "ends"),
    [
        ("day", "2026-12-31", "2027-01-01"),
        ("week", "2026-12-28", "2027-01-04"),
        ("month", "2026-12-01", "2027-01-01"),
        ("year", "2026-01-01", "2027-01-01"),
    ],
)
def test_periods_begin_at_midnight_by_utc(period: str, begins: str, ends: str) -> None:
    moment = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    found = accounts.beginning(moment, period)
    following = accounts.following(found, period)
    assert following is not None
    assert (f"{found:%Y-%m-%d}", f"{following:%Y-%m-%d}") == (begins, ends)
    assert accounts.beginning(following, period) == following
    assert accounts.beginning(following - timedelta(microseconds=1), period) == found
    assert found > START or period == "year"
