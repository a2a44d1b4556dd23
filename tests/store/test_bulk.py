"""Rows that travel to the database as one parameter: what cannot is a defect, said at once and not half sent."""

from __future__ import annotations

import pytest

from sendctl.store.bulk import bound


def test_a_value_that_no_column_could_have_is_a_defect() -> None:
    with pytest.raises(TypeError, match="object cannot travel as JSON"):
        bound([(1, object())])
