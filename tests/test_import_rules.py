"""What imports may not do, beyond the layers in pyproject.toml: SQL stays in the store, states stand alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sendctl"
DATABASE_MODULES = frozenset({"sqlalchemy", "sqlite3", "psycopg"})
OUTSIDE_THE_STORE = sorted(path for path in PACKAGE.rglob("*.py") if "store" not in path.relative_to(PACKAGE).parts)


def is_sql(module: str, name: str) -> bool:
    """A pass owns the transaction, so it may name its connection and catch its errors; all else is the store's."""
    harmless = (module, name) == ("sqlalchemy.engine", "Connection") or module == "sqlalchemy.exc"
    return module.partition(".")[0] in DATABASE_MODULES and not harmless


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Each (module, name) that a file imports, wherever in the file it does; the name is empty for a whole module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("path", OUTSIDE_THE_STORE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_sql_is_spoken_only_in_the_store(path: Path) -> None:
    assert not [entry for entry in imported(path) if is_sql(*entry)]


def test_states_import_nothing_of_ours() -> None:
    assert not [module for module, _ in imported(PACKAGE / "states.py") if module.startswith("sendctl")]
