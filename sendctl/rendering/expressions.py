"""What the [trigger] of a campaign makes of an order: its entries, whether each is eligible, its key and its address.

Expressions and templates have the engine, the bounds and the read-only data of every other template (templates.py).
Orders are data and never compiled. Knows no file and no store.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from minijinja import Environment, TemplateError

from sendctl.definition import Trigger
from sendctl.errors import BadInput
from sendctl.rendering import data
from sendctl.rendering.failures import RenderError
from sendctl.rendering.templates import FUEL, Template, printed_reason

KEY_MAX_CHARACTERS = 255  # it is indexed: a Postgres b-tree entry holds at most 2704 bytes
_ROOTS = ("order", "item")
_FUNCTIONS = ("range", "dict", "namespace")  # of the engine: its list of names has them too
_NEVER_RIGHT = ("SyntaxError", "UnknownFilter", "UnknownTest", "UnknownFunction")

_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_WHOLE = "\x1f"  # begins the key of a whole order: those of its entries are printable
_ID_MAX_CHARACTERS = 200

Scope = Mapping[str, Any]


class TriggerFault(ValueError):
    """A key of [trigger] is wrong for every order."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


class Entry(NamedTuple):
    """What one enrollment may be made from: an entry of the list `each`, or with item None the order itself."""

    item: Any
    scope: Scope


class WholeOrder(NamedTuple):
    """An order as a whole: the key of that, and what the keys of all its entries begin with."""

    key: str
    prefix: str


def whole_key(order: Mapping[str, Any]) -> str:
    """By what an order as a whole is known: its `id`, a text or a whole number; "" without one."""
    found = order.get("id")
    name = "" if isinstance(found, bool) or not isinstance(found, str | int) else str(found).strip()
    return _WHOLE + name if name and name.isprintable() and len(name) <= _ID_MAX_CHARACTERS else ""


class Condition:
    """An expression that is true or false of an order. `references` are the names that it mentions, dotted."""

    def __init__(self, source: str) -> None:
        """Compile. Raises ValueError with the reason."""
        self._source = source
        self._environment = Environment(undefined_behavior="strict", fuel=FUEL)
        self._environment.remove_global("debug")
        try:
            self._environment.eval_expr(source)
        except TemplateError as problem:  # without data nearly all fail; the form is right or wrong all the same
            if problem.kind in _NEVER_RIGHT:
                raise ValueError(printed_reason(problem)) from None
        except UnicodeEncodeError:
            raise ValueError("holds a lone surrogate, which is not text") from None
        names = self._environment.undeclared_variables_in_str(f"{{{{ {source} }}}}", nested=True)
        self.references = frozenset(names)

    def holds(self, scope: Scope) -> bool:
        """Raises RenderError where it is neither true nor false: undefined names, other values, too much work.

        TriggerFault for what turns out to be wrong whatever the data are.
        """
        try:
            found = self._environment.eval_expr(self._source, **scope)
        except TemplateError as problem:
            if problem.kind in _NEVER_RIGHT:
                raise TriggerFault("where", f"where: {printed_reason(problem)}") from None
            raise RenderError(f"where: {printed_reason(problem)}") from None
        except (AttributeError, TypeError, ValueError, LookupError, OverflowError) as problem:
            raise RenderError(f"where: {problem}") from None
        if not isinstance(found, bool):
            what = "nothing" if found is None else f"a {type(found).__name__}"
            raise RenderError(f"where gives {what}, not true or false")
        return found


class TriggerRules:
    """The [trigger] of a campaign, compiled."""

    def __init__(self, trigger: Trigger) -> None:
        """Raises TriggerFault for what is wrong whatever the orders are."""
        self._each = trigger.each.split(".") if trigger.each else []
        self._roots = _ROOTS if self._each else _ROOTS[:1]
        self._where = self._condition(trigger.where) if trigger.where.strip() else None
        self._key = self._template("key", trigger.key)
        self._start = self._start_of(trigger.key)
        self._email = self._template("email", trigger.email)
        self._phone = self._template("phone", trigger.phone)

    def _condition(self, source: str) -> Condition:
        try:
            condition = Condition(source)
        except ValueError as problem:
            raise TriggerFault("where", f"where: {problem}") from None
        self._check_names("where", condition.references)
        return condition

    def _template(self, key: str, source: str) -> Template:
        try:
            template = Template(key, source, owner="[trigger]")
        except BadInput as problem:
            raise TriggerFault(key, str(problem)) from None
        self._check_names(key, template.references)
        return template

    def _start_of(self, key: str) -> Template | None:
        """The part of the key before the entry has a say; None where that is nothing of the order."""
        cut = next((tag.start() for tag in _TAG.finditer(key) if re.search(r"\bitem\b", tag[0])), len(key))
        try:
            start = Template("key", key[:cut], owner="[trigger]")
        except BadInput:  # the cut is within a block
            return None
        roots = {name.partition(".")[0] for name in start.references} - set(_FUNCTIONS)
        return start if roots == {"order"} else None

    def _check_names(self, key: str, names: frozenset[str]) -> None:
        for name in sorted(names):
            root = name.partition(".")[0]
            if root not in self._roots and root not in _FUNCTIONS:
                item = "`item` needs `each`" if root == "item" else f"it sees {' and '.join(self._roots)}"
                raise TriggerFault(key, f"{key} uses {name}: {item}")

    def entries(self, order: Mapping[str, Any]) -> list[Entry]:
        """What of an order may become enrollments. Raises RenderError if the list is not there."""
        scope = {"order": data.frozen(order, "order")}
        if not self._each:
            return [Entry(None, scope)]
        found: Any = order
        for name in self._each:
            found = found.get(name) if isinstance(found, Mapping) else None
        if not isinstance(found, list):
            raise RenderError(f"order.{'.'.join(self._each)} is no list, and `each` needs one")
        if None in found:
            raise RenderError(f"order.{'.'.join(self._each)} has an entry that is null")
        return [Entry(item, scope | {"item": data.frozen(item, "item")}) for item in found]

    def whole(self, order: Mapping[str, Any]) -> WholeOrder | None:
        """What finds the entries of an order that lists none; None where they cannot be told. Raises RenderError."""
        key = whole_key(order)
        if not key or self._start is None:
            return None
        prefix = self._start.render({"order": data.frozen(order, "order")}).strip()
        return WholeOrder(key, prefix) if prefix else None

    def is_eligible(self, entry: Entry) -> bool:
        """Whether `where` is true. Raises RenderError, TriggerFault."""
        return self._where is None or self._where.holds(entry.scope)

    def key(self, entry: Entry) -> str:
        """The subject_key. Raises RenderError: one that is blank, very long or not printable names nothing."""
        key = self._key.render(entry.scope).strip()
        if not key or not key.isprintable():
            raise RenderError(f"key gives {key!r}, which cannot name an order")
        if len(key) > KEY_MAX_CHARACTERS:
            raise RenderError(f"key has {len(key)} characters, the limit is {KEY_MAX_CHARACTERS}")
        return key

    def email(self, entry: Entry) -> str:
        """The address as the order gives it, unchecked. Raises RenderError."""
        return self._email.render(entry.scope)

    def phone(self, entry: Entry) -> str:
        """The number as the order gives it, unchecked. Raises RenderError."""
        return self._phone.render(entry.scope)
