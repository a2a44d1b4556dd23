"""The table of transitions: what it allows, what it must never allow, and that a reader of schema.sql sees the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sendctl.states import TRANSITIONS, State

CHART = {
    "queued -> sending",
    "sending -> sent",
    "sending -> queued",
    "sending -> failed",
    "sending -> in_doubt",
    "sent -> bounced",
    "in_doubt -> sent",
    "in_doubt -> queued",
    "in_doubt -> failed",
    "queued -> suppressed",
    "queued -> cancelled",
    "queued -> expired",
    "queued -> failed",
    "failed -> queued",
}
# Only a journal that outlived the database makes these: the message was handed over before the store was rewound.
REPLAYED = {
    "queued -> sent",
    "failed -> sent",
    "cancelled -> sent",
    "expired -> sent",
    "suppressed -> sent",
    "queued -> in_doubt",
    "failed -> in_doubt",
    "cancelled -> in_doubt",
    "expired -> in_doubt",
    "suppressed -> in_doubt",
}


def moves(prefix: str = "") -> set[str]:
    return {
        f"{source} -> {rule.target}"
        for name, rule in TRANSITIONS.items()
        for source in rule.sources
        if name.startswith(prefix)
    }


def test_moves_are_those_of_the_chart_and_those_of_a_replay() -> None:
    replayed = {f"{source} -> {rule.target}" for name, rule in TRANSITIONS.items() if name.startswith("replay_")
                for source in rule.sources}  # fmt: skip
    assert replayed == REPLAYED
    assert moves() - replayed == CHART


def test_a_sent_message_can_only_bounce() -> None:
    assert {rule.target for rule in TRANSITIONS.values() if State.SENT in rule.sources} == {State.BOUNCED}
    assert not [rule for rule in TRANSITIONS.values() if State.BOUNCED in rule.sources]


def test_only_a_claim_of_a_queued_message_leads_to_sending() -> None:
    into = {name for name, rule in TRANSITIONS.items() if rule.target is State.SENDING}
    assert into == {"claim"}
    assert TRANSITIONS["claim"].sources == {State.QUEUED}


def test_doubt_leads_back_to_the_queue_by_proof_or_by_decision_only() -> None:
    back = {name for name, rule in TRANSITIONS.items()
            if State.IN_DOUBT in rule.sources and rule.target is State.QUEUED}  # fmt: skip
    assert back == {"prove_absent", "resend"}


def test_every_state_is_reached_and_no_move_stands_still() -> None:
    assert {rule.target for rule in TRANSITIONS.values()} == set(State)
    assert not [name for name, rule in TRANSITIONS.items() if rule.target in rule.sources]


def test_what_has_ended_is_changed_by_a_person_a_later_event_or_a_replay_only() -> None:
    ended = set(State) - {State.QUEUED, State.SENDING, State.IN_DOUBT}
    leaving = {name for name, rule in TRANSITIONS.items() if rule.sources & ended}
    assert leaving == {"retry", "bounce", "replay_accepted", "replay_doubt"}


@pytest.mark.parametrize("move", sorted(CHART))
def test_the_chart_at_the_head_of_the_schema_names_each_move(move: str) -> None:
    head = (Path(__file__).parents[2] / "schema.sql").read_text().partition("CREATE TABLE")[0]
    source, target = move.split(" -> ")
    assert re.search(rf"{source}\b[^\n]*->[^\n]*\b{target}\b", head), f"schema.sql does not say {move}"
