"""What a new revision of a campaign differs in, in the words of its file."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pytest

from sendctl.definition import Controls, Definition, Step, Trigger, Window
from sendctl.store.campaigns import describe_difference

PAGE = (Path(__file__).parents[2] / "docs/campaign-file.md").read_text()
BEFORE = Definition("sale", (Step("offer"),))
OTHER: dict[str, Any] = {
    "providers": ("spare",), "start_at": datetime(2026, 11, 23, 9, tzinfo=UTC), "expires_after_s": 60,
    "window": Window(time(8), time(20)), "stop_on": ("clicked",), "trigger": Trigger("order.delivered"),
}  # fmt: skip


def documented(section: str) -> set[str]:
    """The keys of a section of the campaign file."""
    return set(
        re.findall(r"^\| `(\w+)` \|", PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0], re.MULTILINE)
    )


@pytest.mark.parametrize(
    "name",
    [
        field.name
        for field in fields(Definition)
        if field.name not in ("steps", "controls", "numbers", "order", "earlier", "letter")
    ],
)
def test_a_changed_key_is_named_as_the_file_names_it(name: str) -> None:
    (said,) = describe_difference(BEFORE, replace(BEFORE, **{name: OTHER.get(name, "another")}))
    section, _, key = said.rpartition(".")
    if said == "trigger":
        assert "\n## [trigger]\n" in PAGE
    else:
        assert key in documented(f"[{section or 'campaign'}]")


@pytest.mark.parametrize("name", [field.name for field in fields(Step) if field.name != "name"])
def test_a_changed_key_of_a_step_is_named_with_the_steps_name(name: str) -> None:
    value: Any = 7 if name in ("after_s", "repeat") else "another"
    after = replace(BEFORE, steps=(replace(BEFORE.steps[0], **{name: value}),))
    (said,) = describe_difference(BEFORE, after)
    place = f"steps.{BEFORE.steps[0].name}."
    assert said.startswith(place)
    assert said.removeprefix(place) in documented("[[steps]]")


def test_steps_are_known_by_their_names() -> None:
    def with_steps(*names: str) -> Definition:
        return replace(BEFORE, steps=tuple(Step(name, text=f"of {name}") for name in names), numbers=(), order=())

    before = with_steps("one", "two", "three")
    assert describe_difference(before, with_steps("one", "new", "two", "three")) == ["steps.new"]
    assert describe_difference(before, with_steps("one", "three")) == ["steps.two"]
    assert describe_difference(before, with_steps("one", "other", "three")) == ["steps.other", "steps.two"]
    assert describe_difference(before, with_steps("one", "three", "two")) == ["steps"]


def test_live_controls_are_no_difference() -> None:
    assert describe_difference(BEFORE, replace(BEFORE, controls=Controls(batch_size=7))) == []
