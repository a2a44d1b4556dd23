"""docs/STATES.md and docs/GLOSSARY.md say what the code and the schema say: every word, every arrow, no other."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

from sendctl.faults import FAILPOINTS
from sendctl.passes.control import MOVES
from sendctl.providers.base import Phase, Scope
from sendctl.states import (
    TRANSITIONS,
    AttemptOutcome,
    CampaignStatus,
    Channel,
    EnrollmentStatus,
    EventType,
    State,
)

DOCS = Path(__file__).parents[2] / "docs"
STATES = (DOCS / "STATES.md").read_text()
GLOSSARY = (DOCS / "GLOSSARY.md").read_text()


def section(heading: str) -> str:
    return STATES.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def arrows(heading: str) -> set[tuple[str, str, str]]:
    """(source, target, label) of a section's chart."""
    chart = section(heading).partition("```mermaid\n")[2].partition("```")[0]
    found = re.findall(r"^ +(\S+) --> (\w+)(?:: (.+))?$", chart, re.MULTILINE)
    assert len(found) == len(chart.strip().splitlines()) - 1, "a line of the chart is no arrow"
    return set(found)


def test_chart_of_messages_has_exactly_the_transitions() -> None:
    drawn = {arrow for arrow in arrows("Messages") if arrow[0] != "[*]"}
    allowed = {(str(source), str(rule.target), name) for name, rule in TRANSITIONS.items() for source in rule.sources}
    assert drawn == allowed


def test_each_transition_is_explained_once() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section("Messages").partition("### ")[0], re.MULTILINE)
    assert rows == list(TRANSITIONS)


@pytest.mark.parametrize(
    ("heading", "words"),
    [("Attempts", AttemptOutcome), ("Enrollments", EnrollmentStatus), ("Campaigns", CampaignStatus)],
)
def test_charts_and_tables_use_every_word_and_no_other(heading: str, words: type[StrEnum]) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section(heading), re.MULTILINE)
    assert rows == [str(word) for word in words]
    drawn = {end for source, target, _ in arrows(heading) for end in (source, target)} - {"[*]"}
    assert drawn <= set(words)
    assert drawn >= set(words) - {CampaignStatus.ARCHIVED}  # no command moves there yet


def test_chart_of_campaigns_has_exactly_the_moves_of_the_operators_verbs() -> None:
    drawn = {(source, target, verb) for source, target, label in arrows("Campaigns") for verb in MOVES
             if label.partition(",")[0] == verb}  # fmt: skip
    allowed = {(str(source), str(move.target), verb) for verb, move in MOVES.items() for source in move.sources}
    assert drawn == allowed


def test_schema_has_the_moves_of_a_replay() -> None:
    schema = (DOCS.parent / "schema.sql").read_text()
    found = re.search(r"^--   ([\w |]+) -> (sent \| in_doubt)$", schema, re.MULTILINE)
    assert found is not None
    drawn = {(source, target) for source in found[1].split(" | ") for target in found[2].split(" | ")}
    replays = [rule for name, rule in TRANSITIONS.items() if name.startswith("replay_")]
    assert drawn == {(str(source), str(rule.target)) for rule in replays for source in rule.sources}


def test_each_state_says_what_a_crash_leaves_and_who_repairs_it() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section("Messages").partition("### ")[2], re.MULTILINE)
    assert sorted(rows) == sorted(State)


@pytest.mark.parametrize(
    "words", [State, AttemptOutcome, EnrollmentStatus, CampaignStatus, Channel, Phase, Scope, EventType]
)
def test_glossary_has_every_word(words: type[StrEnum]) -> None:
    assert not [word for word in words if f"`{word}`" not in GLOSSARY]


def test_glossary_has_every_kind_of_evidence() -> None:
    check = re.search(r"evidence IN \(([^)]*)\)", (DOCS.parent / "schema.sql").read_text())
    assert check is not None
    assert not [word for word in re.findall(r"'(\w+)'", check[1]) if f"`{word}`" not in GLOSSARY]


def test_architecture_says_what_a_crash_leaves_at_each_failpoint() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \|", (DOCS / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert [name for name in rows if name in FAILPOINTS] == list(FAILPOINTS)
