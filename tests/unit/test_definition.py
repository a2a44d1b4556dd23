"""A definition in the store is the definition, and only what can be kept is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Any

import pytest

from sendctl.definition import (
    Controls,
    Definition,
    Rate,
    Step,
    Trigger,
    Window,
    controls_from_json,
    controls_to_json,
    fingerprint,
    from_json,
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


def test_what_no_campaign_file_can_hold_is_not_kept() -> None:
    strange: Any = {1, 2}
    with pytest.raises(TypeError, match="cannot store set"):
        to_json(replace(PLAIN, purpose=strange))
