"""Why one recipient's message cannot be rendered. Never says more of a person's data than the name of a variable."""

from __future__ import annotations

from collections.abc import Callable

from sendctl.errors import ExitCode, SendctlError


class RenderError(SendctlError):
    """This recipient's message cannot be rendered; the others are not concerned."""

    exit_code = ExitCode.BAD_INPUT
    hint = "correct the contact's data or the template; `sendctl preview` shows the result."


class UndefinedError(RenderError):
    """A template uses a variable that this recipient does not have. `name` is its dotted name, as far as known."""

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


def checked(check: Callable[[str], str], value: str, part: str) -> str:
    """`check(value)`, its ValueError as a RenderError that names the part."""
    try:
        return check(value)
    except ValueError as problem:
        raise RenderError(f"{part} {problem}") from None
