"""What a harmless question shows of a provider: that it is there, knows us, and would take our senders.

A check hands nothing over and changes nothing at the service. What nobody can be asked is said as such, and never
taken for well.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from sendctl.providers.text import printable


class Standing(StrEnum):
    """What a question has shown."""

    OK = "ok"
    FAILED = "failed"
    CANNOT_TELL = "cannot tell"


class Checked(NamedTuple):
    """One thing that was asked about: `what`, such as "key" or "sender news@shop.example", and what was `said` of it.

    `to_do` is what a person can do about it, or empty. `passing`: nobody answered, which may go by without one.
    """

    what: str
    standing: Standing
    said: str
    to_do: str = ""
    passing: bool = False


def ok(what: str, said: str) -> Checked:
    """It was shown."""
    return Checked(what, Standing.OK, printable(said))


def failed(what: str, said: str, to_do: str = "", *, passing: bool = False) -> Checked:
    """The opposite was shown."""
    return Checked(what, Standing.FAILED, printable(said), to_do, passing)


def cannot_tell(what: str, said: str, to_do: str = "") -> Checked:
    """Neither was."""
    return Checked(what, Standing.CANNOT_TELL, printable(said), to_do)


def about(sender: str) -> str:
    """What a line about a sender is called."""
    return f"sender {sender}" if sender else "sender"


def domain_of(address: str) -> str:
    """The domain of an e-mail address, in lower case."""
    return address.rpartition("@")[2].lower()


def is_within(domain: str, other: str) -> bool:
    """Whether a domain is another one, or lies below it."""
    return domain == other or domain.endswith(f".{other}")


def unusable_folder(path: Path) -> str:
    """Why this user can make no files in a folder; "" where that is no matter. Only looks."""
    if not path.is_dir():
        return f"{path} is no folder" if os.path.lexists(path) else f"the folder {path} does not exist"
    # access(2) says so of a file system that is mounted read-only, too, and to root.
    return "" if os.access(path, os.W_OK | os.X_OK) else f"this user cannot write into {path}"
