"""Requests to stop, SIGTERM and SIGINT: heard from the program's first line to its last, never by the default action.

The handlers stay from beginning to end, and only what a request means changes: no signal falls between two of them.
A command that is asked to stop outside of the sending loop raises Stopped, and its transactions roll back.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sendctl.errors import ExitCode

SIGNALS = (signal.SIGTERM, signal.SIGINT)
SAME_REQUEST_S = 1.0  # one Ctrl-C or systemctl stop reaches a worker from its group and again from its parent

Told = Callable[[bool], None]  # called with False when a stop is first asked for, with True when it is asked for again


class Stopped(KeyboardInterrupt):
    """This command was asked to stop. Libraries give way to a KeyboardInterrupt; psycopg cancels its statement."""


def _note(again: bool) -> None:
    """Somebody will look. Whoever asks a second time does not want to wait: as good as a kill, which loses nothing."""
    if again:
        os._exit(ExitCode.STOPPED_EARLY)


def _raise(_again: bool) -> None:
    raise Stopped(_asked)


_told: Told = _note
_asked = ""
_asked_s = 0.0


def _heard(number: int, _frame: object) -> None:
    global _asked, _asked_s
    now_s = time.monotonic()
    if not _asked:
        _asked, _asked_s = signal.Signals(number).name, now_s
        _told(False)
    elif now_s - _asked_s > SAME_REQUEST_S:
        _told(True)


def listen() -> None:
    """Hear requests from now on, and only note them at first. What is ignored stays so: nohup, a job behind `&`."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _heard)


def ignore() -> None:
    """The command has ended and its exit code is known: what comes while Python clears up is too late."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def asked() -> str:
    """The name of the signal that asked first, or ""."""
    return _asked


def check() -> None:
    """Raises Stopped after a request that a library has swallowed: what a destructor raises is only printed."""
    if _asked and _told is _raise:
        raise Stopped(_asked)


@contextmanager
def telling(told: Told) -> Iterator[None]:
    """While active, `told` is called by the signal handler: it may interrupt anything, and does little."""
    global _told  # noqa: PLW0603  as above
    before, _told = _told, told
    try:
        yield
    finally:
        _told = before


@contextmanager
def raising() -> Iterator[None]:
    """While active a request raises Stopped wherever the program is, and one that came before raises at once."""
    with telling(_raise):
        check()
        yield


@contextmanager
def noting() -> Iterator[None]:
    """While active a request is noted, for `asked`; a second one ends this process at once."""
    with telling(_note):
        yield
