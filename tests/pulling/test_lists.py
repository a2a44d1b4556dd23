"""Events are read from lists of services page by page: each counts once, none is lost, whoever dies or comes twice."""

from __future__ import annotations

from typing import Any

import pytest

from sendctl import faults
from sendctl.errors import ExitCode
from sendctl.passes import pulled
from sendctl.passes.pulling import pull
from tests.passes.test_steps import arm
from tests.pulling.world import World, hard, mailgun


def test_what_a_service_has_is_written_down_with_all_that_follows(world: World) -> None:
    double = world.serve("mailgun")
    first, second, third = world.sent(3)
    double.tell(
        mailgun("accepted", first, world.ago()), mailgun("delivered", first, world.ago()), hard(second, world.ago()),
        mailgun("complained", third, world.ago()),
    )  # fmt: skip
    report = world.reconcile()
    assert report.exit_code is ExitCode.DONE
    assert report.pulled.applied.by_type == {"accepted": 1, "delivered": 1, "bounced": 1, "complained": 1}
    assert world.ground.states() == {"sent": 2, "bounced": 1}
    assert world.suppressed() == {second["recipient"]: "bounced", third["recipient"]: "complained"}
    assert world.reconcile().pulled.applied.fresh == 0


def test_nothing_is_asked_without_pull_events(lite: World) -> None:
    double = lite.serve("mailgun", pull_events=False)
    double.tell(mailgun("delivered", None, lite.ago()))
    assert lite.pull().pages == 0
    assert double.asked() == []


def test_an_event_of_a_message_in_doubt_proves_that_it_was_accepted(world: World) -> None:
    double = world.serve("mailgun", {"at": "reply", "do": "close", "first": 1})
    (message,) = world.sent(1)
    assert message["status"] == "in_doubt"
    double.tell(mailgun("delivered", message, world.ago()))
    assert world.pull().applied.proven == 1
    assert world.ground.states() == {"sent": 1}


def test_all_pages_are_read_and_each_moment_once_soon_and_once_when_it_is_settled(world: World) -> None:
    double = world.serve("mailgun")
    messages = world.sent(5)
    double.pages_of(2)
    double.tell(*(mailgun("delivered", one, world.ago()) for one in messages))
    first = world.pull()
    assert (first.applied.fresh, first.more) == (5, [])
    world.ground.clock.forward(seconds=1801)
    again = world.pull()
    assert (again.applied.fresh, again.applied.known) == (0, 5)
    world.ground.clock.forward(hours=1)
    assert world.pull().applied.known == 0


def test_what_the_index_learns_late_is_found_by_the_second_reading(world: World) -> None:
    """ "Events ... are inserted into the already retrieved pages" (Mailgun, event polling)."""
    double = world.serve("mailgun")
    early, late = world.sent(2)
    double.tell(mailgun("delivered", late, world.ago(60)), hidden=True)
    double.tell(mailgun("delivered", early, world.ago()))
    assert world.pull().applied.fresh == 1
    double.reveal()
    world.ground.clock.forward(minutes=10)
    assert world.pull().applied.fresh == 0
    world.ground.clock.forward(minutes=21)
    assert world.pull().applied.fresh == 1
    assert len(world.events()) == 2


@pytest.mark.parametrize("point", ["pull.before_commit", "pull.committed"])
def test_a_death_between_two_pages_repeats_and_loses_nothing(
    world: World, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events of a page and the place behind it are one transaction."""
    double = world.serve("mailgun")
    messages = world.sent(6)
    double.pages_of(2)
    double.tell(*(mailgun("delivered", one, world.ago(number)) for number, one in enumerate(messages)))
    for dead_at in (1, 1, 2):
        arm(monkeypatch, point, dead_at)
        with pytest.raises(faults.InjectedFault):
            world.pull()
    arm(monkeypatch, "")
    world.pull()
    world.ground.clock.forward(hours=1)
    world.pull()
    assert [kind for _, kind in world.events()] == ["delivered"] * 6


def test_a_death_at_a_page_of_the_last_reading_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads it once more: had the place gone on without the events, they would be lost."""
    double = world.serve("mailgun")
    messages = world.sent(4)
    double.pages_of(2)
    double.tell(*(mailgun("delivered", one, world.ago(number)) for number, one in enumerate(messages)))
    world.ground.clock.forward(hours=3)
    for dead_at in (1, 2):
        arm(monkeypatch, "pull.before_commit", dead_at)
        with pytest.raises(faults.InjectedFault):
            world.pull()
    arm(monkeypatch, "")
    world.pull()
    assert len(world.events()) == 4


def test_two_that_read_at_once_lose_nothing_and_one_moves_on(world: World) -> None:
    double = world.serve("mailgun")
    messages = world.sent(6)
    double.pages_of(2)
    double.tell(*(mailgun("delivered", one, world.ago(number)) for number, one in enumerate(messages)))
    other = world.ground.other_host()
    beside: list[Any] = []
    with world.once_between(lambda: beside.append(pull(other.context))):
        mine = world.pull()
    other.close()
    assert beside[0].applied.fresh == 6
    assert (mine.applied.fresh, mine.pages) == (0, 2)  # each reading stops at the page that another has read
    assert len(world.events()) == 6
    world.ground.clock.forward(hours=1)
    assert world.pull().applied.known == 6


def test_a_pass_reads_so_much_and_the_next_goes_on_where_it_ended(lite: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulled, "PAGES", 4)
    double = lite.serve("mailgun")
    messages = lite.sent(8)
    double.pages_of(1)
    double.tell(*(mailgun("delivered", one, lite.ago(number)) for number, one in enumerate(messages)))
    lite.ground.clock.forward(hours=2)
    fresh = []
    for _ in range(3):
        report = lite.pull()
        fresh.append(report.applied.fresh)
        assert report.pages <= 4
    assert sum(fresh) == 8
    assert report.more == []


def test_a_pass_reads_for_so_long_only(lite: World) -> None:
    double = lite.serve("mailgun")
    messages = lite.sent(3)
    double.pages_of(1)
    double.tell(*(mailgun("delivered", one, lite.ago(number)) for number, one in enumerate(messages)))
    lite.ground.clock.forward(hours=2)
    with lite.ground.once_after("UPDATE event_cursors", lambda: lite.ground.clock.forward(seconds=61)):
        report = lite.pull()
    assert (report.pages, report.more) == (1, ["primary"])


# -- what is not ours -----------------------------------------------------------------------------------------------


def test_what_others_send_by_the_same_account_is_counted_and_no_fault(lite: World) -> None:
    double = lite.serve("mailgun")
    (message,) = lite.sent(1)
    double.tell(mailgun("delivered", None, lite.ago()), mailgun("delivered", message, lite.ago()))
    lite.ground.clock.forward(hours=1)
    report = lite.reconcile()
    assert (report.pulled.applied.fresh, report.pulled.foreign, report.exit_code) == (1, 1, ExitCode.DONE)


def strangers_id(world: World, double: Any) -> None:
    """An event that names a message by the provider's id, which the store does not know yet."""
    event = mailgun("delivered", None, world.ago())
    event["message"]["headers"]["message-id"] = "the-id-of-mailgun@mg.shop.example"
    double.tell(event)


def test_what_matches_nothing_is_read_again_when_a_missing_outcome_is_known(world: World) -> None:
    """Mailgun's own id of a message in doubt is not known: the event that names it must not be passed over."""
    double = world.serve("mailgun", {"at": "reply", "do": "close", "first": 1})
    world.sent(1)
    world.ground.clock.forward(seconds=5)
    strangers_id(world, double)
    world.ground.clock.forward(hours=3)
    report = world.pull()
    assert (report.applied.fresh, report.foreign) == (0, 0)
    world.ground.clock.forward(hours=3)
    assert world.pull().foreign == 0
    world.settle("<the-id-of-mailgun@mg.shop.example>")
    report = world.pull()
    assert report.applied.fresh == 1
    assert world.events() == [("p00001@x.example", "delivered")]
    world.ground.clock.forward(hours=3)
    assert world.pull().applied.known == 0, "once is enough"


def test_an_outcome_that_never_comes_is_waited_for_two_days(lite: World) -> None:
    double = lite.serve("mailgun", {"at": "reply", "do": "close", "first": 1})
    lite.sent(1)
    strangers_id(lite, double)
    lite.ground.clock.forward(hours=1)
    lite.pull()
    lite.ground.clock.forward(days=3)
    lite.settle("<the-id-of-mailgun@mg.shop.example>")
    assert lite.pull().applied.fresh == 0
