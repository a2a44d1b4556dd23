"""A second process that reads a large contacts file beside the one that enqueues: so both cores of a machine work.

While the first reading checks, it checks every other group of rows; while the second one loads, it makes the entries
that are loaded. Never opens the store, and never says what is wrong with a row: it only says that a group is good. It
ends by itself when the process that enqueues is gone.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import IO, NamedTuple, NoReturn

from sendctl import stopping
from sendctl.calendar import Calendar
from sendctl.errors import StoppedEarly
from sendctl.inputs.contacts import ContactFile
from sendctl.passes.enrolling import Chunk, EntryMaker
from sendctl.passes.row_checks import Groups, is_good
from sendctl.rendering.steps import Renderer

LARGE_BYTES = 1024 * 1024  # of a file that is worth a process of its own: some 15,000 rows, a second's work
_GOOD, _NOT_SURELY_GOOD, _CHUNK, _END, _FAILED = b"+", b"-", b"c", b".", b"x"
_SIZE_BYTES = 4


class _Orders(NamedTuple):
    """What the entries of the second reading need, which nobody knew at the first."""

    secret: str
    start_at: datetime
    leaving_out: bool


class SecondReader:
    """The other process, seen from the one that enqueues."""

    def __init__(self, pid: int, file: ContactFile, answers: IO[bytes], orders: IO[bytes]) -> None:
        self._pid, self._file, self._answers, self._orders = pid, file, answers, orders

    def group_is_good(self) -> bool:
        """Whether all rows of the next group that it has checked are good; if False, look at each."""
        return self._answer() == _GOOD

    def chunks(self, secret: str, start_at: datetime, *, leaving_out: bool) -> Iterator[Chunk]:
        """What `EntryMaker.chunks` gives, made over there. With `leaving_out`, rows that are not good are left out."""
        try:
            self._orders.write(pickle.dumps(_Orders(secret, start_at, leaving_out)))
        except BrokenPipeError:
            raise self._died() from None
        while self._answer() != _END:
            yield pickle.loads(self._content())  # noqa: S301  our own process wrote it

    def _answer(self) -> bytes:
        kind = self._answers.read(1)
        if kind == _FAILED:
            self._file.refuse_change()  # the likely cause, and the only one that is nobody's mistake here
            raise RuntimeError(f"the second reader failed with {self._content().decode()}")
        if not kind:
            raise self._died()
        return kind

    def _content(self) -> bytes:
        size_bytes = int.from_bytes(self._answers.read(_SIZE_BYTES))
        content = self._answers.read(size_bytes)
        if len(content) < size_bytes or not size_bytes:
            raise self._died()
        return content

    def _died(self) -> StoppedEarly:
        return StoppedEarly(f"process {self._pid}, which reads {self._file.name} beside this one, has died")

    def end(self) -> None:
        """End it, whatever it is doing, and wait for its end: nothing that it has is worth keeping."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


@contextmanager
def started(file: ContactFile, calendar: Calendar, renderers: Sequence[Renderer]) -> Iterator[SecondReader]:
    """Start it. To be forked before a connection to the store is open: a copied one would be a second user of it."""
    answers_end, answering_end = os.pipe()
    orders_end, ordering_end = os.pipe()
    with _signals_held():
        pid = os.fork()
        if pid == 0:
            os.close(answers_end)
            os.close(ordering_end)
            _child(file, calendar, renderers, answering_end, orders_end)
    os.close(answering_end)
    os.close(orders_end)
    with os.fdopen(answers_end, "rb") as answers, os.fdopen(ordering_end, "wb", buffering=0) as orders:
        reader = SecondReader(pid, file, answers, orders)
        try:
            yield reader
        finally:
            reader.end()


@contextmanager
def _signals_held() -> Iterator[None]:
    """A request to stop that came between the fork and what follows would unwind this program's stack twice."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stopping.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- in the other process -----------------------------------------------------------------------------------------


def _child(
    file: ContactFile, calendar: Calendar, renderers: Sequence[Renderer], answering_end: int, orders_end: int
) -> NoReturn:
    """Leaves the process without running what the parent has still to clear up."""
    try:
        stopping.ignore()  # the parent hears the same request, and ends this process
        with os.fdopen(answering_end, "wb") as answers, os.fdopen(orders_end, "rb") as orders:
            _answer(file, calendar, renderers, answers, orders)
    finally:
        os._exit(0)


def _answer(
    file: ContactFile, calendar: Calendar, renderers: Sequence[Renderer], answers: IO[bytes], orders: IO[bytes]
) -> None:
    """Both readings. Writing fails, and ends this process, when the one that would read is gone."""
    try:
        for good in _groups_checked(file, renderers):
            answers.write(_GOOD if good else _NOT_SURELY_GOOD)
            answers.flush()
        wanted: _Orders = pickle.load(orders)  # noqa: S301  our own parent wrote it
        maker = EntryMaker(calendar, wanted.secret, wanted.start_at)
        for chunk in maker.chunks(file, renderers if wanted.leaving_out else []):
            _send(answers, _CHUNK, pickle.dumps(chunk, pickle.HIGHEST_PROTOCOL))
        answers.write(_END)
    except Exception as problem:  # the parent says so
        _send(answers, _FAILED, type(problem).__name__.encode())


def _send(answers: IO[bytes], kind: bytes, content: bytes) -> None:
    answers.write(kind + len(content).to_bytes(_SIZE_BYTES) + content)
    answers.flush()


def _groups_checked(file: ContactFile, renderers: Sequence[Renderer]) -> Iterator[bool]:
    """Whether each group that is this process's to check is good."""
    groups, good = Groups(), True
    for part in file.parts():
        mine = groups.is_seconds
        if groups.begins_with(part):
            if mine:
                yield good
            good = True
        good = good and (not groups.is_seconds or is_good(part, renderers))
    if groups.is_seconds:
        yield good
