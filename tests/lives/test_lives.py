"""A small share of the lives, always the same ones; `make prove-lives` goes on from here."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.lives.running import lived

LIVES = 40


def test_everybody_gets_what_the_rules_say_when_they_say_it_and_stands_there() -> None:
    found = lived(LIVES)
    assert found.lives >= LIVES
    assert found.deeds > 20 * LIVES
    assert found.got > LIVES


def test_the_oracle_knows_nothing_of_the_program_that_it_judges() -> None:
    for name in ("oracle.py", "life.py"):
        tree = ast.parse((Path(__file__).parent / name).read_text())
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not [module for module in imported if module and module.startswith("sendctl")]
