"""When the next window is claimed: while the last messages of this one are in flight, but only if all goes well."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from sendctl.clock import Deadline
from sendctl.errors import StoreRewound, Unreachable
from sendctl.journal.records import read
from sendctl.journal.writer import JournalWriter
from sendctl.passes import startup, worker
from sendctl.passes.claiming import Clerk, Done, Window
from sendctl.passes.submitting import Submitter
from sendctl.providers import registry
from sendctl.providers.base import Capabilities, Outcome, Outgoing, Phase, PhaseMark, Scope
from sendctl.settings import ProviderTable
from sendctl.states import AttemptOutcome
from tests.model.seams import at_once
from tests.store.ground import ACCEPTED, DEFERRED, Ground
from tests.syncs import watched_syncs

SPAM = Outcome(AttemptOutcome.HALTED, Phase.REPLIED, Scope.CAMPAIGN, 554, text="554 spam", error_class="content")
AWAY = Outcome(AttemptOutcome.UNTOUCHED, Phase.UNTOUCHED, Scope.PROVIDER, text="refused", error_class="connect")


@dataclass
class Slow:
    """A provider of two connections that answers when the others have had their turn."""

    name: str = "primary"
    capabilities: Capabilities = field(default_factory=Capabilities)
    connections: int = 2
    answer: Callable[[int], Outcome] = lambda _number: ACCEPTED  # of the message that it took as its nth
    held: Callable[[int], bool] = lambda _number: False  # whether it keeps that one waiting
    accepted: list[str] = field(default_factory=list)
    begun: int = 0
    in_flight: int = 0

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        number, self.begun = self.begun, self.begun + 1
        outcome = self.answer(number)
        if outcome.phase is Phase.UNTOUCHED:
            return outcome
        mark.begin()
        mark.dot()
        self.in_flight += 1
        for _ in range(10 if number % 2 else 20):  # turns of the loop: the two never end together
            await asyncio.sleep(0)
        while self.held(number):
            await asyncio.sleep(0)
        self.in_flight -= 1
        if outcome is ACCEPTED:
            self.accepted.append(message.recipient)
        return outcome

    async def close(self) -> None:
        """Nothing to give back."""


@dataclass
class Turns:
    """What the clerk was asked: how many outcomes it was given, how many it claimed, how many were in flight."""

    slow: Slow
    seen: list[tuple[int, int, int]] = field(default_factory=list)
    troubled: list[int] = field(default_factory=list)  # how many were in flight when it heard of something else
    fail: Callable[[int], Exception | None] = lambda _number: None
    rewound_at: int = -1

    def turn(self, clerk: Clerk, done: list[Done], limit: int) -> Window:
        in_flight = self.slow.in_flight
        if any(item.outcome.kind is not AttemptOutcome.ACCEPTED for item in done):
            self.troubled.append(in_flight)
        problem = self.fail(len(self.seen))
        if problem is not None:
            raise problem
        if len(self.seen) == self.rewound_at:
            clerk_turn(clerk, done, 0)
            window = Window(rewound="a test says so")
        else:
            window = clerk_turn(clerk, done, limit)
        self.seen.append((len(done), len(window.messages), in_flight))
        return window


clerk_turn, in_a_thread = Clerk.turn, worker.beside


@pytest.fixture
def turns(sqlite_ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Turns:
    made = Turns(Slow())
    monkeypatch.setitem(registry._ADAPTERS, "slow", lambda _table, _environ: made.slow)

    def turn(clerk: Clerk, done: list[Done], limit: int) -> Window:
        return made.turn(clerk, done, limit)

    monkeypatch.setattr(Clerk, "turn", turn)
    monkeypatch.setattr(worker, "beside", at_once)
    sqlite_ground.providers["primary"] = ProviderTable("primary", "slow", {})
    sqlite_ground.enqueue(20, controls="batch_size = 4", campaign='providers = ["primary"]')
    return made


def test_the_next_window_is_claimed_while_messages_are_in_flight(sqlite_ground: Ground, turns: Turns) -> None:
    report = sqlite_ground.send_due()
    assert report.work.outcomes == {"accepted": 20}
    assert [in_flight for _, _, in_flight in turns.seen[:2]] == [0, 0]  # nothing is known of the provider yet
    assert all(in_flight for _, claimed, in_flight in turns.seen[2:] if claimed)
    assert sorted(turns.slow.accepted) == sorted(set(turns.slow.accepted))
    assert sqlite_ground.states() == {"sent": 20}


@pytest.mark.parametrize("trouble", [DEFERRED, SPAM, AWAY], ids=["put off", "halted", "away"])
def test_a_window_in_which_nothing_was_accepted_is_judged_as_a_whole(
    sqlite_ground: Ground, turns: Turns, trouble: Outcome
) -> None:
    turns.slow.answer = lambda _number: trouble
    sqlite_ground.send_due()
    claimed = 0
    for done, more, in_flight in turns.seen:
        assert (done, in_flight) == (claimed, 0)
        claimed = more


def test_a_halt_stops_what_waits_and_claims_no_more(sqlite_ground: Ground, turns: Turns) -> None:
    turns.slow.answer = lambda number: ACCEPTED if number < 9 else SPAM
    report = sqlite_ground.send_due()
    halted = report.work.outcomes["halted"]
    assert (report.work.paused, report.work.outcomes["accepted"]) == (1, 9)
    assert 1 <= halted <= 2  # one for each connection
    assert sqlite_ground.states() == {"sent": 9, "queued": 11}
    assert sqlite_ground.violations() == []


@pytest.mark.parametrize("trouble", [SPAM, AWAY], ids=["halted", "away"])
def test_nothing_is_claimed_beside_messages_that_may_meet_the_same_trouble(
    sqlite_ground: Ground, turns: Turns, trouble: Outcome
) -> None:
    turns.slow.answer = lambda number: ACCEPTED if number < 9 else trouble
    sqlite_ground.send_due()
    assert turns.troubled
    assert set(turns.troubled) == {0}
    windows = sum(1 for done, _, in_flight in turns.seen if done and not in_flight)
    assert turns.slow.begun <= 9 + turns.slow.connections * windows  # the rest of each is not even begun


def test_there_is_room_in_the_journal_for_what_is_under_way_too(
    sqlite_ground: Ground, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int]] = []
    reserve = JournalWriter.reserve

    def watched(journal: JournalWriter, messages: int) -> None:
        waiting = sum(claimed for _, claimed, _ in turns.seen) - turns.slow.begun
        asked.append((messages, turns.slow.in_flight, waiting))
        reserve(journal, messages)

    monkeypatch.setattr(JournalWriter, "reserve", watched)
    sqlite_ground.send_due()
    assert max(in_flight for _, in_flight, _ in asked) == 2
    assert max(waiting for *_, waiting in asked) == 2  # half of a window
    # A window by itself is of a size that the standing clock gives: 20 at first, then 10 or a multiple of 250.
    windows = [messages - in_flight - waiting for messages, in_flight, waiting in asked]
    assert all(window in (10, 20) or window % 250 == 0 for window in windows)


def test_an_error_of_the_store_waits_for_what_is_in_flight_and_journals_it(
    sqlite_ground: Ground, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns.fail = lambda number: Unreachable("the store is away") if number >= 3 else None
    synced = watched_syncs(sqlite_ground.folder / sqlite_ground.journal, monkeypatch)
    report = sqlite_ground.send_due()
    assert isinstance(report.failure, Unreachable)
    assert turns.slow.in_flight == 0
    (run_id,) = sqlite_ground.context.home.pending()
    (journal,) = sqlite_ground.context.home.journals(run_id)
    on_disk = sqlite_ground.folder / "what a power loss leaves"
    on_disk.write_bytes([sync.content for sync in synced if sync.path == journal][-1])
    known = [trace.outcome for trace in read(on_disk).traces.values() if trace.outcome]
    assert len(known) == len(turns.slow.accepted)
    turns.fail = lambda _number: None
    sqlite_ground.send_due()
    assert sorted(turns.slow.accepted) == sorted(set(turns.slow.accepted))
    assert sqlite_ground.states() == {"sent": 20}


def test_a_rewind_found_while_messages_are_in_flight_has_them_recorded(sqlite_ground: Ground, turns: Turns) -> None:
    turns.rewound_at = 3
    report = sqlite_ground.send_due()
    assert isinstance(report.failure, StoreRewound)
    states = sqlite_ground.states()
    assert states == {"sent": len(turns.slow.accepted), "queued": 20 - len(turns.slow.accepted)}


def test_lanes_go_on_while_a_transaction_stands(
    sqlite_ground: Ground, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "beside", in_a_thread)
    standing, went_on, seen = threading.Event(), threading.Event(), list[bool]()

    def held(number: int) -> bool:
        if standing.is_set():
            went_on.set()
        return number >= 10 and not standing.is_set()

    def stand(number: int) -> None:
        if number == 3:  # three windows of four were claimed: the last two messages have not ended
            standing.set()
            seen.append(went_on.wait(30))

    turns.fail, turns.slow.held = stand, held
    sqlite_ground.send_due()
    assert seen == [True]
    assert sqlite_ground.states() == {"sent": 20}


def test_what_ends_while_the_last_transaction_finds_nothing_is_recorded(
    sqlite_ground: Ground, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "beside", in_a_thread)
    ended = threading.Event()
    real = Submitter.over

    def over(submitter: Submitter, *given: Any, **named: Any) -> None:
        real(submitter, *given, **named)
        if len(turns.slow.accepted) == 20 and not submitter.busy:
            ended.set()

    def turn(clerk: Clerk, done: list[Done], limit: int) -> Window:
        window = turns.turn(clerk, done, limit)
        if not window.messages:
            assert ended.wait(30)
        return window

    monkeypatch.setattr(Submitter, "over", over)
    monkeypatch.setattr(Clerk, "turn", turn)
    sqlite_ground.send_due()
    assert sqlite_ground.states() == {"sent": 20}


def test_a_store_put_back_under_messages_in_flight_is_noticed_before_anything_of_it_leaves(
    sqlite_ground: Ground, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put_back(number: int) -> None:
        if number == 3:
            sqlite_ground.change("DELETE FROM attempts WHERE outcome = 'open'")
            sqlite_ground.change(
                "UPDATE messages SET status = 'queued', claim_id = NULL, run_id = NULL, claim_expires_at = NULL,"
                " attempts = attempts - 1, revision = NULL, composed_at = NULL WHERE status = 'sending'"
            )

    turns.fail = put_back
    monkeypatch.setattr(startup, "run_forgotten", lambda *_given: "")  # as if the journal knew nothing of them yet
    report = sqlite_ground.send_due()
    assert isinstance(report.failure, StoreRewound)
    assert sorted(turns.slow.accepted) == sorted(set(turns.slow.accepted))


def test_a_defect_in_a_lane_ends_the_pass_and_no_message_is_lost(
    sqlite_ground: Ground, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(point: str) -> None:
        if point == "journal.outcome":
            raise MemoryError

    def answer(number: int) -> Outcome:
        if number == 6:
            monkeypatch.setattr("sendctl.passes.submitting.faults.passing", failing)
        return ACCEPTED

    turns.slow.answer = answer
    with pytest.raises(MemoryError):
        sqlite_ground.send_due()
    monkeypatch.undo()
    assert turns.slow.in_flight == 0
    accepted: list[Any] = turns.slow.accepted
    monkeypatch.setitem(registry._ADAPTERS, "slow", lambda _table, _environ: Slow(accepted=accepted))
    sqlite_ground.send_due()
    assert sorted(accepted) == sorted(set(accepted))
    assert sqlite_ground.states() == {"sent": 20}
