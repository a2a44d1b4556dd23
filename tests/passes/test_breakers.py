"""A provider that fails is left alone, one message finds out whether it is back, and another takes over meanwhile."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from sendctl.errors import UsageError
from sendctl.passes import control
from sendctl.passes.claiming import Window
from sendctl.providers.base import Outcome, Phase, Scope
from sendctl.settings import ProviderTable
from sendctl.states import AttemptOutcome
from sendctl.store import limits
from tests.http_double import API_KEY, start_http_double
from tests.store.ground import (
    ACCEPTED,
    DOWN,
    NO_CREDENTIALS,
    REFUSED,
    SENDER_REFUSED,
    UNKNOWN,
    UNTOUCHED,
    Ground,
)
from tests.store.waiting import begin_before_the_commit

SILENT = UNKNOWN._replace(scope=Scope.PROVIDER)
REFUSED_ALL = REFUSED._replace(enhanced="5.7.1", text="blocked")


def breaker(ground: Ground, provider: str = "primary") -> str:
    rows = ground.rows("SELECT breaker FROM provider_state WHERE provider = :provider", provider=provider)
    return rows[0][0] if rows else "never moved"


def claimed(ground: Ground) -> list[str]:
    return [item.provider for item in ground.clerk().turn([], 100).messages]


def fail(ground: Ground, times: int, outcome: Outcome = DOWN, limit: int = 2) -> None:
    """So many windows whose provider failed; retries are waited for."""
    for _ in range(times):
        ground.pass_with(outcome, limit)
        ground.clock.forward(seconds=1)


def test_the_third_failed_window_in_a_row_opens_the_breaker(ground: Ground) -> None:
    ground.enqueue(20)
    fail(ground, 2)
    assert breaker(ground) == "closed"
    fail(ground, 1)
    assert breaker(ground) == "open"
    ground.clock.forward(seconds=20)
    window = ground.clerk().turn([], 100)
    assert window.messages == ()
    assert window.wait_s == pytest.approx(9)  # of thirty, twenty-one have passed
    assert "no provider is usable now (primary: refused)" in window.blocked


def test_an_answer_in_between_begins_the_count_anew(ground: Ground) -> None:
    ground.enqueue(20)
    for _ in range(3):
        fail(ground, 2)
        fail(ground, 1, ACCEPTED)
    fail(ground, 2)
    assert breaker(ground) == "closed"


def test_a_refusal_of_a_recipient_is_an_answer(ground: Ground) -> None:
    ground.enqueue(20)
    fail(ground, 2)
    fail(ground, 1, REFUSED, limit=1)
    fail(ground, 2)
    assert breaker(ground) == "closed"


def test_messages_given_back_say_nothing_about_the_provider(ground: Ground) -> None:
    ground.enqueue(20)
    fail(ground, 2)
    fail(ground, 1, UNTOUCHED)
    fail(ground, 1)
    assert breaker(ground) == "open"


def test_silence_counts_as_a_failure_and_leaves_doubt(ground: Ground) -> None:
    ground.enqueue(20)
    fail(ground, 3, SILENT, limit=1)
    assert breaker(ground) == "open"
    assert ground.states() == {"in_doubt": 3, "queued": 17}


def test_one_message_finds_out_whether_the_provider_is_back(ground: Ground) -> None:
    ground.enqueue(20)
    fail(ground, 3)
    ground.clock.forward(hours=1)
    clerk = ground.clerk()
    probe = clerk.turn([], 100)
    assert len(probe.messages) == 1
    assert breaker(ground) == "half_open"
    assert claimed(ground) == []  # the probe has its time
    assert claimed(ground.other_host()) == []
    clerk.turn(ground.done(probe, ACCEPTED), 0)
    assert breaker(ground) == "closed"
    assert len(claimed(ground)) == 19


def test_a_failed_probe_opens_it_again_for_twice_as_long(ground: Ground) -> None:
    ground.enqueue(20)
    fail(ground, 3)
    waits = []
    for _ in range(9):
        ground.clock.forward(hours=2)
        clerk = ground.clerk()
        probe = clerk.turn([], 100)
        assert len(probe.messages) == 1
        waits.append(clerk.turn(ground.done(probe, DOWN), 100).wait_s)
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_a_probe_whose_run_died_does_not_shut_the_provider_for_ever(ground: Ground) -> None:
    ground.enqueue(20)
    fail(ground, 3)
    ground.clock.forward(hours=1)
    assert len(claimed(ground)) == 1
    ground.clock.forward(seconds=ground.send.claim_s)
    assert len(claimed(ground)) == 1


def test_only_one_of_many_passes_makes_the_probe(ground: Ground) -> None:
    ground.enqueue(20)
    fail(ground, 3)
    ground.clock.forward(hours=1)
    taken: list[int] = []
    barrier = threading.Barrier(4, timeout=60)

    def one() -> None:
        mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
        clerk = mine.clerk()
        barrier.wait()
        taken.append(len(clerk.turn([], 100).messages))
        mine.close()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [0, 0, 0, 1]


def test_a_halt_opens_the_breaker_at_once_and_for_longer_and_keeps_the_queue(ground: Ground) -> None:
    ground.enqueue(20)
    clerk = ground.clerk()
    window = clerk.turn([], 2)
    after = clerk.turn(ground.done(window, NO_CREDENTIALS), 100)
    assert (after.messages, after.wait_s) == ((), limits.HALT_BASE_S)
    assert clerk.stops == ["provider primary is left alone for a while: bad credentials"]
    assert ground.states() == {"queued": 20}


def test_a_providers_retry_after_is_a_lower_bound_for_its_rest(ground: Ground) -> None:
    ground.enqueue(20)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    assert clerk.turn(ground.done(window, NO_CREDENTIALS._replace(retry_after_s=5000.0)), 1).wait_s == 5000


# -- failing over ---------------------------------------------------------------------------------------------------


def with_fallback(ground: Ground, people: int = 4) -> None:
    ground.set(providers=("primary", "fallback"))
    ground.enqueue(people)


def test_definite_non_acceptance_goes_to_the_next_provider_at_once(ground: Ground) -> None:
    with_fallback(ground)
    ground.pass_with(DOWN)
    assert claimed(ground) == ["fallback"] * 4


@pytest.mark.parametrize("outcome", [UNKNOWN, SILENT, REFUSED])
def test_nothing_else_goes_to_the_next_provider(ground: Ground, outcome: Outcome) -> None:
    with_fallback(ground)
    ground.pass_with(outcome)
    ground.clock.forward(days=1)
    assert claimed(ground) == []
    assert ground.one("SELECT count(*) FROM attempts WHERE provider = 'fallback'") == 0


def test_the_last_provider_is_the_end_of_the_line_and_waits(ground: Ground) -> None:
    with_fallback(ground)
    ground.pass_with(DOWN)
    ground.pass_with(DOWN)
    assert claimed(ground) == []
    ground.clock.forward(hours=1)
    assert claimed(ground) == ["primary"] * 4
    assert {row[0] for row in ground.rows("SELECT charged_attempts FROM messages")} == {0}


def test_while_the_first_is_shut_new_messages_go_to_the_second(ground: Ground) -> None:
    with_fallback(ground, 10)
    ground.pass_with(NO_CREDENTIALS, 2)
    assert claimed(ground) == ["fallback"] * 10
    assert (breaker(ground), breaker(ground, "fallback")) == ("open", "never moved")


def test_one_failover_message_probes_a_second_provider_that_was_shut(ground: Ground) -> None:
    with_fallback(ground, 10)
    with ground.store.write() as connection:
        limits.note_failure(connection, limits.Breaker("fallback"), reason="down", halt=True, retry_after_s=None,
                            now=ground.clock.now)  # fmt: skip
    ground.pass_with(DOWN)
    ground.clock.forward(hours=1)
    taken = claimed(ground)
    assert taken.count("fallback") == 1


def test_a_campaigns_own_providers_are_asked_in_its_own_order(ground: Ground) -> None:
    ground.enqueue(1, campaign='providers = ["fallback", "primary"]')
    assert claimed(ground) == ["fallback"]


def test_a_provider_that_this_host_lacks_is_said_and_nothing_is_claimed(ground: Ground) -> None:
    ground.enqueue(1, campaign='providers = ["elsewhere"]')
    window = ground.clerk().turn([], 1)
    assert window.messages == ()
    assert "no provider of (elsewhere) is configured on this host" in window.blocked


# -- halting campaigns ----------------------------------------------------------------------------------------------


def audit(ground: Ground) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in ground.rows("SELECT login, action, reason FROM audit WHERE action = 'halt'")]


def test_a_halt_of_the_campaign_pauses_it_with_an_audit_row_and_keeps_its_queue(ground: Ground) -> None:
    ground.enqueue(6)
    ground.enqueue(2, name="other")
    clerk = ground.clerk("sale")
    window = clerk.turn([], 3)
    assert clerk.turn(ground.done(window, ACCEPTED, SENDER_REFUSED, UNTOUCHED), 100).messages == ()
    assert ground.states() == {"sent": 1, "queued": 5}
    assert audit(ground) == [("sendctl", "halt", "sender not verified")]
    assert clerk.stops == ["campaign sale was paused: sender not verified"]
    assert len(ground.clerk().turn([], 100).messages) == 2  # the other one goes on


def test_a_window_refused_as_one_pauses_the_campaign(ground: Ground) -> None:
    ground.enqueue(30)
    ground.pass_with(REFUSED_ALL, 12)
    assert ground.states() == {"failed": 12, "queued": 18}
    assert audit(ground) == [("sendctl", "halt", "12 of 12 messages were refused alike: blocked")]
    assert ground.one("SELECT status FROM campaigns") == "paused"


def test_bad_mailboxes_pause_nothing(ground: Ground) -> None:
    ground.enqueue(30)
    ground.pass_with(REFUSED, 30)
    assert audit(ground) == []
    assert ground.states() == {"failed": 30}


def test_addresses_that_a_service_takes_nothing_for_pause_nothing(ground: Ground, tmp_path: Path) -> None:
    people = [*(f"inactive{number}" for number in range(20)), *(f"p{number}" for number in range(20))]
    (tmp_path / "token").write_text(API_KEY)
    with start_http_double(tmp_path, "postmark") as double:
        options = {"server_token_file": str(tmp_path / "token"), "base_url": double.url}
        ground.providers["primary"] = ProviderTable("primary", "postmark", options)
        ground.enqueue(contacts="email,first_name\n" + "".join(f"{one}@x.example,P\n" for one in people))
        assert ground.send_due().work.stops == []
    assert audit(ground) == []
    assert ground.states() == {"failed": 20, "sent": 20}


def test_provider_that_is_resumed_gets_one_message_at_once_and_the_rest_if_it_takes_that(ground: Ground) -> None:
    ground.enqueue(20)
    ground.pass_with(NO_CREDENTIALS, 2)
    assert claimed(ground) == []
    tried = control.try_provider(ground.context, "primary", "new password")
    assert (tried.changed, tried.because) == (True, "bad credentials")
    assert len(ground.pass_with(ACCEPTED, 100).messages) == 1
    assert breaker(ground) == "closed"
    assert len(claimed(ground)) > 1
    action, reason, detail = ground.rows("SELECT action, reason, detail FROM audit ORDER BY id DESC LIMIT 1")[0]
    assert (action, reason, json.loads(detail)["provider"]) == ("resume", "new password", "primary")


def test_resumed_provider_that_fails_again_is_left_alone_for_longer(ground: Ground) -> None:
    ground.enqueue(20)
    ground.pass_with(NO_CREDENTIALS, 2)
    control.try_provider(ground.context, "primary")
    ground.pass_with(NO_CREDENTIALS, 100)
    assert breaker(ground) == "open"
    ground.clock.forward(seconds=limits.HALT_BASE_S + 1)
    assert claimed(ground) == []
    ground.clock.forward(seconds=limits.HALT_BASE_S)
    assert len(claimed(ground)) == 1


def test_provider_that_is_not_left_alone_stays_as_it_is(ground: Ground) -> None:
    ground.enqueue(2)
    assert not control.try_provider(ground.context, "primary").changed
    assert ground.rows("SELECT 1 FROM audit WHERE action = 'resume'") == []
    with pytest.raises(UsageError, match="there is no provider nobody"):
        control.try_provider(ground.context, "nobody")


def test_a_pause_that_a_provider_asks_for_is_kept_by_all_and_counts_as_no_failure(ground: Ground) -> None:
    throttled = Outcome(
        AttemptOutcome.DEFERRED, Phase.REPLIED, Scope.PROVIDER, code=429, text="slow down", error_class="throttled",
        retry_after_s=20.0,
    )  # fmt: skip
    ground.enqueue(3)
    clerk = ground.clerk()
    window = clerk.turn([], 2)
    waiting = clerk.turn(ground.done(window, ACCEPTED, throttled), 2)
    assert (waiting.messages, waiting.wait_s) == ((), 20.0)
    assert clerk.stops == [], "a short pause is nothing that an operator must hear of"
    assert ground.other_host().clerk().turn([], 2).messages == ()
    assert ground.one("SELECT consecutive_failures FROM provider_state WHERE provider = 'primary'") == 0
    ground.clock.forward(seconds=21)
    (probe,) = clerk.turn([], 2).messages
    clerk.turn([*ground.done(Window(messages=(probe,)), ACCEPTED)], 0)
    ground.clock.forward(hours=1)  # what was put off waits besides as long as any retry
    assert len(clerk.turn([], 2).messages) == 1


# -- rests that a provider has named ---------------------------------------------------------------------------------

THROTTLED = Outcome(AttemptOutcome.DEFERRED, Phase.REPLIED, Scope.PROVIDER, code=429, text="slow down",
                    error_class="throttled", retry_after_s=1.0)  # fmt: skip
QUOTA = Outcome(AttemptOutcome.HALTED, Phase.REPLIED, Scope.PROVIDER, code=429, text="no more today",
                error_class="quota", retry_after_s=36_000.0)  # fmt: skip
LONG_PAUSE = THROTTLED._replace(text="come back tonight", retry_after_s=36_000.0)


def resting(ground: Ground) -> tuple[str, float, str | None]:
    """How it stands, for how many seconds more, and why."""
    with ground.store.read() as connection:
        one = limits.breakers(connection)["primary"]
    assert one.retry_at is not None
    return one.state, (one.retry_at - ground.clock.now).total_seconds(), one.reason


@pytest.mark.parametrize("told", [QUOTA, LONG_PAUSE], ids=["quota", "pause"])
@pytest.mark.parametrize("later", [THROTTLED, DOWN, NO_CREDENTIALS, SILENT, ACCEPTED, REFUSED])
def test_a_rest_that_was_told_is_not_ended_by_who_was_in_flight(ground: Ground, told: Outcome, later: Outcome) -> None:
    ground.enqueue(30)
    first, second = ground.clerk(), ground.clerk()
    one, other = first.turn([], 10), second.turn([], 10)
    first.turn(ground.done(one, told), 0)
    assert resting(ground) == ("open", 36_000, told.text)
    second.turn(ground.done(other, later), 0)
    assert resting(ground) == ("open", 36_000, told.text)
    ground.clock.forward(hours=9)
    assert claimed(ground) == []
    ground.clock.forward(hours=2)
    assert len(ground.pass_with(ACCEPTED).messages) == 1
    assert breaker(ground) == "closed"


AWAY = Outcome(AttemptOutcome.DEFERRED, Phase.REPLIED, Scope.PROVIDER, code=503, text="maintenance",
               error_class="unavailable", retry_after_s=1800.0)  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "rest_s", "reason", "failures"),
    [
        ((SILENT, LONG_PAUSE, ACCEPTED), 36_000, "come back tonight", 0),
        ((SILENT, LONG_PAUSE, REFUSED), 36_000, "come back tonight", 1),
        ((ACCEPTED, AWAY, ACCEPTED), 1800, "maintenance", 0),
        ((AWAY, DOWN, AWAY._replace(retry_after_s=5.0)), 1800, "maintenance", 1),
        ((THROTTLED, AWAY, ACCEPTED), 1800, "maintenance", 0),
        ((NO_CREDENTIALS, LONG_PAUSE, ACCEPTED), 36_000, "bad credentials", 1),
        ((SILENT, SILENT, SILENT, THROTTLED), limits.OPEN_BASE_S, "silence", 1),
    ],
)
def test_the_longest_pause_that_was_asked_for_is_kept_whatever_else_came_of_the_window(
    ground: Ground, outcomes: tuple[Outcome, ...], rest_s: float, reason: str, failures: int
) -> None:
    ground.enqueue(20)
    clerk = ground.clerk()
    window = clerk.turn([], len(outcomes))
    after = clerk.turn(ground.done(window, *outcomes), 20)
    assert (after.messages, after.wait_s) == ((), rest_s)
    assert resting(ground) == ("open", rest_s, reason)
    assert ground.other_host().clerk().turn([], 20).messages == ()
    assert ground.one("SELECT consecutive_failures FROM provider_state WHERE provider = 'primary'") == failures


def test_a_longer_rest_takes_the_place_of_a_shorter_one(ground: Ground) -> None:
    ground.enqueue(30)
    first, second = ground.clerk(), ground.clerk()
    one, other = first.turn([], 10), second.turn([], 10)
    first.turn(ground.done(one, THROTTLED), 0)
    second.turn(ground.done(other, QUOTA), 0)
    assert resting(ground) == ("open", 36_000, "no more today")


def test_an_operator_ends_a_rest_that_was_told(ground: Ground) -> None:
    ground.enqueue(30)
    ground.pass_with(QUOTA, 10)
    control.try_provider(ground.context, "primary")
    assert len(ground.pass_with(THROTTLED).messages) == 1
    assert resting(ground) == ("open", 1, "slow down")


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_two_that_are_told_at_the_same_moment_leave_the_longer_rest(ground: Ground) -> None:
    """Neither finds a row of the provider to hold: nothing has ever gone wrong there."""
    ground.enqueue(20)
    mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
    first, second = ground.clerk(), mine.clerk()
    one, other = first.turn([], 10), second.turn([], 10)
    recording = threading.Thread(target=lambda: second.turn(mine.done(other, THROTTLED), 0))
    begin_before_the_commit(ground.store.engine, recording)
    first.turn(ground.done(one, QUOTA), 0)
    recording.join()
    mine.close()
    assert resting(ground) == ("open", 36_000, "no more today")
