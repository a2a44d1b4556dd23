"""A process of the model: the real code in a thread of its own, which goes on only when it is told to.

Only one runs at a time. Where it stands is a number, made of everything that it has been told since it began: two
executions with the same number go on in the same way. Nothing here knows what the code does.
"""

from __future__ import annotations

import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from sendctl.errors import SendctlError
from tests.model.folders import Folder
from tests.model.numbered import Numbered

Told = TypeVar("Told")
threading.stack_size(512 * 1024)


class Abandoned(BaseException):
    """This execution is not needed any more."""


class Call(NamedTuple):
    """A call that is over, of which nothing goes on but this: a process that is led here again need not repeat it."""

    name: str
    entry: int  # the place before
    exit: int  # and after
    result: Any
    error: SendctlError | None
    counts: tuple[Any, ...]
    draws: dict[str, int]


@dataclass
class Execution:
    """One process under way. `place` numbers where it stands; `ended` says how it ended, or is None."""

    number: int
    name: str
    program: Callable[[Execution], None]
    folder: Folder
    places: Numbered
    place: int = -1
    about: str = ""
    options: tuple[str, ...] = ()
    steps: int = 0
    ended: str | None = None
    defect: bool = False
    locks: list[str] = field(default_factory=list)  # the lock files that it holds
    listening: bool = True  # else what a statement is answered is not yet looked at
    atomic: int = 0  # inside of a transaction: nothing stops it on the way
    events: list[tuple[Any, ...]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # what its last step asked: clock, files, log
    draws: dict[str, int] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)  # those that its last step ended
    known: dict[tuple[str, int], Call] = field(
        default_factory=dict
    )  # by name and entry: those that need not be repeated
    skipping: Callable[[int], None] = lambda _exit: None
    _choice: str = ""
    _abandoned: bool = False
    _go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _back: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def begin(self) -> None:
        """Go on to the first thing that others can see."""
        self.place = self.places["begin", self.number, self.name]
        threading.Thread(target=self._main, daemon=True).start()
        self._run()

    def resume(self, choice: str) -> None:
        """Do what it is about to do, with this result, and go on to the next thing."""
        self._choice, self.events, self.used, self.calls = choice, [], set(), []
        self.steps += 1
        self.tell(choice)
        self._run()

    def abandon(self) -> None:
        """Forget this execution; what its cleanup does is seen by nobody."""
        if self.ended is None:
            self._abandoned = True
            self._run()
        self.folder.close()

    def _run(self) -> None:
        global running  # noqa: PLW0603  one runs at a time
        running = self
        self._go.release()
        self._back.acquire()
        running = None

    def _main(self) -> None:
        self._go.acquire()
        try:
            self.program(self)
            self.ended = "done"
        except SendctlError as error:
            self.ended = f"{type(error).__name__}: {error}"
        except Abandoned:
            self.ended = "abandoned"
        except BaseException as error:
            self.ended, self.defect = f"{type(error).__name__}: {error}", not self._abandoned
        self._back.release()

    def stop(self, about: str, options: tuple[str, ...]) -> str:
        """Called by the code: wait here; returns what the world chose."""
        if self._abandoned:
            raise Abandoned
        if self.atomic:
            return options[0]
        self.about, self.options = about, options
        self.tell(("about", about))
        self._back.release()
        self._go.acquire()
        if self._abandoned:
            raise Abandoned
        return self._choice

    def entered(self, name: str) -> Call | None:
        """A function begins whose call may be known: then it is over at once."""
        call = self.known.get((name, self.place))
        if call is not None:
            self.place, self.draws = call.exit, dict(call.draws)
            self.skipping(call.exit)
        return call

    def tell(self, what: object) -> None:
        """Take note of something that the code has learnt."""
        self.place = self.places[self.place, what]

    def new_bytes(self, count: int) -> bytes:
        """What this process draws instead of random bytes: no other draws the same.

        Counted for each function that draws, so that one name more or less for a passing file changes no other.
        """
        drawer = sys._getframe(3).f_code.co_name
        self.draws[drawer] = self.draws.get(drawer, 0) + 1
        return (
            bytes([self.number, self.draws[drawer]]) + zlib.crc32(drawer.encode()).to_bytes(4, "big") + bytes(count - 6)
        )

    @property
    def drawn(self) -> tuple[tuple[str, int], ...]:
        """How often each function has drawn; that goes on into what it draws next."""
        return tuple(sorted(item for item in self.draws.items() if item[0] != "note_passes"))


running: Execution | None = None


def pause(about: str, *options: str) -> str:
    """The code is about to do something that others can see."""
    return running.stop(about, options or ("go",)) if running else "go"


def observed(what: Told, of: str) -> Told:
    """The code learns something of the clock, the files or the log."""
    if running is not None:
        running.used.add(of)
        running.tell((of, repr(what)))
    return what


def told(answer: object) -> None:
    """The code gets an answer of the store, which it may not look at in whole (seams.Watched)."""
    if running is not None and running.listening:
        running.tell(answer)


@contextmanager
def in_one_go() -> Iterator[None]:
    """What the code does in here is one action."""
    execution = running
    if execution is None:
        yield
        return
    execution.atomic += 1
    try:
        yield
    finally:
        execution.atomic -= 1
