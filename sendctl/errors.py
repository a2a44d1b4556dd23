"""Every error sendctl shows to a person, and the one table of exit codes.

An error message is a lower-case problem with its identifiers; `hint` says what the reader can do about it.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means. `sendctl --help` prints this table."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    NEEDS_PERSON = 3
    LOCKED = 4
    DISABLED = 5
    REWOUND = 6
    ALLOWANCE = 7
    TOO_LATE = 8
    BAD_INPUT = 65
    UNREACHABLE = 69
    STOPPED_EARLY = 75
    BAD_CONFIG = 78


EXIT_MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done, or nothing was due",
    ExitCode.UNEXPECTED: "unexpected error",
    ExitCode.USAGE: "wrong usage",
    ExitCode.NEEDS_PERSON: "done, but failed or in-doubt messages need a person",
    ExitCode.LOCKED: "another exclusive operation holds the store",
    ExitCode.DISABLED: "sending is disabled, or the store belongs elsewhere",
    ExitCode.REWOUND: "the store was rewound: journals know more than it does",
    ExitCode.ALLOWANCE: "an account has too little left; nothing was written",
    ExitCode.TOO_LATE: "too late: it is already being sent, or was sent",
    ExitCode.BAD_INPUT: "bad input data; nothing was written",
    ExitCode.UNREACHABLE: "store or provider unreachable",
    ExitCode.STOPPED_EARLY: "stopped early: run it again",
    ExitCode.BAD_CONFIG: "bad configuration",
}


# Of a new store nobody was ever reached: whoever has lost one must not be sent straight to the command that makes it.
NO_STORE_HINT = (
    "if there was one, put it back from a backup (docs/runbooks/restored-backup.md); if this is the first time,"
    " `sendctl migrate` creates it."
)


class SendctlError(Exception):
    """A problem that a person can act on. `str(error)` is the problem; `hint` is the next step, or empty."""

    exit_code: ExitCode = ExitCode.UNEXPECTED
    hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class UsageError(SendctlError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = ExitCode.USAGE


class BadConfig(SendctlError):
    """The configuration is missing, malformed or contradicts itself."""

    exit_code = ExitCode.BAD_CONFIG


class BadInput(SendctlError):
    """An input file is wrong: `place` is "file:line:column" as far as known, and stands first in the message."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, message: str, *, place: str = "", hint: str | None = None) -> None:
        super().__init__(f"{place}: {message}" if place else message, hint=hint)
        self.place = place


class SchemaMissing(SendctlError):
    """The store has no schema."""

    exit_code = ExitCode.BAD_CONFIG
    hint = f"if a backup is being put back right now, wait for that; {NO_STORE_HINT}"


class SchemaMismatch(SendctlError):
    """The store's schema is older or newer than this program."""

    exit_code = ExitCode.BAD_CONFIG


class StoreLocked(SendctlError):
    """Another exclusive operation holds the store."""

    exit_code = ExitCode.LOCKED
    hint = "wait for it to end, then run the command again."


class SendingDisabled(SendctlError):
    """Sending is not enabled here."""

    exit_code = ExitCode.DISABLED
    hint = "set `enabled = true` in the [send] section of sendctl.toml when this host may send."


class StoreElsewhere(SendctlError):
    """The store is bound to another host."""

    exit_code = ExitCode.DISABLED
    hint = "if this host takes over for good, run `sendctl migrate --adopt`."


class StoreRewound(SendctlError):
    """The outcome journal knows messages that this database has forgotten."""

    exit_code = ExitCode.REWOUND
    hint = "run `sendctl recover --campaign NAME` on this host before sending again."


class AllowanceExceeded(SendctlError):
    """An account has less left than an enqueue would plan."""

    exit_code = ExitCode.ALLOWANCE


class TooLate(SendctlError):
    """What was to be moved or cancelled is being sent, was sent, or may have been: nothing was changed."""

    exit_code = ExitCode.TOO_LATE


class Unreachable(SendctlError):
    """The store or a provider cannot be reached."""

    exit_code = ExitCode.UNREACHABLE


class StoppedEarly(SendctlError):
    """The pass stopped before its work was done; nothing is lost."""

    exit_code = ExitCode.STOPPED_EARLY
    hint = "run the command again."
