"""What an enqueue did, as its callers and its printers see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from sendctl.errors import ExitCode

if TYPE_CHECKING:
    from sendctl.passes.texts import StepTexts


@dataclass
class EnqueueReport:
    """What an enqueue did, or with `dry_run` would have done."""

    campaign: str
    dry_run: bool
    created: bool = False
    revision: int = 1
    changed: list[str] = field(default_factory=list)  # keys of the definition that differ from the last revision
    steps_added: list[str] = field(default_factory=list)  # their names, in the order of the file
    steps_removed: list[str] = field(default_factory=list)
    dropped: int = 0  # people who waited for what a changed file has no place for: they go on, or are done
    rows: int = 0  # good rows in the file: enrolled + known + repeated_count; of orders, good events
    skipped: int = 0  # bad rows, kept in the --skip-bad file
    contacts: int = 0  # people not known before
    enrolled: int = 0  # people added to the campaign
    planned: int = 0  # their first messages: one each, or on two channels up to two
    sharing: int = 0  # of these people: who gets no text, as somebody else of the same number gets it
    known: int = 0  # people in the file who were in it already
    repeated_count: int = 0  # rows whose address stood in the file before
    repeated_addresses: int = 0  # how many different addresses these have
    repeated: list[tuple[int, str]] = field(default_factory=list)  # the first of these rows: (line, address)
    first_due_at: datetime | None = None
    letter: str = ""  # to whom, if it is one
    orders: bool = False  # the campaign is fed by order events; what follows is about these
    eligible: int = 0  # items of good events for which `where` is true: enrolled, or not for what was known of them
    not_eligible: dict[str, int] = field(default_factory=dict)  # reason -> events ("other type") or items
    stopped: dict[str, int] = field(default_factory=dict)  # type of event, of an order or not -> enrollments stopped
    not_stopped: dict[str, int] = field(default_factory=dict)  # why what `cancel_on` lists was not -> items
    files: int = 0  # of a spool folder, loaded and put away
    put_aside: list[tuple[str, str]] = field(default_factory=list)  # files that cannot be used: (name, why)
    left: list[tuple[str, str]] = field(default_factory=list)  # files that stay, as the campaign may be wrong: the same
    unmoved: list[tuple[str, str]] = field(default_factory=list)  # files that are done with, and stay: the same
    texts: list[StepTexts] = field(default_factory=list)  # with dry_run: how long the text messages would be, by step
    priced_by: str = ""  # the provider whose prices these texts are reckoned with, the first one; "" without prices
    currency: str = ""
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # what must not go unnoticed, though nothing failed

    @property
    def exit_code(self) -> ExitCode:
        if self.unmoved:
            return ExitCode.UNREACHABLE
        return ExitCode.NEEDS_PERSON if self.left else ExitCode.DONE
