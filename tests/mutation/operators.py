"""What can be broken at one node of a syntax tree: conditions, bounds, constants, statements, words of SQLAlchemy Core.

Each break is small enough that only a test of that very behaviour sees it. Never looks beyond its node.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
NEGATIONS = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
OTHER_NAMES = {"is_": "is_not", "is_not": "is_", "in_": "not_in", "not_in": "in_", "min": "max", "max": "min"}
OTHER_FUNCTIONS = OTHER_NAMES | {"any": "all", "all": "any"}  # `.all()` of a result is another word
CONJUNCTIONS = frozenset({"where", "having", "and_", "or_"})
CLAUSES = frozenset({"where", "having", "order_by", "limit", "group_by", "distinct", "with_for_update",
                     "on_conflict_do_nothing"})  # fmt: skip
SETTING = frozenset({"values", "with_for_update"})  # each keyword argument is an effect of its own


class Break(NamedTuple):
    """The source of node `at` becomes `text`; `focus` is the part of it that is spoken of, when not all."""

    at: Any  # an expression or statement: both have a place in the source
    text: str
    what: str
    focus: Any = None


def breaks(node: ast.AST) -> Iterator[Break]:
    """Every break of this node itself, none of its children's."""
    if isinstance(node, ast.stmt):
        yield from _statement(node)
    yield from _condition(node)
    match node:
        case ast.Compare():
            yield from _compare(node)
        case ast.BoolOp():
            yield from _boolean(node)
        case ast.BinOp():
            yield from _binary(node)
        case ast.UnaryOp(op=ast.Not() | ast.Invert()):
            yield _instead(node, node.operand, f"without the negation of {_brief(node.operand)}")
        case ast.Constant(value=bool() as value):
            yield Break(node, str(not value), f"{value} -> {not value}")
        case ast.Constant(value=int() | float() as number):
            yield Break(node, f"({number + 1})", f"{number} -> {number + 1}")
        case ast.Call():
            yield from _call(node)
        case ast.Dict():
            yield from _entries(node)
        case ast.Tuple(ctx=ast.Load()) | ast.List(ctx=ast.Load()) | ast.Set():
            if len(node.elts) > 1 and all(map(_is_member, node.elts)):
                yield from _without_each(node, "elts", 0)


def _statement(node: ast.stmt) -> Iterator[Break]:
    match node:
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign():
            yield Break(node, "pass", f"without {_brief(node)}")
        case ast.Raise() | ast.Return() | ast.Continue() | ast.Break():
            yield Break(node, "pass", f"without {_brief(node)}")


def _condition(node: ast.AST) -> Iterator[Break]:
    """Negate what decides: of if, while, ternary, assert, and filters."""
    tests = [node.test] if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert) else []
    if isinstance(node, ast.comprehension):
        tests = node.ifs
    if isinstance(node, ast.match_case) and node.guard:
        tests = [node.guard]
    for test in tests:
        negated_anyway = isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], NEGATIONS)
        if not negated_anyway and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            yield _instead(test, ast.UnaryOp(ast.Not(), test), f"not ({_brief(test)})")


def _compare(node: ast.Compare) -> Iterator[Break]:
    for place, operator in enumerate(node.ops):
        changed = copy.deepcopy(node)
        changed.ops[place] = COMPARISONS[type(operator)]()
        yield _instead(node, changed, f"{_brief(node)} -> {_brief(changed)}")


def _boolean(node: ast.BoolOp) -> Iterator[Break]:
    other: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield _instead(node, ast.BoolOp(other, node.values), "and <-> or")
    yield from _without_each(node, "values", 0)


def _binary(node: ast.BinOp) -> Iterator[Break]:
    if isinstance(node.op, ast.BitAnd | ast.BitOr):
        yield _instead(node, node.left, f"without {_brief(node.right)}", node.right)
        yield _instead(node, node.right, f"without {_brief(node.left)}", node.left)
    elif isinstance(node.op, ast.Add | ast.Sub) and not any(map(_is_sequence, (node.left, node.right))):
        other: ast.operator = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        yield _instead(node, ast.BinOp(node.left, other, node.right), "+ <-> -")


def _call(node: ast.Call) -> Iterator[Break]:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    method_of = node.func.value if isinstance(node.func, ast.Attribute) else None
    others = OTHER_NAMES if method_of else OTHER_FUNCTIONS
    if name in others:
        changed = copy.deepcopy(node)
        setattr(changed.func, "attr" if method_of else "id", others[name])
        yield _instead(node, changed, f"{_brief(node)}: {others[name]}")
    if name in CONJUNCTIONS and len(node.args) > 1:
        yield from _without_each(node, "args", 0)
    elif name in CLAUSES and method_of:
        yield _instead(node, method_of, f"without .{name}({', '.join(map(_brief, node.args))})", node.func)
    if name == "skip_locked":
        yield _instead(node, node.args[1], "without FOR UPDATE SKIP LOCKED")
    if len(node.args) > 1 and all(map(_is_member, node.args)):  # a set of states in the form of a call
        yield from _without_each(node, "args", 1)
    for place, keyword in enumerate(node.keywords):
        if keyword.arg == "lock" or (name in SETTING and len(node.keywords) > 1):
            yield _less(node, "keywords", place)


def _entries(node: ast.Dict) -> Iterator[Break]:
    for place, key in enumerate(node.keys):
        if isinstance(key, ast.Constant) and len(node.keys) > 1:
            changed = copy.deepcopy(node)
            del changed.keys[place], changed.values[place]
            yield _instead(node, changed, f"without {_brief(key)}", key)


def _without_each(node: ast.expr, field: str, first: int) -> Iterator[Break]:
    for place in range(first, len(getattr(node, field))):
        yield _less(node, field, place)


def _less(node: ast.expr, field: str, place: int) -> Break:
    """The node without one of its parts."""
    changed = copy.deepcopy(node)
    del getattr(changed, field)[place]
    part = getattr(node, field)[place]
    if isinstance(changed, ast.BoolOp) and len(changed.values) == 1:
        return _instead(node, changed.values[0], f"without {_brief(part)}", part)
    return _instead(node, changed, f"without {_brief(part)}", part)


def _instead(node: ast.AST, other: ast.AST, what: str, focus: ast.AST | None = None) -> Break:
    return Break(node, f"({ast.unparse(ast.fix_missing_locations(other))})", what, focus)


def _is_member(node: ast.AST) -> bool:
    """A member of an enumeration: `State.SENT`."""
    match node:
        case ast.Attribute(value=ast.Name(id=enumeration), attr=member):
            return member.isupper() and enumeration[:1].isupper()
    return False


def _is_sequence(node: ast.AST) -> bool:
    return isinstance(node, ast.List | ast.Tuple | ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _brief(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else f"{text[:87]}..."
