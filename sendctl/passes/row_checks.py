"""Checking the rows of a contacts file against a campaign, before anything is written: the first of two readings.

A row that cannot be sent to is bad, and may be left out. What is wrong with the campaign ends the command instead: it
is never taken for a fault of all rows, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from sendctl.errors import BadInput, SendctlError
from sendctl.inputs.campaign_places import CampaignFile
from sendctl.inputs.contacts import BadRow, ContactFile, ContactRow, ContactTable, SkipFile
from sendctl.passes.campaign_faults import Undefined, at_fault, column_of, plain, undefined, without_source
from sendctl.passes.rendered import recipient_of
from sendctl.rendering.message import Recipient
from sendctl.rendering.steps import Renderer

SHOWN_PROBLEMS = 20
GROUP_ROWS = 2000
ANY_TOKEN = "t" * 32  # stands for a token that is not made yet
Progress = Callable[[str, int, int], None]  # phase, bytes done, bytes in all
Part = ContactTable | ContactRow | BadRow  # of a contacts file


class Problem(NamedTuple):
    """Why a row cannot be sent to: a step lacks variables, or else its templates fail with `error`."""

    step_index: int
    missing: tuple[str, ...]
    error: SendctlError | None

    def __str__(self) -> str:
        return f"the template uses {', '.join(self.missing)}, which this row lacks" if self.missing else str(self.error)


def problem_of(attributes: Mapping[str, Any], renderers: Sequence[Renderer]) -> Problem | None:
    """What keeps the steps' templates from being filled for a person. Each variable that is used must be there."""
    return problem_for(recipient_of(attributes, ANY_TOKEN), renderers)


def problem_for(recipient: Recipient, renderers: Sequence[Renderer]) -> Problem | None:
    """The same for whatever varies from message to message."""
    for index, renderer in enumerate(renderers):
        try:
            missing = renderer.missing(recipient)
        except SendctlError as error:
            return Problem(index, (), error)
        if missing:
            return Problem(index, tuple(missing), None)
    return None


def sendable(row: ContactRow | BadRow, renderers: Sequence[Renderer]) -> bool:
    """Whether a row is good."""
    if not isinstance(row, ContactRow) or address_lacking(row, renderers) is not None:
        return False
    return problem_of(row.attributes, renderers) is None


class Lacking(NamedTuple):
    """What somebody must have to be reached: the column, and why."""

    column: str
    reason: str


_NEEDED = {
    "email": Lacking("email", "an e-mail campaign needs an address"),
    "sms": Lacking("phone", "a campaign of text messages needs a phone number"),
}


def address_lacking(row: ContactRow, renderers: Sequence[Renderer]) -> Lacking | None:
    """What a person lacks to be reached on the channel of the campaign, whose steps these are. On both, either does."""
    has = {"email": row.email is not None, "sms": row.phone is not None}
    channel = renderers[0].channel
    return None if has.get(channel, True) else _NEEDED[channel]


def all_sendable(part: Part, renderers: Sequence[Renderer]) -> bool:
    """Whether these are contacts who are surely good, seen all at once. If not, look at each row."""
    if not isinstance(part, ContactTable):
        return False
    texts = ["".join(record) for record in part.records]
    columns, most_characters = frozenset(part.names), max(map(len, texts))
    # Questions about the columns first: where they have no answer, it would be the same for each table of the file.
    fits = all(renderer.surely_fits(columns, ANY_TOKEN, most_characters) for renderer in renderers)
    return fits and "".join(texts).isprintable()


def rows_of(part: Part) -> Iterable[ContactRow | BadRow]:
    """The rows of a part of the file, one by one."""
    return part.rows() if isinstance(part, ContactTable) else (part,)


def is_good(part: Part, renderers: Sequence[Renderer]) -> bool:
    """Whether all rows of a part of the file are good."""
    return all_sendable(part, renderers) or all(sendable(row, renderers) for row in rows_of(part))


def _count_of(part: Part) -> int:
    return len(part.records) if isinstance(part, ContactTable) else 1


class Groups:
    """Whose turn it is when two processes check one file: group by group, the second one's first. Both count alike."""

    def __init__(self) -> None:
        self._number, self._left = 0, 0

    @property
    def is_seconds(self) -> bool:
        """Whether the second process checks this group."""
        return self._number % 2 == 1

    def begins_with(self, part: Part) -> bool:
        """Count the next part in; whether it is the first of a group."""
        begins = self._left <= 0
        if begins:
            self._number, self._left = self._number + 1, GROUP_ROWS
        self._left -= _count_of(part)
        return begins


class Verdicts(Protocol):
    """What the second process says of its groups."""

    def group_is_good(self) -> bool: ...


class NamesPlaces(Protocol):
    """A file that says where a bad row stands."""

    def error(self, bad: BadRow) -> BadInput: ...


@dataclass
class Checked:
    """How many rows are good, and how many are not."""

    good: int = 0
    bad: int = 0
    problems: list[BadRow] = field(default_factory=list)  # the first of the bad ones
    common: set[Undefined] | None = None  # what every bad row so far lacks


def check_rows(
    file: ContactFile, campaign: CampaignFile, renderers: Sequence[Renderer], keep: SkipFile | None,
    progress: Progress | None, verdicts: Verdicts | None = None,
) -> Checked:  # fmt: skip
    """Count the good rows. Bad ones end the command, or are written to `keep` if there is a good one too.

    With `verdicts` another process checks every other group; those that it does not find good are checked again here.

    Raises BadInput naming the first bad rows with file, line, column and reason, or what is wrong with the campaign.
    """
    judge = _Judge(file, campaign, renderers)
    judge.check_columns()
    checked = Checked()
    groups, told_good = Groups(), False
    for part in file.parts():
        if groups.begins_with(part):
            told_good = verdicts is not None and groups.is_seconds and verdicts.group_is_good()
            if progress is not None:
                progress("checking", file.position_bytes(), file.size_bytes)
        if told_good or all_sendable(part, renderers):
            checked.good += _count_of(part)
            continue
        for row in rows_of(part):
            problem = judge.problem(row)
            if problem is None:
                checked.good += 1
            else:
                _count(checked, judge, row, problem, keep)
    if checked.bad > 1 and not checked.good and checked.common:
        raise undefined(campaign, sorted(checked.common), file.name, judge.keys, every_row=True)
    if checked.bad and (keep is None or not checked.good):
        raise bad_rows(file, checked, every_row=not checked.good)
    return checked


def _count(
    checked: Checked, judge: _Judge, row: ContactRow | BadRow, problem: Problem | Lacking | str, keep: SkipFile | None
) -> None:
    checked.bad += 1
    lacking = {(problem.step_index, name) for name in problem.missing} if isinstance(problem, Problem) else set()
    checked.common = lacking if checked.common is None else checked.common & lacking
    shown = len(checked.problems) < SHOWN_PROBLEMS
    if keep is None and not shown:
        return
    bad = row if isinstance(row, BadRow) else judge.bad_row(row, problem)
    if keep is not None:
        keep.write(bad)
    if shown:
        checked.problems.append(bad)


class _Judge:
    """Tells good rows from bad ones, and bad ones from a campaign that does not fit anybody."""

    def __init__(self, file: ContactFile, campaign: CampaignFile, renderers: Sequence[Renderer]) -> None:
        self._file, self._campaign, self._renderers = file, campaign, renderers
        self.keys: tuple[str, ...] = file.columns or ()  # in JSON Lines, those of the first bad row

    def check_columns(self) -> None:
        """Raises BadInput if the header of a CSV file lacks what every row needs."""
        columns = self._file.columns
        if columns is None:
            return
        needed = _NEEDED.get(self._renderers[0].channel)
        if needed is not None and needed.column not in columns:
            what = "e-mail" if needed.column == "email" else "text messages"
            raise BadInput(
                f"the campaign sends {what}, and no column is named {needed.column!r}", place=self._file.name,
                hint=f"the columns are: {', '.join(columns)}"[:300],
            )  # fmt: skip
        found: list[Undefined] = []
        recipient = recipient_of(dict.fromkeys(columns, plain("")), ANY_TOKEN)
        for index, renderer in enumerate(self._renderers):
            try:
                missing = renderer.missing(recipient)
            except SendctlError:  # perhaps only because the values are made up
                continue
            found += [(index, name) for name in without_source(missing, renderer, columns)]
        if found:
            raise undefined(self._campaign, found, self._file.name, columns, every_row=False)

    def problem(self, row: ContactRow | BadRow) -> Problem | Lacking | str | None:
        """What is wrong with a row, None if it is good. Raises BadInput if the campaign is to blame."""
        if isinstance(row, BadRow):
            return row.reason
        lacking = address_lacking(row, self._renderers)
        if lacking is not None:
            return lacking
        problem = problem_of(row.attributes, self._renderers)
        if problem is not None:
            self._refuse_for_all(row, problem)
        return problem

    def _refuse_for_all(self, row: ContactRow, problem: Problem) -> None:
        index = problem.step_index
        self.keys = self.keys or tuple(row.attributes)
        lacking = without_source(problem.missing, self._renderers[index], self._file.columns)
        if lacking:
            found = [(index, name) for name in lacking]
            raise undefined(self._campaign, found, self._file.name, self.keys, every_row=False)
        if problem.error is None:
            return
        kept = {column for column, _ in _NEEDED.values()}
        made_up = {name: value if name in kept else plain(value) for name, value in row.attributes.items()}
        again = problem_of(made_up, self._renderers)
        if again is not None and (again.step_index, str(again)) == (index, str(problem)):
            raise at_fault(self._campaign, index, problem.error)

    def bad_row(self, row: ContactRow, problem: Problem | Lacking | str) -> BadRow:
        """The row with the reason, and the column whose value causes it, where that can be found."""
        if isinstance(problem, Problem):
            return self._file.reject(row, self._culprit(row, problem), str(problem))
        column = problem.column if isinstance(problem, Lacking) else None
        return self._file.reject(row, column, problem.reason if isinstance(problem, Lacking) else problem)

    def _culprit(self, row: ContactRow, problem: Problem) -> str | None:
        """The first column that changes the problem when it has a plain value."""
        if problem.missing:
            column = column_of(problem.missing[0])
            return column if self._file.columns is None or column in row.attributes else None
        used = {column_of(name) for renderer in self._renderers for name in renderer.references()}
        for name, value in row.attributes.items():
            if name in used:
                again = problem_of({**row.attributes, name: plain(value)}, self._renderers)
                if again is None or str(again) != str(problem):
                    return name
        return None


def bad_rows(file: NamesPlaces, checked: Checked, *, every_row: bool) -> BadInput:
    """The error that says what is wrong with the first bad rows."""
    first = file.error(checked.problems[0])
    hint = "no row can be used: --skip-bad leaves out some rows, never all." if every_row else first.hint
    if checked.bad == 1:
        return BadInput(checked.problems[0].reason, place=first.place, hint=hint)
    lines = [str(file.error(problem)) for problem in checked.problems]
    more = [f"... and {checked.bad - len(lines)} more"] if checked.bad > len(lines) else []
    rows = f"all {checked.bad} rows" if every_row else f"{checked.bad} rows"
    return BadInput("\n  ".join([f"{rows} cannot be used; nothing was written", *lines, *more]), hint=hint)
