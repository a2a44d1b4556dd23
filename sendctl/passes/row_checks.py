"""Checking the rows of a contacts file against a campaign, before anything is written: the first of two readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from sendctl.errors import BadInput, SendctlError
from sendctl.inputs.contacts import BadRow, ContactFile, ContactRow, SkipFile
from sendctl.passes.rendered import recipient_of
from sendctl.rendering.message import StepRenderer

SHOWN_PROBLEMS = 20
ROWS_PER_TICK = 2000
ANY_TOKEN = "t" * 32  # stands for a token that is not made yet
Progress = Callable[[str, int, int], None]  # phase, bytes done, bytes in all


@dataclass
class Checked:
    """How many rows are good, and how many are not."""

    good: int = 0
    bad: int = 0


def problem_of(row: ContactRow, renderers: Sequence[StepRenderer]) -> tuple[str, str] | None:
    """(column, reason) why a row cannot be sent to. Each variable that a template uses must be there."""
    if row.email is None:
        return "email", "an e-mail campaign needs an address"
    recipient = recipient_of(row.attributes, ANY_TOKEN)
    for renderer in renderers:
        try:
            missing = renderer.missing(recipient)
        except SendctlError as error:
            return "email", str(error)
        if missing:
            return missing[0].removeprefix("contact."), f"the template uses {', '.join(missing)}, which this row lacks"
    return None


def check_rows(
    file: ContactFile, renderers: Sequence[StepRenderer], skip_bad: Path | None, progress: Progress | None
) -> Checked:
    """Count the good rows. Bad ones end the command, or are kept in the `skip_bad` file, whole before this returns.

    Raises BadInput naming the first of them with file, line, column and reason.
    """
    checked = Checked()
    problems: list[BadRow] = []
    with file.skip_file(skip_bad) if skip_bad is not None else nullcontext() as keep:
        for row in file.rows():
            if progress is not None and checked.good % ROWS_PER_TICK == 0:
                progress("checking", file.position_bytes(), file.size_bytes)
            bad = _bad(file, row, renderers)
            if bad is None:
                checked.good += 1
                continue
            checked.bad += 1
            if isinstance(keep, SkipFile):
                keep.write(bad)
            elif len(problems) < SHOWN_PROBLEMS:
                problems.append(bad)
    if problems:
        raise _bad_rows(file, problems, checked.bad)
    return checked


def _bad(file: ContactFile, row: ContactRow | BadRow, renderers: Sequence[StepRenderer]) -> BadRow | None:
    if isinstance(row, BadRow):
        return row
    problem = problem_of(row, renderers)
    return None if problem is None else file.reject(row, *problem)


def _bad_rows(file: ContactFile, problems: list[BadRow], count: int) -> BadInput:
    first = file.error(problems[0])
    if count == 1:
        return first
    lines = [str(file.error(problem)) for problem in problems]
    more = [f"... and {count - len(lines)} more"] if count > len(lines) else []
    return BadInput("\n  ".join([f"{count} rows cannot be used; nothing was written", *lines, *more]), hint=first.hint)
