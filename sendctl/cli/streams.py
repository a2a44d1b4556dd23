"""The standard streams, so that no answer that cannot be given undoes or hides what was done.

stdout and stderr of a command never raise: the first failure is kept, and what comes after it is dropped. A
descriptor that is closed is put in the place of nothing else: a file of ours that was opened there would take what is
printed.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO


class _Stream(io.FileIO):
    """A descriptor that takes all that is written, and remembers why it could not pass it on."""

    lost: OSError | None = None

    def write(self, data: Any, /) -> int:
        """The bytes taken; `data` is whatever has a buffer."""
        if self.lost is None:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = error
        return memoryview(data).nbytes


_before: list[TextIO | None] = []  # kept: a stream that owns its descriptor closes it when it is forgotten


def guard() -> None:
    """Put streams that never raise in the place of this process's stdout and stderr."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one. Opened the wrong way round, it still fails as a closed one does.
            os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)
    _before.extend((sys.stdout, sys.stderr))
    sys.stdout, sys.stderr = _text(1, sys.stdout), _text(2, sys.stderr)


def _text(number: int, before: TextIO | None) -> TextIO:
    """A text stream on a descriptor, as Python makes one; `before` is the one it made, None for a closed one."""
    raw = _Stream(number, "wb", closefd=False)
    encoding, errors = (before.encoding, before.errors) if before is not None else ("utf-8", "backslashreplace")
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=number == 2 or raw.isatty())


def lost() -> OSError | None:
    """Why something that was printed did not arrive, or None; what is still in a buffer does not count."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, _Stream) else None
