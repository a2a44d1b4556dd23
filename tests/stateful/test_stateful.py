"""A bounded, repeatable share of the stateful model, on both databases; `make prove-stateful` goes on from here."""

from __future__ import annotations

import pytest

from tests.stateful.running import explored

EXAMPLES, STEPS = 10, 20


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_whatever_happens_nobody_is_sent_to_twice_and_nobody_is_missed(
    database: str, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgres_url") if database == "postgres" else ""
    found = explored(server, examples=EXAMPLES, steps=STEPS)
    assert found.examples >= EXAMPLES
    assert found.ends >= EXAMPLES
    assert found.moves > EXAMPLES * STEPS / 2
