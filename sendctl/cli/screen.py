"""Rich output for people: the same layout with and without a terminal, colours only on one.

Imported only by what prints tables. Text from outside is cleaned before it comes here, and never read as markup.
"""

from __future__ import annotations

import os
import sys

from rich.console import Console, RenderableType
from rich.text import Text

from sendctl.states import State

BY_STATE: dict[str, str] = {
    State.QUEUED: "",
    State.SENDING: "cyan",
    State.IN_DOUBT: "bold red",
    State.SENT: "green",
    State.BOUNCED: "yellow",
    State.FAILED: "red",
    State.SUPPRESSED: "dim",
    State.CANCELLED: "dim",
    State.EXPIRED: "yellow",
}
NARROW = 80
WIDE = 400  # columns of a pipe: nothing is cut that another program may look for


class Screen:
    """Where renderables go: stdout, at a terminal's width, else 80 columns, or all that is needed with `wide`."""

    def __init__(self, *, wide: bool) -> None:
        terminal = sys.stdout.isatty()
        width = None if terminal else WIDE if wide else NARROW
        self.console = Console(width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)
        if terminal and self.console.width < 40:
            self.console.width = 40

    def show(self, what: RenderableType) -> None:
        """Print, without the spaces that a table leaves at line ends."""
        if self.console.is_terminal:
            self.console.print(what)
            return
        with self.console.capture() as capture:
            self.console.print(what)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def plain(text: str, style: str = "") -> Text:
    """Text that is shown as it is, on one line, cut where there is no room."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def console(*, wide: bool = False) -> Screen:
    """A screen. NO_COLOR (no-color.org) and TERM=dumb are honoured."""
    return Screen(wide=wide)


def unicode_ok() -> bool:
    """Whether bars and rules may be drawn with more than ASCII."""
    encoding = (sys.stdout.encoding or "").lower()
    return "utf" in encoding and os.environ.get("TERM") != "dumb"
