"""What documents point to exists: files, headings, tests, functions; and the exit codes are those of the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sendctl.errors import EXIT_MEANINGS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", document.read_text())
    assert not [target for target in targets if not (document.parent / target).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_files_that_are_named_exist(document: Path) -> None:
    named = re.findall(r"`((?:sendctl|tests|docs|examples)/[\w./-]+\.(?:py|md|sql|toml|sh))`", document.read_text())
    assert not [path for path in named if "NNNN" not in path and not (ROOT / path).exists()]


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.parent != ROOT], ids=name)
def test_tests_that_are_named_exist(document: Path) -> None:
    named = re.findall(r"`(test_\w+)`", document.read_text())
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py")) if named else ""
    assert not [test for test in named if not re.search(rf"def {test}\b", tests)]


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    assert not [name(path) for path in DOCUMENTS if path.parent == ROOT / "docs" and f"({path.name})" not in index
                and path.name != "README.md"]  # fmt: skip
    assert not [path.name for path in (ROOT / "docs/runbooks").glob("*.md") if f"(runbooks/{path.name})" not in index]
    decisions = (ROOT / "docs/adr/README.md").read_text()
    assert not [path.name for path in (ROOT / "docs/adr").glob("0*.md") if f"({path.name})" not in decisions]


def test_readme_has_the_exit_codes_of_the_program() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == [(str(int(code)), meaning) for code, meaning in EXIT_MEANINGS.items()]
