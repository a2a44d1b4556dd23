"""The same ground as the tests of the store, and a judge in the place of its first provider."""

from __future__ import annotations

import pytest

from sendctl.providers import registry
from sendctl.settings import ProviderTable
from tests.passes.judge import Judge, JudgedProvider
from tests.store.conftest import ground, postgres_template, sqlite_ground, sqlite_template
from tests.store.ground import Ground

__all__ = ["ground", "judge", "postgres_template", "sqlite_ground", "sqlite_template"]


@pytest.fixture
def judge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """The judge behind provider `primary`; a provider type of its own, built by the real registry."""
    made = Judge()
    monkeypatch.setitem(registry._ADAPTERS, "judge", lambda table, _environ: JudgedProvider(table.name, made))
    name = "sqlite_ground" if "sqlite_ground" in request.fixturenames else "ground"
    laid: Ground = request.getfixturevalue(name)
    laid.providers["primary"] = ProviderTable("primary", "judge", {})
    return made
