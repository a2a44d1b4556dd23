"""A service is asked at its pace, and nobody decides on what it was not asked about yet."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sendctl.clock import Deadline, SystemClock
from sendctl.durations import Rate
from sendctl.errors import ExitCode
from sendctl.passes import asking, planning, reconcile
from sendctl.providers import registry
from sendctl.providers.base import Capabilities, Outcome, Outgoing, Sought
from sendctl.providers.registry import build_provider
from sendctl.settings import ProviderTable
from tests.asked_provider import AskedProvider
from tests.http_double import API_KEY, HttpDouble, start_http_double
from tests.passes.test_key_replay import BROKEN, LOST
from tests.providers.smtp.world import Mark
from tests.store.ground import ACCEPTED, UNKNOWN, Ground


@dataclass
class Relay:
    """Has everything that it `tells` of; `asked` are those whom it was asked about, in order."""

    keys: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    tells: Callable[[Sought], bool] = lambda _sought: True

    def answer(self, _message: Outgoing) -> Outcome:
        return ACCEPTED


class PacedProvider(AskedProvider):
    pace = Rate(3, 60)

    def __init__(self, name: str, relay: Relay) -> None:
        super().__init__(name, relay, Capabilities(lookup=True, lookup_pace=self.pace))

    def find(self, sought: Sought) -> str | None:
        assert isinstance(self.relay, Relay)
        self.relay.asked.append(sought.recipient)
        return sought.key if self.relay.tells(sought) else None


@pytest.fixture
def relay(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """Provider `primary`, that is asked three times a minute at most."""
    it = Relay()
    monkeypatch.setitem(registry._ADAPTERS, "paced", lambda table, _environ: PacedProvider(table.name, it))
    ground.providers["primary"] = ProviderTable("primary", "paced", {})
    return it


def doubt(ground: Ground, people: int, policy: str = "hold") -> None:
    ground.enqueue(people, campaign=f'in_doubt = "{policy}"')
    ground.pass_with(UNKNOWN)
    assert ground.states() == {"in_doubt": people}


def test_what_the_pace_leaves_for_later_is_decided_by_nobody(ground: Ground, relay: Relay) -> None:
    doubt(ground, 8, policy="resend")
    ground.clock.forward(seconds=reconcile.POLICY_GRACE_S + 1)
    for sent, left in ((3, 5), (6, 2), (8, 0)):
        report = reconcile.run(ground.context)
        assert (report.policy_resent, report.in_doubt) == (0, left)
        assert list(report.cannot_tell.values()) == ([left] if left else [])
        assert ground.states() == {"sent": sent} | ({"in_doubt": left} if left else {})
        ground.clock.forward(minutes=1)
    assert len(relay.asked) == 8


def test_an_operator_cannot_send_again_what_is_not_asked_about_yet(
    ground: Ground, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PLANNED_MOST", 1)
    doubt(ground, 5)
    done = ground.recover(in_doubt="resend")
    assert (done.proven_sent, done.resent, done.in_doubt, done.exit_code) == (3, 0, 2, ExitCode.NEEDS_PERSON)
    ground.clock.forward(minutes=1)
    done = ground.recover(in_doubt="resend")
    assert (done.proven_sent, done.resent, done.in_doubt) == (2, 0, 0)


def test_a_plan_of_many_says_what_is_asked_about_when_it_is_applied(
    ground: Ground, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PLANNED_MOST", 4)
    doubt(ground, 6)
    before = ground.dump()
    made = planning.plan(ground.context, "sale")
    assert (len(made.proof.accepted), made.unlooked, len(made.doubtful)) == (4, 2, 2)
    assert ground.dump() == before


def test_no_policy_decides_on_what_a_service_could_not_be_asked_about(ground: Ground, relay: Relay) -> None:
    def throttled(_sought: Sought) -> bool:
        raise OSError(0, "HTTP 429")

    doubt(ground, 5, policy="resend")
    ground.clock.forward(seconds=reconcile.POLICY_GRACE_S + 1)
    relay.tells = throttled
    report = reconcile.run(ground.context)
    assert (report.policy_resent, report.in_doubt) == (0, 5)
    ground.clock.forward(minutes=1)
    assert ground.recover(in_doubt="resend").resent == 5, "a person may"


def test_a_policy_waits_a_day_for_a_service_that_cannot_be_asked(ground: Ground, relay: Relay) -> None:
    """A key that may not read would hold everything for ever."""

    def forbidden(_sought: Sought) -> bool:
        raise OSError(0, "HTTP 403")

    doubt(ground, 3, policy="skip")
    relay.tells = forbidden
    ground.clock.forward(hours=23)
    assert reconcile.run(ground.context).policy_skipped == 0
    ground.clock.forward(hours=2)
    assert reconcile.run(ground.context).policy_skipped == 3


def test_a_secret_that_is_not_at_hand_stops_nothing_else(ground: Ground, relay: Relay) -> None:
    ground.providers["api"] = ProviderTable("api", "postmark", {"server_token_env": "NOBODY_HAS_IT"})
    ground.set(providers=("primary", "api"))
    doubt(ground, 2)
    ground.change("UPDATE attempts SET provider = 'api' WHERE message_id = 1")
    report = reconcile.run(ground.context)
    assert (report.proven_sent, report.in_doubt) == (1, 1)
    assert [reason for reason in report.cannot_tell if reason.startswith("provider api cannot be asked: ")]


def test_a_service_that_takes_its_time_is_asked_for_a_minute(
    ground: Ground, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_sought: Sought) -> bool:
        ground.clock.forward(seconds=29)
        return True

    monkeypatch.setattr(PacedProvider, "pace", Rate(300, 60))
    doubt(ground, 9)
    relay.tells = slow
    assert reconcile.run(ground.context).proven_sent == 3
    assert len(relay.asked) == 3


def test_a_service_that_is_away_is_left_alone_and_all_are_told_why(ground: Ground, relay: Relay) -> None:
    def away(_sought: Sought) -> bool:
        raise OSError(0, "HTTP 503")

    doubt(ground, 9, policy="skip")
    relay.tells = away
    for _ in range(2):
        report = reconcile.run(ground.context)
        assert report.cannot_tell == {"provider primary cannot be asked: HTTP 503": 9}
        ground.clock.forward(minutes=1)
    assert len(relay.asked) == 6


def test_what_is_found_is_recorded_before_more_is_asked(
    ground: Ground, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "AT_ONCE", 2)

    def dies(_sought: Sought) -> bool:
        if len(relay.asked) == 3:
            raise KeyboardInterrupt
        return True

    doubt(ground, 3)
    relay.tells = dies
    with pytest.raises(KeyboardInterrupt):
        reconcile.run(ground.context)
    assert ground.states() == {"sent": 2, "in_doubt": 1}


def test_those_of_which_it_cannot_tell_do_not_hide_the_others_for_ever(
    ground: Ground, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "random", random.Random(1))
    doubt(ground, 12)
    relay.tells = lambda sought: sought.recipient.startswith("p00012")
    for _ in range(30):
        reconcile.run(ground.context)
        ground.clock.forward(minutes=1)
    assert ground.states() == {"sent": 1, "in_doubt": 11}


# -- by its text --------------------------------------------------------------------------------------------------


@contextmanager
def twilio(ground: Ground, folder: Path, *script: dict[str, Any]) -> Iterator[HttpDouble]:
    with start_http_double(folder, "twilio", script=script) as double:
        key = folder / "key"
        key.write_text(API_KEY)
        options = {"account_sid": "AC1", "auth_token_file": str(key), "sender": "+15005550006", "base_url": double.url}
        ground.close()
        ground.providers["primary"] = ProviderTable("primary", "twilio", options | {"connections": 1})
        ground.clock.now = datetime.now(UTC)
        yield double


def write(ground: Ground, name: str, text: str, numbers: Sequence[int]) -> None:
    rows = "".join(f"+49151{number:07}\n" for number in numbers)
    ground.enqueue(
        contacts=f"phone\n{rows}", campaign='channel = "sms"', name=name, steps=[f'name = "a"\nsms = "{text}"\n']
    )
    ground.send_due()


def test_a_text_is_found_by_its_words_and_what_was_not_taken_is_held(ground: Ground, tmp_path: Path) -> None:
    with twilio(ground, tmp_path, LOST | {"to": "0000001"}, BROKEN | {"to": "0000002"}) as double:
        write(ground, "sale", "Grüße", [1, 2, 3])
        assert ground.states() == {"in_doubt": 2, "sent": 1}
        report = reconcile.run(ground.context)
        assert (report.proven_sent, report.proven_absent, report.in_doubt) == (1, 0, 1)
        assert ground.states() == {"in_doubt": 1, "sent": 2}
        known = {row["id"] for row in double.accepted()}
    assert set(ground.rows("SELECT provider_message_id FROM attempts WHERE outcome = 'accepted'")) == {
        (one,) for one in known
    }


def test_the_same_words_of_another_message_are_no_proof(ground: Ground, tmp_path: Path) -> None:
    """Two campaigns say the same to one number: the first was taken, the second was not."""
    with twilio(ground, tmp_path, BROKEN | {"skip": 1}) as double:
        write(ground, "first", "Hello", [1])
        write(ground, "second", "Hello", [1])
        assert (ground.states("first"), ground.states("second")) == ({"sent": 1}, {"in_doubt": 1})
        report = reconcile.run(ground.context)
        assert (report.proven_sent, report.in_doubt) == (0, 1)
        assert len(double.accepted()) == 1


def test_a_text_is_no_proof_while_it_may_be_that_of_another_message(ground: Ground, tmp_path: Path) -> None:
    """Two messages to one number are in doubt, and there is one text: an event may say yet whose it is."""
    with twilio(ground, tmp_path, LOST, BROKEN | {"skip": 1}):
        write(ground, "first", "Hello", [1])
        write(ground, "second", "Hello", [1])
        report = reconcile.run(ground.context)
        assert (report.proven_sent, report.in_doubt) == (0, 2)
        assert [reason for reason in report.cannot_tell if "another message to the same address" in reason]


def test_a_text_in_flight_is_not_taken_for_that_of_a_message_in_doubt(ground: Ground, tmp_path: Path) -> None:
    """It was accepted just now, and its pass has not recorded it yet."""
    with twilio(ground, tmp_path, BROKEN | {"first": 1}) as double:
        write(ground, "first", "Hello", [1])
        ground.enqueue(
            contacts="phone\n+491510000001\n", campaign='channel = "sms"', name="second",
            steps=['name = "a"\nsms = "Hello"\n'],
        )  # fmt: skip
        clerk = ground.clerk("second")
        (claimed,) = clerk.turn([], 1).messages
        assert claimed.due.recipient == "+491510000001"
        provider, clock = build_provider(ground.providers["primary"], {}), SystemClock()
        outgoing = Outgoing(claimed.due.id, 1, claimed.due.key, "primary", "", claimed.due.recipient, b"Hello")
        asyncio.run(provider.submit(outgoing, Deadline(clock.boot_s() + 9, clock), Mark()))
        assert len(double.accepted()) == 1
        report = reconcile.run(ground.context)
        assert (report.proven_sent, ground.states("first")) == (0, {"in_doubt": 1})
