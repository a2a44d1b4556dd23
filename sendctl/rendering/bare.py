"""Bare templates, those of text and plain names only, filled without the engine: the same text in a tenth of its time.

The engine says what a template means: it renders each once with a mark for every name, and what stands around the
marks is the template's fixed text. Never decides what is undefined or wrong: for whatever is not plainly text or a
small whole number there is no answer here, and the caller asks the engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from sendctl.rendering.failures import RenderError

_NAME = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_PLAIN = re.compile(rf"\{{\{{[-+]?\s*{_NAME}\s*[-+]?\}}\}}|\{{#.*?#\}}", re.DOTALL | re.ASCII)
TAG = re.compile(r"\{[{%#]")
_MARK = re.compile("\x00([0-9]+)\x00")  # a template with a NUL of its own is never bare
_INT_BITS = 63  # some greater ones the engine shows as floats


class Names:
    """Dotted names, and where their values are."""

    __slots__ = ("_paths", "dotted")

    def __init__(self, dotted: Iterable[str]) -> None:
        self.dotted = tuple(dotted)
        paths = (name.split(".") for name in self.dotted)
        self._paths = tuple((first, tuple(rest)) for first, *rest in paths)

    def values(self, scope: Mapping[str, Any]) -> list[str] | None:
        """The text of each name, or None if one of them is absent or is neither text nor a small whole number."""
        found: list[str] = []
        try:
            for first, rest in self._paths:
                value = scope[first]
                for name in rest:
                    value = value[name]
                if type(value) is not str:
                    if type(value) is not int or value.bit_length() > _INT_BITS:
                        return None
                    value = str(value)
                found.append(value)
        except (KeyError, TypeError):
            return None
        return found


class Bare:
    """A compiled template: the texts of `fixed` stand around the values of `names`, and are one more."""

    __slots__ = ("_lookup", "_pattern", "escaped", "fixed", "names")

    def __init__(self, fixed: Sequence[str], names: Sequence[str], *, escaped: bool) -> None:
        self.fixed = tuple(fixed)
        self.names = tuple(names)
        self.escaped = escaped
        self._lookup = Names(names)
        self._pattern = pattern(fixed)

    def text(self, scope: Mapping[str, Any]) -> str | None:
        """The part's whole text, its values escaped if it is HTML; None if the engine has to be asked."""
        values = self._lookup.values(scope)
        if values is None:
            return None
        return self._pattern % tuple(map(escape, values) if self.escaped else values)


def pattern(fixed: Iterable[str]) -> str:
    """What `%` fills with the values that stand between the texts."""
    return "%s".join(text.replace("%", "%%") for text in fixed)


def compiled(
    source: str, references: Iterable[str], engine: Callable[[Mapping[str, Any]], str], *, escaped: bool
) -> Bare | None:  # fmt: skip
    """The bare form of a template that uses `references` and that `engine` renders; None if it has none."""
    if "\x00" in source or TAG.search(_PLAIN.sub("", source)):
        return None
    dotted = sorted(references)
    try:
        pieces = _MARK.split(engine(_marked(dotted)))
    except (RenderError, ValueError):
        return None
    return Bare(pieces[::2], [dotted[int(index)] for index in pieces[1::2]], escaped=escaped)


def _marked(dotted: Sequence[str]) -> dict[str, Any]:
    """A scope in which every name has its own mark as value. Raises ValueError if one lies inside another."""
    scope: dict[str, Any] = {}
    for index, name in enumerate(dotted):
        *outer, last = name.split(".")
        inner = scope
        for part in outer:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{name} lies inside text")
        if last in inner:
            raise ValueError(f"{name} holds other names")
        inner[last] = f"\x00{index}\x00"
    return scope
