"""A definition in the store is the definition, and only what can be kept is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendctl.definition import (
    Controls,
    Definition,
    LetterTerms,
    Rate,
    Step,
    Trigger,
    Window,
    controls_from_json,
    controls_to_json,
    fingerprint,
    from_json,
    renumbered,
    to_json,
)

PLAIN = Definition("sale", (Step("offer", subject="Hello"),))
FULL = replace(
    PLAIN, providers=("primary",), stop_on=("bounced",), start_at=datetime(2026, 3, 2, 9, tzinfo=UTC),
    window=Window(time(8), time(20)), trigger=Trigger("order.delivered", key="{{ order.id }}"),
    controls=Controls(batch_size=7, rate=Rate(50, 1)), expires_after_s=60,
)  # fmt: skip


@pytest.mark.parametrize("definition", [PLAIN, FULL], ids=["plain", "full"])
def test_a_definition_comes_back_from_the_store_as_it_was(definition: Definition) -> None:
    assert from_json(to_json(definition)) == definition
    assert controls_from_json(controls_to_json(definition.controls)) == definition.controls


def test_controls_do_not_change_what_messages_are_made_of() -> None:
    assert fingerprint(FULL) == fingerprint(replace(FULL, controls=Controls()))
    assert fingerprint(FULL) != fingerprint(replace(FULL, sender="Shop <news@shop.example>"))


def test_fingerprints_never_change_from_one_version_of_sendctl_to_the_next() -> None:
    """Journals name the contents of messages by them: a key that a file does not have must not change its name."""
    steps = (Step("offer", subject="Hello", text="Hi"),)
    before = Definition(
        "spring-sale", steps, sender="Shop <news@shop.example>", unsubscribe_url="https://shop.example/u",
        window=Window(time(8), time(20)),
    )  # fmt: skip
    assert fingerprint(before) == "7166fe9b2ad8ad4a"
    assert fingerprint(replace(before, sms_sender="Shop")) != "7166fe9b2ad8ad4a"


def test_a_definition_from_before_there_was_a_key_is_read() -> None:
    stored = json.loads(to_json(FULL))
    assert "sms_sender" not in stored, "left out where it says nothing"
    assert from_json(json.dumps(stored)) == FULL


def test_what_no_campaign_file_can_hold_is_not_kept() -> None:
    strange: Any = {1, 2}
    with pytest.raises(TypeError, match="cannot store set"):
        to_json(replace(PLAIN, purpose=strange))


def sequence(*names: str, kind: str = "drip", repeat: int = 1) -> Definition:
    return Definition("sale", tuple(Step(name, kind if index else "initial", repeat=repeat if index else 1)
                                    for index, name in enumerate(names)))  # fmt: skip


def walk(definition: Definition, number: int) -> list[str]:
    """The names of the steps after a number, as an enrollment meets them."""
    names, place = [], definition.next_place(number, 0)
    while place is not None:
        names.append(definition.step(place[0]).name)
        place = definition.next_place(*place)
    return names


def test_a_step_keeps_its_number_by_its_name() -> None:
    first = sequence("welcome", "tips", "offer")
    second = renumbered(first, sequence("welcome", "hint", "tips", "offer", "last"))
    assert (second.numbers, second.order) == ((0, 3, 1, 2, 4), (0, 3, 1, 2, 4))
    third = renumbered(second, sequence("welcome", "offer", "last", "more"))
    assert (third.numbers, third.order) == ((0, 2, 4, 5), (0, 3, 1, 2, 4, 5))
    assert walk(third, 1) == ["offer", "last", "more"]


def test_a_step_that_comes_back_has_a_new_number_in_the_old_ones_place() -> None:
    gone = renumbered(sequence("welcome", "tips", "offer"), sequence("welcome", "offer"))
    back = renumbered(gone, sequence("welcome", "tips", "offer"))
    assert (back.numbers, back.order) == ((0, 3, 2), (0, 1, 3, 2))
    assert walk(back, 1) == ["tips", "offer"]
    assert back.earlier == ()


def test_a_step_that_is_back_knows_its_earlier_numbers_and_repeats_nothing() -> None:
    gone = renumbered(sequence("ask", "nudge", "last", repeat=2), sequence("ask", "last"))
    names = {0: "ask", 1: "nudge", 2: "last"}
    back = renumbered(gone, sequence("ask", "nudge", "last", kind="reminder", repeat=2), names)
    assert back.earlier == ((3, 1),)
    assert from_json(to_json(back)) == back
    assert fingerprint(back) == fingerprint(replace(back, earlier=()))
    assert [back.next_place(1, 0, had={3: had}) for had in (0, 1, 2)] == [(3, 0), (3, 1), (2, 0)]
    assert back.next_place(1, 0, sent=False) is None
    gone = renumbered(back, sequence("ask", "last"), names)
    again = renumbered(gone, sequence("ask", "nudge", "last"), names | {3: "nudge"})
    assert again.earlier == ((4, 1), (4, 3))
    assert [again.step(number).name for number in (0, 1, 3, 4, 2)] == ["ask", "nudge", "nudge", "nudge", "last"]
    assert [again.numbers_of(number) for number in (1, 3, 4)] == [{1, 3, 4}] * 3
    assert (gone.has_step(3), again.has_step(3), again.has_place(3, 0)) == (False, True, False)
    assert gone.numbers_of(3) == {3}


def test_steps_that_change_places_are_refused() -> None:
    with pytest.raises(ValueError, match="tips") as caught:
        renumbered(sequence("welcome", "tips", "offer"), sequence("welcome", "offer", "tips"))
    assert caught.value.args == ("tips", "offer")


def test_reminders_repeat_and_only_what_was_sent_is_reminded_of() -> None:
    steps = (Step("ask"), Step("nudge", "reminder", repeat=2), Step("last", "drip"))
    definition = Definition("sale", steps)
    assert definition.next_place(0, 0) == (1, 0)
    assert definition.next_place(1, 0) == (1, 1)
    assert definition.next_place(1, 1) == (2, 0)
    assert definition.next_place(2, 0) is None
    assert definition.next_place(0, 0, sent=False) == (2, 0)
    assert definition.next_place(1, 0, sent=False) == (2, 0)


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6)


@given(st.lists(NAMES, min_size=1, max_size=6))
def test_whatever_the_revisions_nobody_goes_back_and_every_later_step_is_met(files: list[list[str]]) -> None:
    current = sequence("first", *files[0])
    for names in files[1:]:
        try:
            following = renumbered(current, sequence("first", *names))
        except ValueError:
            continue
        assert [step.name for step in following.steps] == ["first", *names]
        assert sorted(set(following.order)) == sorted(following.order)
        assert [number for number in following.order if number in current.order] == list(current.order)
        assert [number for number in following.order if number in following.numbers] == list(following.numbers)
        for name, number in zip(["first", *names], following.numbers, strict=True):
            assert walk(following, number) == names[names.index(name) + 1 if name in names else 0 :]
        current = following


def test_events_end_what_they_must() -> None:
    drip, reminds = sequence("welcome", "tips"), sequence("ask", "nudge", kind="reminder")
    assert [event for event in ("submitted", "bounced", "unsubscribed", "complained") if drip.ends_on(event)] == [
        "bounced", "unsubscribed", "complained",
    ]  # fmt: skip
    double = replace(reminds, channel="both")
    assert (double.ends_on("bounced"), replace(double, stop_on=("bounced",)).ends_on("bounced")) == (False, True)
    assert all(reminds.ends_on(event) for event in ("submitted", "bounced", "unsubscribed", "complained"))
    assert not reminds.ends_on("opened")
    assert replace(drip, stop_on=("clicked",)).ends_on("clicked")


def test_the_contents_of_files_that_exist_keep_their_names() -> None:
    """Journals name contents by them: a replay with another version of sendctl must find them."""
    assert fingerprint(FULL) == "18bb458be8022e61"
    assert fingerprint(replace(FULL, account="shop")) == fingerprint(FULL)  # no message says whose account it was
    assert "account" not in json.loads(to_json(FULL)), "as in definitions from before"
    assert from_json(to_json(FULL)) == FULL


def test_contents_are_named_as_they_were_before_there_were_letters() -> None:
    """Journals that were written then have these: a replay must find the revision they name."""
    step = Step("offer", subject="S", text="T")
    nudge = Step("nudge", "reminder", 86400, 2, "S2", "T2", "H2")
    known = Definition(
        "spring-sale", (step, nudge), sender="Shop <news@shop.example>", window=Window(time(8), time(20)),
        trigger=Trigger("order.delivered", key="{{ order.id }}", email="{{ order.email }}"),
        start_at=datetime(2026, 11, 23, tzinfo=UTC), stop_on=("submitted",), expires_after_s=604800,
    )  # fmt: skip
    assert fingerprint(known) == "8daae8d200c3fa16"
    assert fingerprint(Definition("a", (Step("s"),))) == "485ed4526e6351dc"
    assert "letter" not in to_json(known)


def test_a_letter_comes_back_and_its_contents_have_another_name() -> None:
    letter = replace(PLAIN, letter=LetterTerms(notify="me@shop.example", contents="abc"))
    assert from_json(to_json(letter)) == letter
    assert fingerprint(letter) != fingerprint(replace(letter, letter=LetterTerms(notify="me@shop.example")))
    assert (letter.is_letter, letter.is_sealed) == (True, True)
    assert not replace(PLAIN, letter=LetterTerms(about="x")).is_letter
