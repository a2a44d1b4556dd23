"""Identities: the same after a rewind, one per message, and nothing that a counter could repeat."""

from __future__ import annotations

import base64
import re

from hypothesis import given
from hypothesis import strategies as st

from sendctl.definition import FIRST_STEP, StepName
from sendctl.identity import FirstNames, link_token, new_id, new_secret, provider_key

SECRET = "00" * 32
words = st.text(max_size=20)
slots = st.tuples(words, words, words, st.integers(0, 9), st.integers(0, 9), st.sampled_from(["email", "sms"]))


def step_name(number: int) -> StepName:
    """The first step, or the n-th name."""
    return StepName(f"s{number // 3}", number % 3) if number else FIRST_STEP


def key(slot: tuple[str, str, str, int, int, str], secret: str = SECRET) -> str:
    campaign, address_key, subject_key, step_index, occurrence, channel = slot
    return provider_key(
        secret, campaign=campaign, address_key=address_key, subject_key=subject_key, step=step_name(step_index),
        occurrence=occurrence, channel=channel,
    )  # fmt: skip


def test_a_key_never_changes_from_one_version_of_sendctl_to_the_next() -> None:
    # A changed formula would send to everyone again after an upgrade: this constant may never be edited.
    assert key(("sale", "ana@one.example", "", 0, 0, "email")) == "e3f1118e16dd3abc3ce83f4867367683"


def test_a_copy_has_a_key_of_its_own_for_ever_and_the_first_one_that_of_before() -> None:
    def numbered(copy: int) -> str:
        return provider_key(
            SECRET, campaign="sale", address_key="ana@one.example", subject_key="", step=FIRST_STEP, occurrence=0,
            channel="email", copy=copy,
        )  # fmt: skip

    assert numbered(0) == "e3f1118e16dd3abc3ce83f4867367683"
    assert numbered(1) == "5933a982b2074cddffeaa67ee2c6022b"
    assert len({numbered(copy) for copy in range(9)}) == 9


@given(slots, slots)
def test_a_key_is_the_same_for_the_same_slot_and_another_for_any_other(
    one: tuple[str, str, str, int, int, str], two: tuple[str, str, str, int, int, str]
) -> None:
    assert (key(one) == key(two)) == (one == two)
    assert re.fullmatch("[0-9a-f]{32}", key(one))


@given(st.lists(words, min_size=3, max_size=3), st.lists(words, min_size=3, max_size=3))
def test_a_token_is_one_enrollments_alone(one: list[str], two: list[str]) -> None:
    def token(place: list[str]) -> str:
        return link_token(SECRET, campaign=place[0], address_key=place[1], subject_key=place[2])

    assert (token(one) == token(two)) == (one == two)
    assert re.fullmatch("[a-z2-7]{32}", token(one))


@given(words, st.lists(words | st.emails(), max_size=5))
def test_many_names_at_once_are_those_that_each_has_alone(campaign: str, address_keys: list[str]) -> None:
    secret = new_secret()
    names = FirstNames(secret, campaign=campaign, channel="email")
    assert names.provider_keys(address_keys) == [
        key((campaign, address_key, "", 0, 0, "email"), secret) for address_key in address_keys
    ]
    tokens = names.link_tokens(address_keys)
    assert tokens == [link_token(secret, campaign=campaign, address_key=each, subject_key="") for each in address_keys]
    assert all(len(base64.b32decode(token.upper())) == 20 for token in tokens)


def test_moving_a_letter_from_one_part_to_the_next_is_another_slot() -> None:
    assert key(("sale", "xa@b.example", "", 0, 0, "email")) != key(("salex", "a@b.example", "", 0, 0, "email"))
    assert key(("sale", "a", "1", 0, 0, "email")) != key(("sale", "a", "", 1, 0, "email"))


def test_two_stores_share_no_keys() -> None:
    slot = ("sale", "ana@one.example", "", 0, 0, "email")
    assert key(slot, new_secret()) != key(slot, new_secret())


def test_claims_and_runs_are_random() -> None:
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch("[a-z2-7]{16}", each) for each in made)
    assert re.fullmatch("[0-9a-f]{64}", new_secret())
