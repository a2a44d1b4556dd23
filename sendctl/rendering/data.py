"""A recipient's data in the form that templates see: read-only mappings and rows of text, numbers and booleans.

A missing column is undefined, whatever it is called: the engine falls back to Python attributes, so that with
a plain dict `{{ contact.copy }}` would print a method and `{{ contact.pop("email") }}` would change the data.
Never holds a null: an unknown value is undefined, so that no mail greets "None".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from sendctl.rendering.failures import RenderError


class _Hidden:
    """A method of the base class that templates must not find."""

    def __get__(self, instance: object, owner: type | None = None) -> NoReturn:
        raise AttributeError("templates read data, they do not change it")


# A function instead of a class statement: overriding dict.pop by a non-method is what the type checker forbids.
def _hiding(base: type, *names: str) -> Any:
    return type(f"Template{base.__name__.title()}", (base,), dict.fromkeys(names, _Hidden()))


_Record = _hiding(dict, "clear", "copy", "fromkeys", "pop", "popitem", "setdefault", "update")
_Rows = _hiding(tuple, "count", "index")


def frozen(value: object, name: str) -> Any:
    """`value` (as JSON has it) for a template; `name` is what an error calls it.

    Raises RenderError for a type that JSON does not have, for text that UTF-8 cannot hold (a lone surrogate),
    and for text with a NUL, which no mail may hold (RFC 5322 section 4).
    """
    if type(value) is dict and _is_clean_text(value.values()):
        return _Record(value)
    if isinstance(value, str):
        return _text(value, name)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return _Record([(key, frozen(item, f"{name}.{key}")) for key, item in value.items() if item is not None])
    if isinstance(value, list | tuple):
        return _Rows([frozen(item, f"{name}[{index}]") for index, item in enumerate(value)])
    raise RenderError(f"{name} is a {type(value).__name__}, which a template cannot show")


def _is_clean_text(values: Iterable[object]) -> bool:
    """Whether all are text that a mail may hold; looking at them as one text takes a quarter of the time."""
    try:
        joined = "".join(values)  # type: ignore[arg-type]
        return "\x00" not in joined and (joined.isascii() or bool(joined.encode()))
    except (TypeError, UnicodeEncodeError):
        return False


def _text(value: str, name: str) -> str:
    if "\x00" in value:
        raise RenderError(f"{name} holds a NUL character")
    # The engine would silently replace a surrogate, and the mail would show three question marks.
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RenderError(f"{name} holds a lone surrogate, which is not text") from None
    return value


def scalar_at(scope: Mapping[str, Any], dotted: str) -> bool | None:
    """Whether `dotted` leads to text or a number: True, or None if it leads to rows or a mapping, False if nowhere."""
    value: Any = scope
    for name in dotted.split("."):
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True if isinstance(value, str | int | float) else None
