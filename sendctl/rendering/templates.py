"""Templates, compiled once: strict about undefined variables, bounded in work and size, escaped in HTML.

The engine is minijinja; docs/templates.md tells how it differs from Jinja2. Data is never compiled: only what the
campaign file and its templates say is a template. Never reads a file: there is no loader, so no include.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from minijinja import Environment, TemplateError, safe

from sendctl.errors import BadInput
from sendctl.rendering import bare, data
from sendctl.rendering.failures import RenderError, UndefinedError

FUEL = 200_000  # instructions of one part; a page of 4 KiB with 30 variables takes about 100
MAX_PART_BYTES = 1 << 20  # fuel does not bound memory: `"a" * 100000000` is three instructions

# Only text, comments and `{{ contact.name }}`: here every reference is surely used, so looking each up is exact.
_USES_ALL = re.compile(r"\{\{[-+]?\s*[A-Za-z_][\w.]*\s*[-+]?\}\}|\{#.*?#\}", re.DOTALL)
_UNDEFINED_NAME = re.compile(r"`(.+)` is undefined")


def _printable(value: Any) -> Any:
    """Lets text and numbers into a message, and neither `None` nor a Python structure."""
    if isinstance(value, str | int | float):
        return value
    what = "nothing (none)" if value is None else f"a {type(value).__name__}, not text"
    raise RenderError(f"an expression gives {what}")


def _printable_html(value: Any) -> Any:
    """As `_printable`, with text escaped here: the engine's own escaping turns each `/` of a link into `&#x2f;`."""
    if isinstance(value, str):
        return value if hasattr(value, "__html__") else safe(escape(value))
    return _printable(value)


def printed_reason(problem: TemplateError) -> str:
    """The engine's words without the place, which ours name better."""
    return problem.detail or problem.message.partition(" (in ")[0]


class Template:
    """One part of a step: `part` is what errors call it (subject, text, html, link, unsubscribe_url).

    `references` are the names that it mentions, `bare` is its form without the engine, if it has one.
    """

    __slots__ = ("_environment", "_uses_all", "bare", "part", "references")

    def __init__(self, part: str, source: str, *, owner: str) -> None:
        """Compile. Raises BadInput with `owner` (such as "step 'offer'"), the part and the line of a syntax error."""
        self.part = part
        html = part == "html"
        finalizer = _printable_html if html else _printable
        self._environment = Environment(undefined_behavior="strict", fuel=FUEL, finalizer=finalizer)
        self._environment.auto_escape_callback = lambda _name: html
        self._environment.remove_global("debug")  # would print the engine's whole state into a mail
        try:
            source.encode()
            self._environment.add_template(part, source)
            names = self._environment.undeclared_variables_in_template(part, nested=True)
        except UnicodeEncodeError:
            raise BadInput(f"{owner}: {part} holds a lone surrogate, which is not text") from None
        except TemplateError as problem:
            raise BadInput(f"{owner}: {part}, line {problem.line}: {printed_reason(problem)}") from None
        self.references = frozenset(names)
        self._uses_all = not bare.TAG.search(_USES_ALL.sub("", source))
        self.bare = bare.compiled(source, self.references, self._engine_text, escaped=html)

    def render(self, scope: Mapping[str, Any]) -> str:
        """The part's text. Raises UndefinedError, or RenderError for any other failure of this recipient's part."""
        text = self.bare.text(scope) if self.bare is not None else None
        if text is None:
            text = self._engine_text(scope)
        if len(text) > MAX_PART_BYTES or (not text.isascii() and len(text.encode()) > MAX_PART_BYTES):
            raise RenderError(f"{self.part} is larger than {MAX_PART_BYTES} bytes")
        return text

    def _engine_text(self, scope: Mapping[str, Any]) -> str:
        try:
            return self._environment.render_template(self.part, **scope)
        except TemplateError as problem:
            raise self._failure(problem) from None
        except (RenderError, AttributeError, TypeError, ValueError, LookupError, OverflowError) as problem:
            raise RenderError(f"{self.part}: {problem}") from None

    def missing(self, scope: Mapping[str, Any]) -> list[str]:
        """Names of undefined variables: all of them where all are surely used, else the first that a render meets."""
        if self._uses_all:
            found = {name: data.scalar_at(scope, name) for name in self.references}
            absent = sorted(name for name, here in found.items() if here is False)
            if absent or all(found.values()):
                return absent
        try:
            self.render(scope)
        except UndefinedError as problem:
            return [problem.name]
        return []

    def _failure(self, problem: TemplateError) -> RenderError:
        place = f"{self.part}, line {problem.line}" if problem.line else self.part
        detail = printed_reason(problem)
        if problem.kind != "UndefinedError":
            return RenderError(f"{place}: {detail}")
        named = _UNDEFINED_NAME.search(detail)
        name = named[1] if named else "an expression"
        return UndefinedError(f"{place}: {name} is undefined", name=name)
