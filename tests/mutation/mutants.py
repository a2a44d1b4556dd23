"""Finds the places of a module's source that can be broken, and says how. Never runs or writes anything.

Left alone: texts, annotations, imports, decorators, and what is raised (only whether it is raised counts).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from tests.mutation.operators import breaks


class Mutant(NamedTuple):
    """One break: the bytes from `start` to `end` of the source become `text`. Lines count from 1."""

    line: int
    line_text: str  # what stands in that line, stripped
    what: str  # the break, in words
    statement: tuple[int, int]  # the lines that have to run for it to matter
    names: tuple[str, ...]  # what an import-time statement binds; empty inside of functions
    at_import: bool
    start: int
    end: int
    text: str

    def applied(self, source: str) -> str:
        """The whole source with this break in it."""
        whole = source.encode()
        return (whole[: self.start] + self.text.encode() + whole[self.end :]).decode()


def mutants(source: str) -> list[Mutant]:
    """All breaks of a source that still compile, each different text once, in the order of their lines."""
    found: dict[str, Mutant] = {}
    for mutant in _Finder(source).all():
        broken = mutant.applied(source)
        if broken != source and broken not in found and _compiles(broken):
            found[broken] = mutant
    return sorted(found.values(), key=lambda mutant: (mutant.line, mutant.start))


def _compiles(source: str) -> bool:
    try:
        compile(source, "<mutant>", "exec")
    except SyntaxError:
        return False
    return True


class _Place(NamedTuple):
    """Where a node stands: the statement around it, the name bound there, and whether a call is needed to run it."""

    statement: tuple[int, int]
    names: tuple[str, ...]
    at_import: bool


class _Finder:
    def __init__(self, source: str) -> None:
        self._tree = ast.parse(source)
        self._lines = source.splitlines()
        lengths = [len(line) for line in source.encode().splitlines(keepends=True)]
        self._starts = [sum(lengths[:number]) for number in range(len(lengths) + 1)]

    def all(self) -> Iterator[Mutant]:
        for statement in self._tree.body:
            yield from self._in_statement(statement, (), at_import=True)

    def _in_statement(self, node: ast.stmt, names: tuple[str, ...], *, at_import: bool) -> Iterator[Mutant]:
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_text(node) or _binds(node) == ("__all__",):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _returns_nothing(node.body[-1]):
            node.body[-1] = ast.Pass()  # it would return None anyway
        if isinstance(node, ast.Pass):
            return
        place = _Place(_head(node), names or _binds(node), at_import)
        yield from self._of(node, place)
        inside = at_import and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in () if isinstance(node, ast.Raise) else _children(node):
            if isinstance(child, ast.stmt):
                yield from self._in_statement(child, place.names if at_import else (), at_import=inside)
            elif isinstance(child, ast.ExceptHandler | ast.match_case):
                for inner in child.body:
                    yield from self._in_statement(inner, place.names, at_import=inside)
            else:
                yield from self._in_expression(child, place)

    def _in_expression(self, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        if isinstance(node, ast.JoinedStr):
            return
        yield from self._of(node, place)
        for child in _children(node):
            yield from self._in_expression(child, place)

    def _of(self, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        for found in breaks(node):
            at = found.at
            line, last = at.lineno, at.end_lineno or at.lineno
            focus = found.focus or at
            yield Mutant(
                focus.lineno, self._lines[focus.lineno - 1].strip(), found.what,
                (min(line, place.statement[0]), max(last, place.statement[1])), place.names, place.at_import,
                self._starts[line - 1] + at.col_offset, self._starts[last - 1] + (at.end_col_offset or 0), found.text,
            )  # fmt: skip


def _head(node: ast.stmt) -> tuple[int, int]:
    """The lines of a simple statement; of a compound one, those before its body."""
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if not body:
        return node.lineno, node.end_lineno or node.lineno
    first = body[0].pattern.lineno if isinstance(body[0], ast.match_case) else body[0].lineno
    return node.lineno, max(node.lineno, first - 1)


def _binds(node: ast.stmt) -> tuple[str, ...]:
    """The names that a statement defines: by them the tests of a constant are found."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return (node.name,)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return tuple(name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _returns_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Return) and (
        node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None)
    )


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "bases"):
            yield from (
                child for child in (value if isinstance(value, list) else [value]) if isinstance(child, ast.AST)
            )
