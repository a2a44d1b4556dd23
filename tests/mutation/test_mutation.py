"""The mutator and the judge, tried on toys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutation.bench import Judge
from tests.mutation.choosing import Choice
from tests.mutation.explained import Explained, explains, explanations, stale
from tests.mutation.judge import Case
from tests.mutation.mutants import Mutant, mutants

TOY = '''"""A toy."""

MOST = 10


def is_near(number: int) -> bool:
    return number < MOST


def seen(number: int) -> list[int]:
    found = []
    found.append(number)
    return found


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self) -> None:
        self.count += 1
'''
TESTS = """
import pytest
from toy.near import MOST, Counter, is_near, seen

@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    path = tmp_path_factory.mktemp("shared") / "template"
    path.touch()
    yield path
    path.unlink()

@pytest.mark.parametrize("store", ["sqlite"])
def test_near_what_all_share(shared, store):
    assert shared.exists()
    assert is_near(5)

def test_five_is_near():
    assert is_near(5)

def test_a_number_is_seen():
    assert seen(3) == [3]

def test_most():
    assert MOST == 10

def test_counting():
    counter = Counter()
    counter.add()
    assert counter.count == 1
"""


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Judge]:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "near.py").write_text(TOY)
    (tmp_path / "test_toy.py").write_text(TESTS)
    judge = Judge(tmp_path, ["test_toy.py"])
    yield judge
    judge.close()


def broken(source: str, what: str) -> Mutant:
    """The one break of these words."""
    return next(mutant for mutant in mutants(source) if mutant.what == what)


def test_conditions_bounds_constants_and_statements_are_broken() -> None:
    source = (
        "def f(a, b):\n    if a < 3 and not b:\n        raise ValueError(a > 1)\n"
        "    g(a)\n    return [x for x in a if x]\n"
    )
    assert [(mutant.line, mutant.what) for mutant in mutants(source)] == [
        (2, "not (a < 3 and (not b))"),
        (2, "and <-> or"),
        (2, "without a < 3"),
        (2, "without not b"),
        (2, "a < 3 -> a <= 3"),
        (2, "3 -> 4"),
        (2, "without the negation of b"),
        (3, "without raise ValueError(a > 1)"),
        (4, "without g(a)"),
        (5, "without return [x for x in a if x]"),
        (5, "not (x)"),
    ]  # fmt: skip


def test_statements_of_the_database_are_broken_in_each_conjunct_clause_and_assignment() -> None:
    source = (
        "x = sa.update(m).where(m.id == i, m.owner.is_(None)).values(a=1, b=None)\n"
        "y = skip_locked(c, sa.select(sa.func.min(m.at)).where(m.due <= now).order_by(m.at).limit(n), m)\n"
    )
    found = {mutant.what for mutant in mutants(source)}
    assert found >= {
        "without m.id == i", "without m.owner.is_(None)", "m.id == i -> m.id != i", "m.owner.is_(None): is_not",
        "without a=1", "without b=None", "without FOR UPDATE SKIP LOCKED", "sa.func.min(m.at): max",
        "without .where(m.due <= now)", "m.due <= now -> m.due < now", "without .order_by(m.at)", "without .limit(n)",
    }  # fmt: skip


def test_texts_annotations_imports_and_reasons_of_errors_are_left_alone() -> None:
    source = (
        'import a\n"""text"""\n__all__ = ["x"]\nT: dict[int, 3] = {}\n'
        'def f(a: tuple[1, 2] = ()) -> True:\n    x = f"{1 + 1}"\n'
    )
    assert mutants(source) == []


def test_a_break_changes_its_own_bytes_only() -> None:
    mutant = broken('a = "ü"; b = 1  # ü\nc = 2\n', "1 -> 2")
    assert mutant.applied('a = "ü"; b = 1  # ü\nc = 2\n') == 'a = "ü"; b = (2)  # ü\nc = 2\n'


def test_the_judge_tells_what_is_noticed_from_what_is_not(judge: Judge) -> None:
    tests = [f"test_toy.py::{name}" for name in ("test_five_is_near", "test_a_number_is_seen", "test_counting")]

    def verdict(what: str) -> str:
        mutant = broken(TOY, what)
        return judge.verdict(Case("toy/near.py", mutant.applied(TOY), tests, mutant.at_import, 60))

    assert verdict("without found.append(number)") == tests[1]
    assert verdict("number < MOST -> number <= MOST") == ""
    assert verdict("without self.count += 1") == tests[2]
    assert verdict("without found.append(number)") == tests[1], "a break is undone before the next"


def test_a_noticed_break_leaves_what_the_session_shares_to_the_next(judge: Judge) -> None:
    tests = ["test_toy.py::test_near_what_all_share[sqlite]"]
    breaks = [broken(TOY, what) for what in ("without return number < MOST", "without found.append(number)")]
    verdicts = [judge.verdict(Case("toy/near.py", one.applied(TOY), tests, False, 60)) for one in breaks]
    assert verdicts == [tests[0], ""]


def test_the_judge_imports_anew_what_is_broken_at_import(judge: Judge) -> None:
    mutant = broken(TOY, "10 -> 11")
    assert mutant.at_import
    case = Case("toy/near.py", mutant.applied(TOY), ["test_toy.py::test_most"], mutant.at_import, 60)
    assert judge.verdict(case) == "test_toy.py::test_most"


def test_what_never_ends_is_noticed(judge: Judge) -> None:
    source = TOY.replace("    found = []", "    while True: pass")
    assert judge.verdict(Case("toy/near.py", source, ["test_toy.py::test_a_number_is_seen"], False, 1)) == "time"


def test_the_tests_that_run_a_line_judge_it_the_last_catcher_first(tmp_path: Path) -> None:
    found = {
        "seconds": {"t::slow": 3.0, "t::quick": 1.0, "t::other": 0.1},
        "lines": {"t::slow": {"toy/near.py": [7]}, "t::quick": {"toy/near.py": [7]}, "t::other": {"toy/near.py": [12]}},
    }
    choice = Choice(found, tmp_path)
    mutant = broken(TOY, "number < MOST -> number <= MOST")
    assert choice.tests("toy/near.py", mutant, 9) == ["t::quick", "t::slow"]
    assert choice.tests("toy/near.py", mutant, 2) == ["t::quick"]
    choice.note("toy/near.py", mutant, "t::slow")
    assert choice.tests("toy/near.py", mutant, 2) == ["t::slow"]


def test_an_explanation_that_matches_nothing_is_found() -> None:
    mutant = broken(TOY, "number < MOST -> number <= MOST")
    right = Explained("toy/near.py", "return number < MOST", mutant.what, "why")
    wrong = right._replace(line="return number < LEAST")
    assert explains(right, "toy/near.py", mutant)
    assert not explains(wrong, "toy/near.py", mutant)
    assert stale([right, wrong, wrong._replace(module="toy/far.py")], "toy/near.py", mutants(TOY)) == [wrong]


def test_every_explanation_has_its_reason(tmp_path: Path) -> None:
    assert all(entry.reason for entry in explanations())
    path = tmp_path / "explained.toml"
    path.write_text('[[explained]]\nmodule = "a"\nline = "b"\nwhat = "c"\n')
    with pytest.raises(KeyError, match="reason"):
        explanations(path)
