"""`ingest`, and the part of `reconcile` that works off the spool: events from files into the ledger.

A file named by hand is checked whole before anything is written; of a file in the spool all good lines count. Events
go into transactions of some thousand: memory stays flat, and a death between two costs nothing, as each counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Literal

from sendctl import faults
from sendctl.errors import BadInput, ExitCode, StoreLocked
from sendctl.inputs import spool
from sendctl.inputs.contact_rows import BadRow
from sendctl.inputs.events import Event, EventFile, open_events
from sendctl.inputs.skip_file import SkipFile
from sendctl.inputs.source_file import ChangedInput
from sendctl.passes.accounts import share_out
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.events import Applied, apply
from sendctl.passes.pulled import WAITS_S, may_be_about
from sendctl.passes.whom import Unmatched, account_of
from sendctl.providers.hooks.opening import Opener
from sendctl.providers.hooks.section import CertificateAway, SecretMissing
from sendctl.store import finishing
from sendctl.store.cursors import oldest_unsettled

CHUNK = 2000
SHOWN = 20  # unmatched events and files set aside that are named; all are counted

Read = tuple[Event, str]  # an event and its line as written


@dataclass
class IngestReport:
    """What came in. `waiting` events match nothing yet, and their files stay in the spool."""

    applied: Applied = field(default_factory=Applied)
    bad: int = 0  # lines that are no events: left out, or set aside
    unmatched: int = 0  # events about nothing that is known here, for good
    foreign: int = 0  # ... of services, and without our key: they are about messages of others
    ignored: int = 0  # of services, and without a meaning here
    waiting: int = 0
    files: int = 0  # of the spool that are done with
    not_matched: list[str] = field(default_factory=list)  # the first of them, with their places
    set_aside: list[str] = field(default_factory=list)  # files with what could not be used
    strangers: list[str] = field(default_factory=list)  # files of the spool with the name of something else
    notices: list[str] = field(default_factory=list)  # what services ask a person to do
    unopened: list[str] = field(default_factory=list)  # files left in the spool, as nobody can check them now, and why
    unmoved: list[str] = field(default_factory=list)  # files left in the spool, as they cannot be moved, and why
    left_out_in: str = ""  # the --skip-bad file, where it was written

    @property
    def exit_code(self) -> ExitCode:
        if self.unmoved:
            return ExitCode.UNREACHABLE
        person = self.unmatched or self.set_aside or self.strangers or self.notices or self.unopened
        return ExitCode.NEEDS_PERSON if person else ExitCode.DONE

    def as_detail(self) -> dict[str, object]:
        """The counts, for programs and the run's record."""
        names = ("fresh", "known", "proven", "bounced", "stopped", "cancelled", "suppressed", "set_aside", "in_flight")
        counts: dict[str, object] = {"events" if name == "fresh" else name: getattr(self.applied, name)
                                     for name in names}  # fmt: skip
        return counts | {
            "by_type": dict(sorted(self.applied.by_type.items())), "bad": self.bad, "unmatched": self.unmatched,
            "foreign": self.foreign, "ignored": self.ignored, "waiting": self.waiting, "files": self.files,
            "not_matched": self.not_matched, "files_set_aside": self.set_aside, "strangers": self.strangers,
            "notices": self.notices, "unopened": self.unopened, "unmoved": self.unmoved,
        }  # fmt: skip


def run(context: Context, source: Path | Literal["-"], *, skip_bad: Path | None = None) -> IngestReport:
    """Take in one file or standard input, all or nothing as to malformed lines; of a folder, all its files.

    Raises BadInput naming the first bad line, UsageError, StoreLocked where another command works on the folder.
    """
    if source != "-" and source.is_dir():
        report = work_off(context, source)
        if report is None:
            raise StoreLocked(f"another command works on the spool {source}")
        return report
    report = IngestReport()
    with ExitStack() as stack:
        file = stack.enter_context(open_events(source, opener=_opener(context)))
        keep = stack.enter_context(file.skip_file(skip_bad)) if skip_bad is not None else None
        _check(file, keep, report)
        _take_in(context, _read(file), report, _teller(file, keep, report))
        report.ignored, report.notices = file.ignored, file.notices
        if keep is not None:
            keep.keep()  # last: after a death before this, the same command finds all known and writes the file
            report.left_out_in = str(skip_bad) if keep.count else ""
    _finish(context, report.applied)
    return report


def _opener(context: Context) -> Opener:
    return Opener(context.settings.providers, context.environ)


def _check(file: EventFile, keep: SkipFile | None, report: IngestReport) -> None:
    """Read the file to its end before anything is written."""
    for row in file.rows():
        if isinstance(row, BadRow):
            if keep is None:
                raise file.error(row)
            keep.write(row)
            report.bad += 1


def _read(file: EventFile) -> Iterator[Read]:
    return ((row, file.raw()) for row in file.rows() if not isinstance(row, BadRow))


def _teller(file: EventFile, keep: SkipFile | None, report: IngestReport) -> Callable[[Unmatched, str], None]:
    kept = 0  # the last line that was: an envelope may tell of many events

    def tell(one: Unmatched, raw: str) -> None:
        nonlocal kept
        if one.event.of_others or one.suppresses:
            report.foreign += not one.suppresses
            return
        report.unmatched += 1
        if len(report.not_matched) < SHOWN:
            report.not_matched.append(f"{file.name}:{one.event.line}: {one.reason}")
        if keep is not None and kept != one.event.line:
            kept = one.event.line
            keep.write(BadRow(one.event.line, None, one.reason, raw))

    return tell


def _take_in(
    context: Context, rows: Iterator[Read], report: IngestReport, unmatched: Callable[[Unmatched, str], None]
) -> None:
    """Write events in transactions of some thousand."""
    desk = Desk(context)
    while chunk := list(islice(rows, CHUNK)):
        with desk.transaction() as connection:
            applied, without = apply(desk, connection, [event for event, _ in chunk])
            faults.passing("ingest.before_commit")
        faults.passing("ingest.committed")
        report.applied.add(applied)
        raws = {event.line: raw for event, raw in chunk} if without else {}
        for one in without:
            unmatched(one, raws[one.event.line])


def _finish(context: Context, applied: Applied) -> None:
    """Campaigns of which nothing is left are completed. In a transaction of its own: campaigns are locked first.

    Steps that were planned get their shares of an account, and those who wait what was given back.
    """
    if applied.changed:
        with context.store.write() as connection:
            finishing.settle(connection, context.store.now(connection))
        share_out(context)


# -- the spool ----------------------------------------------------------------------------------------------------


def work_off(context: Context, folder: Path) -> IngestReport | None:
    """Take in the files of a spool; None while another command does. Raises SpoolUnusable."""
    report, opener = IngestReport(), _opener(context)
    with spool.held(folder) as mine:
        if not mine:
            return None
        for path in spool.waiting(folder):
            try:
                _work_off(context, path, opener, report)
            except spool.SpoolUnusable as error:  # this file: what the others say counts all the same
                if len(report.unmoved) < SHOWN:
                    report.unmoved.append(f"{path}: {error}; {error.hint.rstrip('.')}")
        report.strangers = [str(path) for path in spool.strangers(folder)[:SHOWN]]
    _finish(context, report.applied)
    return report


def _work_off(context: Context, path: Path, opener: Opener, report: IngestReport) -> None:
    try:
        with EventFile(spool.open_waiting(path), opener) as file, spool.Rest(path) as rest:
            done = _take_in_spooled(context, file, path, rest, report)
    except (SecretMissing, CertificateAway) as error:  # nothing is wrong with the file
        if len(report.unopened) < SHOWN:
            report.unopened.append(f"{path}: {error}" + (f"; {error.hint.rstrip('.')}" if error.hint else ""))
        return
    except ChangedInput:  # somebody writes into it: it was not put there by a rename. What was good has counted
        return
    except BadInput as error:
        if not path.exists():  # whoever put it there has taken it away
            return
        report.files += 1
        _note_aside(report, spool.put_aside(path, str(error)))
        return
    if done:
        faults.passing("ingest.moving")
        spool.put_away(path, context.clock.utc_now().date())
        report.files += 1


def _take_in_spooled(
    context: Context, file: EventFile, path: Path, rest: spool.Rest, report: IngestReport
) -> bool:  # fmt: skip
    """Whether the file is done with: what could not be used stands aside, and nothing in it may match later."""
    waits = _Waits(context, path)
    bad = waiting = unmatched = foreign = 0
    named: list[str] = []

    def tell(one: Unmatched, raw: str) -> None:
        nonlocal waiting, unmatched, foreign
        if waits.for_outcome_of(one.event):
            waiting += 1
            return
        if one.event.of_others or one.suppresses:
            foreign += not one.suppresses
            return
        unmatched += 1
        rest.write(one.event.line, None, one.reason, raw)
        if len(named) < SHOWN:
            named.append(f"{file.name}:{one.event.line}: {one.reason}")

    def good() -> Iterator[Read]:
        nonlocal bad
        for row in file.rows():
            if isinstance(row, BadRow):
                bad += 1
                rest.write(row.line, _column(row), row.reason, row.raw)
            else:
                yield row, file.raw()

    _take_in(context, good(), report, tell)
    if waiting:
        report.waiting += waiting
        return False
    report.bad, report.unmatched = report.bad + bad, report.unmatched + unmatched
    report.foreign, report.ignored = report.foreign + foreign, report.ignored + file.ignored
    report.notices += file.notices[: SHOWN - len(report.notices)]
    report.not_matched += named[: SHOWN - len(report.not_matched)]
    aside = rest.keep()
    if aside is not None:
        _note_aside(report, aside)
    return True


class _Waits:
    """Which events of a file that match nothing may match later."""

    def __init__(self, context: Context, path: Path) -> None:
        age_s = context.clock.utc_now().timestamp() - path.stat().st_mtime
        self._young = age_s < context.settings.events.wait_s
        self._oldest: dict[str, datetime | None] = {}
        if not self._young and age_s < WAITS_S:
            # Before the events are looked up: see may_be_about.
            with context.store.read() as connection:
                self._oldest = {
                    name: oldest_unsettled(connection, account_of(context.settings, name))
                    for name in context.settings.providers
                }

    def for_outcome_of(self, event: Event) -> bool:
        """Any while the file is young; then what names a service's id, as long as an outcome there is missing.

        Not what is somebody else's at once: its service repeats our key in each event of ours.
        """
        if event.of_others == "now":
            return False
        if self._young or event.by != "provider id":
            return self._young
        moments = [self._oldest.get(event.of[1])] if event.of[1] else list(self._oldest.values())
        return any(may_be_about(moment, event.occurred_at) for moment in moments)


def _column(row: BadRow) -> str | None:
    return (
        None if row.column is None else f"column {row.column}" if isinstance(row.column, int) else f"key {row.column}"
    )


def _note_aside(report: IngestReport, path: Path) -> None:
    if len(report.set_aside) < SHOWN:
        report.set_aside.append(str(path))
