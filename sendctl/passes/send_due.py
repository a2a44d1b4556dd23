"""`send-due`: one pass over what is due. Starts, or refuses to; sends with one or several workers; ends its run.

The run's lock is held by this process and inherited by its workers, so that the run counts as alive while any of
them is. Workers end by themselves when this process dies.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from sendctl import faults, stopping
from sendctl.errors import ExitCode, SendctlError, UsageError
from sendctl.identity import new_id
from sendctl.journal import home as homes
from sendctl.journal.home import RunNote
from sendctl.passes.accounts import share_out
from sendctl.passes.context import Context, started_by
from sendctl.passes.importing import Imported
from sendctl.passes.startup import check_enabled, take_over
from sendctl.passes.worker import Orders, Report, work
from sendctl.store import campaigns, claims, finishing, meta, runs


@dataclass
class SendReport:
    """What one pass did."""

    run_id: str = ""
    imported: Imported = field(default_factory=Imported)
    work: Report = field(default_factory=Report)
    due: dict[str, int] = field(default_factory=dict)  # with dry_run: what would be sent, by campaign
    dry_run: bool = False
    died: int = 0  # workers that did not end as they should
    failure: SendctlError | None = None  # what ended the pass before its time, after the work that is reported
    seconds: float = 0.0

    @property
    def left_trouble(self) -> bool:
        """Whether this pass has left something that needs a person, and did not before."""
        work = self.work
        doubt = work.outcomes.get("unknown") or self.imported.in_doubt
        return bool(work.failed or doubt or self.imported.failed or work.paused)

    @property
    def exit_code(self) -> ExitCode:
        """The most urgent thing to say."""
        if self.failure is not None:
            return self.failure.exit_code
        if self.died or self.work.ended in ("time", "drained"):
            return ExitCode.STOPPED_EARLY
        if self.left_trouble or self.work.unreadable:
            return ExitCode.NEEDS_PERSON
        # What else was stopped is a provider: that matters where its messages wait, not where another one took them.
        return ExitCode.UNREACHABLE if self.work.ended == "blocked" else ExitCode.DONE


def run(
    context: Context, *, campaign: str | None = None, limit: int | None = None, max_seconds: float | None = None,
    dry_run: bool = False,
) -> SendReport:  # fmt: skip
    """Send what is due. Raises SendingDisabled, StoreElsewhere, StoreRewound, Unreachable, StoppedEarly, UsageError.

    Once the pass has done something, its report has the error instead.
    """
    begun_s = context.clock.boot_s()
    if dry_run:
        return _what_is_due(context, campaign)
    check_enabled(context)
    _check_campaign(context, campaign)
    report = SendReport(imported=take_over(context, sends=True))
    share_out(context)
    if not _anything_due(context, campaign):
        with context.store.write() as connection:
            finishing.settle(connection, context.store.now(connection))
        return report
    bound = max_seconds if max_seconds is not None else context.settings.send.max_seconds
    if bound is not None:  # it counts from the beginning: a pass that had to wait for the store claims less
        bound = max(0.0, bound - (context.clock.boot_s() - begun_s))
    try:
        _send(context, report, campaign, limit, bound)
    except SendctlError as error:
        if not (report.work.outcomes or report.imported.runs):
            raise
        report.failure, report.work.ended = error, "failed"
    report.seconds = context.clock.boot_s() - begun_s
    return report


def _check_campaign(context: Context, name: str | None) -> None:
    if name is None:
        return
    with context.store.read() as connection:
        if campaigns.find(connection, name) is None:
            raise UsageError(f"there is no campaign {name}", hint="`sendctl status` lists them.")


def _anything_due(context: Context, campaign: str | None) -> bool:
    with context.store.read() as connection:
        due = claims.campaigns_with_due(connection, context.store.now(connection))
    return campaign in due if campaign else bool(due)


def _what_is_due(context: Context, campaign: str | None) -> SendReport:
    _check_campaign(context, campaign)
    with context.store.read() as connection:
        counts = claims.due_counts(connection, context.store.now(connection))
    return SendReport(dry_run=True, due={k: v for k, v in counts.items() if campaign in (None, k)})


def _send(
    context: Context, report: SendReport, campaign: str | None, limit: int | None, max_seconds: float | None
) -> None:
    with context.store.read() as connection:
        store_id = meta.read(connection).store_id
    now = context.clock.utc_now()
    note = RunNote(store_id, new_id(), "send-due", homes.boot_id(), os.getpid(), now.isoformat())
    report.run_id = note.run_id
    # Noted and not raised from here on: a run that is recorded is ended, and what it did is reported.
    with stopping.noting(), homes.held_lock(context.home, note):
        with context.store.write() as connection:
            now = context.store.now(connection)
            runs.record(connection, run_row(context, note, now))
        faults.passing("run.recorded")
        orders = Orders(note.run_id, 0, store_id, campaign, limit, max_seconds)
        workers = context.settings.send.workers
        if workers == 1 or (limit is not None and limit < workers):
            work(context, orders, report.work)
        else:
            _fan_out(context, report, orders, workers)
        faults.passing("run.before_finish")
        if stopping.asked():
            report.work.ended = "drained"
        if report.failure is not None:
            report.work.ended = "failed"
        if not report.died:
            _finish(context, report)
            faults.passing("run.finished")
            context.home.confirm(note.run_id)


def run_row(context: Context, note: RunNote, now: datetime) -> runs.RunRow:
    """The record of a run that begins now."""
    return runs.RunRow(
        note.run_id, note.command, context.home.host_id, context.hostname, note.pid, note.boot_id,
        started_by(context.environ), now, now, None, None, {},
    )  # fmt: skip


def _finish(context: Context, report: SendReport) -> None:
    result = "stopped" if report.work.ended in ("time", "drained", "blocked") else "done"
    with context.store.write() as connection:
        now = context.store.now(connection)
        finishing.settle(connection, now)
        runs.finish(connection, report.run_id, result, asdict(report.work), now)
    share_out(context)  # the next steps that this run has planned


# -- several workers ----------------------------------------------------------------------------------------------


def _fan_out(context: Context, report: SendReport, orders: Orders, workers: int) -> None:
    """Fork the workers, pass signals on, add up their reports. Forked before any connection or loop exists."""
    context.store.close()
    life_read, life_write = os.pipe()
    children: dict[int, int] = {}
    try:
        with stopping.telling(lambda _again: _pass_on(list(children))):
            for index in range(workers):
                limit = _share(orders.limit, workers, index)
                mine = Orders(orders.run_id, index, orders.store_id, orders.campaign, limit, orders.max_seconds)
                before = stopping.asked()  # if it was, the worker is born with the request
                pid, read_end = _forked(context, mine, life_read, life_write)
                children[pid] = read_end
                if stopping.asked() and not before:
                    _pass_on([pid])
            os.close(life_read)
            for pid, read_end in children.items():
                _collect(report, pid, read_end)
    finally:
        os.close(life_write)


def _forked(context: Context, orders: Orders, life_read: int, life_write: int) -> tuple[int, int]:
    """Fork one worker; returns its process id and the pipe that its report comes through."""
    read_end, write_end = os.pipe()
    pid = os.fork() or _child(context, orders, life_read, life_write, write_end)
    os.close(write_end)
    return pid, read_end


def _share(limit: int | None, workers: int, index: int) -> int | None:
    return None if limit is None else limit // workers + (index < limit % workers)


def _child(context: Context, orders: Orders, parent_gone: int, life_write: int, write_end: int) -> NoReturn:
    """Work in the forked process and leave it without running the parent's cleanup."""
    with stopping.noting():  # to the very end: what the parent does about a signal is not for this process to do
        os.close(life_write)
        done, answer = Report(), dict[str, Any]()
        try:
            work(context, orders, done, parent_gone)
        except SendctlError as problem:
            answer = {"error": str(problem), "hint": problem.hint, "exit_code": int(problem.exit_code)}
        except BaseException as problem:  # the parent prints it; the journal has what happened until here
            answer = {"error": f"{type(problem).__name__}: {problem}"}
        with os.fdopen(write_end, "w") as pipe:
            json.dump({"report": asdict(done)} | answer, pipe)
        os._exit(answer.get("exit_code", ExitCode.UNEXPECTED) if answer else ExitCode.DONE)


def _pass_on(pids: list[int]) -> None:
    """The workers drain; this process waits for them."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _collect(report: SendReport, pid: int, read_end: int) -> None:
    with os.fdopen(read_end) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    answer: dict[str, Any] = json.loads(text) if text else {"error": "killed"}
    if "report" in answer:
        report.work.add(Report(**answer["report"]))
    if "error" in answer:
        report.died += 1
    if "exit_code" in answer:
        report.failure = report.failure or _failure_of(answer)
    elif "error" in answer:
        report.work.stops.append(f"worker process {pid}: {answer['error']}")


def _failure_of(answer: dict[str, Any]) -> SendctlError:
    """A worker's error as it was there: its words, its hint, its exit code."""
    failure = SendctlError(answer["error"], hint=answer["hint"])
    failure.exit_code = ExitCode(answer["exit_code"])
    return failure
