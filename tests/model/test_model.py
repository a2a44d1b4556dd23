"""The small scenarios to their end, and every variant: the model finds nothing, and would have found something."""

from __future__ import annotations

import pytest

from tests.model.explorer import explore
from tests.model.scenario import QUICK, Scenario
from tests.model.variants import VARIANTS, explored


@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: scenario.name)
def test_nothing_goes_wrong_in_any_order_of_events(scenario: Scenario) -> None:
    found = explore(scenario)
    assert not found.violation, "\n".join([found.violation, *found.trace])
    assert found.complete
    assert found.final > 0


@pytest.mark.parametrize("name", VARIANTS)
def test_a_protocol_that_is_broken_on_purpose_is_caught(name: str) -> None:
    found = explored(name)
    assert found.violation, f"{found.states} states, and nothing found"
    assert found.trace
