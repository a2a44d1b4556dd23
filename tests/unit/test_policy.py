"""What an outcome means for its message: only definite non-acceptance leads back to the queue."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendctl.definition import Controls
from sendctl.policy import Decision, concerns_everyone, concerns_the_provider, decide
from sendctl.providers.base import Outcome, Phase, Scope
from sendctl.providers.http.api import Reply
from sendctl.providers.http.verdicts import BAD_RECIPIENT, judged
from sendctl.states import TRANSITIONS, AttemptOutcome, State

KINDS = [kind for kind in AttemptOutcome if kind not in (AttemptOutcome.OPEN, AttemptOutcome.ABANDONED)]
PROVIDERS = ("primary", "fallback")


def decided(kind: AttemptOutcome, scope: Scope = Scope.RECIPIENT, *, charged: int = 0, provider: str = "primary",
            retry_after_s: float | None = None, providers: tuple[str, ...] = PROVIDERS, tries: int = 0,
            phase: Phase = Phase.REPLIED, code: int | None = 450) -> Decision:  # fmt: skip
    outcome = Outcome(kind, phase, scope, code=code, retry_after_s=retry_after_s)
    return decide(
        outcome, provider=provider, tries=tries or charged, charged_attempts=charged,
        controls=Controls(max_attempts=3, retry_base_s=60.0), providers=providers, jitter=random.Random(7),
    )  # fmt: skip


outcomes = st.builds(
    Outcome,
    st.sampled_from(KINDS),
    st.sampled_from(Phase),
    st.sampled_from(Scope),
    retry_after_s=st.none() | st.floats(0, 1e6),
)


@given(
    outcomes,
    st.sampled_from([*PROVIDERS, "gone"]),
    st.integers(0, 30),
    st.sampled_from([(), ("primary",), PROVIDERS]),
    st.integers(0, 2**32),
)
def test_unknown_is_always_doubt_and_nothing_else_is(
    outcome: Outcome, provider: str, charged: int, providers: tuple[str, ...], seed: int
) -> None:
    decision = decide(
        outcome, provider=provider, tries=charged, charged_attempts=charged, controls=Controls(),
        providers=providers, jitter=random.Random(seed),
    )  # fmt: skip
    rule = TRANSITIONS[decision.transition]
    assert rule.sources == {State.SENDING}
    assert (rule.target is State.IN_DOUBT) == (outcome.kind is AttemptOutcome.UNKNOWN)
    assert (rule.target is State.SENT) == (outcome.kind is AttemptOutcome.ACCEPTED)
    assert decision.delay_s >= 0
    if decision.next_provider is not None:
        assert outcome.kind in (AttemptOutcome.DEFERRED, AttemptOutcome.HALTED)
        assert rule.target is State.QUEUED


def test_failover_goes_forward_only_and_ends() -> None:
    assert decided(AttemptOutcome.DEFERRED, Scope.PROVIDER).next_provider == "fallback"
    assert decided(AttemptOutcome.DEFERRED, Scope.PROVIDER, provider="fallback").next_provider is None
    assert decided(AttemptOutcome.DEFERRED, Scope.PROVIDER, providers=("primary",)).next_provider is None
    assert decided(AttemptOutcome.DEFERRED, Scope.PROVIDER, provider="removed").next_provider is None


def test_failover_waits_for_nothing_and_charges_nothing() -> None:
    decision = decided(AttemptOutcome.DEFERRED, Scope.PROVIDER, charged=2)
    assert (decision.transition, decision.delay_s, decision.charged) == ("release", 0.0, False)


@pytest.mark.parametrize("kind", [AttemptOutcome.UNKNOWN, AttemptOutcome.REFUSED])
def test_no_failover_after_what_is_not_a_passing_refusal(kind: AttemptOutcome) -> None:
    assert decided(kind, Scope.PROVIDER).next_provider is None


def test_a_halt_of_the_provider_fails_over_at_once_and_one_of_the_campaign_does_not() -> None:
    assert decided(AttemptOutcome.HALTED, Scope.PROVIDER) == Decision("release", next_provider="fallback")
    quota = Outcome(AttemptOutcome.HALTED, Phase.REPLIED, Scope.PROVIDER, code=429, retry_after_s=50_000.0)
    wanted = {"tries": 0, "charged_attempts": 0, "controls": Controls(), "jitter": random.Random(7)}
    over = decide(quota, provider="primary", providers=PROVIDERS, **wanted)  # type: ignore[arg-type]
    assert (over.next_provider, over.delay_s) == ("fallback", 0.0), "the wait is the first one's own"
    last = decide(quota, provider="fallback", providers=PROVIDERS, **wanted)  # type: ignore[arg-type]
    assert (last.next_provider, last.delay_s >= 50_000.0) == (None, True)
    assert decided(AttemptOutcome.HALTED, Scope.CAMPAIGN).next_provider is None


@pytest.mark.parametrize("error_class", ["size", "8bitmime-unsupported", "smtputf8-unsupported"])
def test_what_one_provider_cannot_carry_goes_to_the_next(error_class: str) -> None:
    outcome = Outcome(AttemptOutcome.REFUSED, Phase.UNTOUCHED, error_class=error_class)

    def at(provider: str) -> Decision:
        return decide(outcome, provider=provider, tries=0, charged_attempts=0, controls=Controls(),
                      providers=PROVIDERS, jitter=random.Random(7))  # fmt: skip

    assert at("primary") == Decision("release", next_provider="fallback")
    assert at("fallback") == Decision("refuse", charged=True)


def test_a_window_put_off_as_one_is_the_providers_own() -> None:
    def said(number: int, enhanced: str, kind: AttemptOutcome = AttemptOutcome.DEFERRED) -> list[Outcome]:
        return [Outcome(kind, Phase.BEGUN, code=451, enhanced=enhanced, error_class="rcpt")] * number

    assert concerns_the_provider(said(10, "4.7.1"))
    assert concerns_the_provider(said(18, "") + said(2, "", AttemptOutcome.ACCEPTED))
    assert not concerns_the_provider(said(9, "4.7.1"))
    assert not concerns_the_provider(said(10, "4.7.1") + said(2, "", AttemptOutcome.ACCEPTED))
    assert not concerns_the_provider(said(50, "4.2.2"))
    assert not concerns_the_provider(said(8, "4.7.1") + said(8, "4.4.1"))


def test_attempts_are_bounded_and_the_last_failure_may_pass() -> None:
    assert [decided(AttemptOutcome.DEFERRED, charged=n).transition for n in range(4)] == [
        "release", "release", "refuse", "refuse",
    ]  # fmt: skip
    assert decided(AttemptOutcome.DEFERRED, charged=2).transient
    assert not decided(AttemptOutcome.REFUSED).transient


def test_a_provider_that_is_down_never_uses_up_a_persons_attempts() -> None:
    decision = decided(AttemptOutcome.DEFERRED, Scope.PROVIDER, charged=2, tries=39, provider="fallback")
    assert decision.transition == "release"
    assert not decision.charged
    for kind, phase in product((AttemptOutcome.HALTED, AttemptOutcome.UNTOUCHED), Phase):
        assert decided(kind, tries=1000, charged=2, phase=phase) == Decision("release")


def test_a_provider_that_cannot_be_reached_charges_nobody_and_is_left_alone_for_a_while() -> None:
    for provider in ("fallback", "removed"):  # neither has a provider behind it
        decision = decided(AttemptOutcome.DEFERRED, Scope.PROVIDER, provider=provider, phase=Phase.UNTOUCHED, code=None)
        assert (decision.transition, decision.charged) == ("release", False)
        assert 30.0 <= decision.delay_s <= 60.0


def test_waits_grow_with_what_was_charged_and_without_charge_with_the_tries() -> None:
    assert 60.0 <= decided(AttemptOutcome.DEFERRED, charged=1, tries=29).delay_s <= 120.0
    uncharged = decided(AttemptOutcome.DEFERRED, Scope.PROVIDER, charged=0, tries=2, provider="fallback")
    assert 120.0 <= uncharged.delay_s <= 240.0


def test_what_was_accepted_refused_or_lost_counts_as_an_attempt() -> None:
    for kind in (AttemptOutcome.ACCEPTED, AttemptOutcome.REFUSED, AttemptOutcome.UNKNOWN):
        assert decided(kind).charged


def test_a_message_that_breaks_every_connection_is_charged_for_it_and_ends() -> None:
    broken = {"scope": Scope.PROVIDER, "phase": Phase.BEGUN, "code": None, "provider": "fallback"}
    assert decided(AttemptOutcome.DEFERRED, charged=0, **broken).charged  # type: ignore[arg-type]
    assert decided(AttemptOutcome.DEFERRED, charged=2, **broken) == Decision(  # type: ignore[arg-type]
        "refuse", charged=True, transient=True
    )


def test_a_message_that_is_put_off_for_ever_ends_as_a_dead_letter() -> None:
    def after(tries: int) -> Decision:
        return decided(AttemptOutcome.DEFERRED, Scope.PROVIDER, tries=tries, provider="fallback")

    assert after(48).transition == "release"
    assert after(49) == Decision("refuse", transient=True)


def test_a_retry_after_is_a_lower_bound() -> None:
    assert decided(AttemptOutcome.DEFERRED, retry_after_s=5000.0).delay_s == 5000.0
    assert 30.0 <= decided(AttemptOutcome.DEFERRED, retry_after_s=1.0).delay_s <= 60.0
    assert decided(AttemptOutcome.HALTED, retry_after_s=77.0).delay_s == 77.0


def test_a_window_that_cannot_even_be_rendered_concerns_everyone() -> None:
    broken = Outcome(AttemptOutcome.REFUSED, Phase.UNTOUCHED, text="no such name", error_class="render")
    assert concerns_everyone([broken] * 10)


def window(refused: int, accepted: int = 0, *, enhanced: str = "5.7.1") -> list[Outcome]:
    bad = Outcome(AttemptOutcome.REFUSED, Phase.REPLIED, code=550, enhanced=enhanced, text="no", error_class="data")
    good = Outcome(AttemptOutcome.ACCEPTED, Phase.REPLIED, code=250)
    return [bad] * refused + [good] * accepted


def not_ascii(scope: Scope) -> Outcome:
    return Outcome(AttemptOutcome.REFUSED, Phase.UNTOUCHED, scope, enhanced="5.6.7", text="not ASCII",
                   error_class="smtputf8-unsupported")  # fmt: skip


def test_an_address_of_the_campaign_that_a_relay_cannot_carry_concerns_everyone() -> None:
    assert concerns_everyone([not_ascii(Scope.CAMPAIGN)] * 10)
    assert concerns_everyone([not_ascii(Scope.RECIPIENT)] * 5 + [not_ascii(Scope.CAMPAIGN)] * 5)


@pytest.mark.parametrize("error_class", ["size", "8bitmime-unsupported", "content", "render"])
def test_what_a_relay_cannot_carry_for_all_concerns_everyone(error_class: str) -> None:
    cannot = Outcome(AttemptOutcome.REFUSED, Phase.UNTOUCHED, text="no", error_class=error_class)
    assert concerns_everyone([cannot] * 10)


def test_a_window_refused_as_one_concerns_everyone() -> None:
    assert concerns_everyone(window(10)) == "10 of 10 messages were refused alike: no"
    assert concerns_everyone(window(18, 2))


@pytest.mark.parametrize(
    "outcomes",
    [
        window(9),
        window(17, 3),
        window(20, enhanced="5.1.1"),
        [Outcome(AttemptOutcome.UNTOUCHED, Phase.UNTOUCHED)] * 20,
        window(10) + window(10, enhanced="5.3.4"),
        [not_ascii(Scope.RECIPIENT)] * 20,
        [judged(Reply(422, {}, b""), BAD_RECIPIENT, "406 inactive")] * 20,
        [],
    ],
    ids=[
        "too few",
        "too many accepted",
        "bad mailboxes",
        "given back",
        "two reasons",
        "not ASCII",
        "of a service",
        "nothing",
    ],
)
def test_refusals_that_are_each_recipients_own_stop_nothing(outcomes: list[Outcome]) -> None:
    assert concerns_everyone(outcomes) == ""
