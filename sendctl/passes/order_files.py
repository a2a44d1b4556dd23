"""Where order events come from: one file or standard input, or a spool folder with any number of files.

All is checked before anything is written. In a folder each file counts by itself: one that cannot be used is put aside
and the others are loaded; files are moved only after the commit. Never moves a file whose contents may be lost by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

from sendctl.errors import BadInput, UsageError
from sendctl.inputs import spool
from sendctl.inputs.campaign_places import CampaignFile
from sendctl.inputs.contacts import SkipFile
from sendctl.inputs.orders import OrderFile, open_orders
from sendctl.inputs.spool import SpoolUnusable, Stamp
from sendctl.passes.order_checks import CheckedOrders, OrderReader, check_orders
from sendctl.passes.row_checks import Progress, bad_rows
from sendctl.rendering.steps import Renderer


@dataclass
class Orders:
    """Order events to be loaded, checked."""

    source: Path | Literal["-"]
    reader: OrderReader
    is_folder: bool = False
    keep: SkipFile | None = None
    good: int = 0
    bad: int = 0
    eligible: int = 0
    put_aside: list[tuple[Path, str]] = field(default_factory=list)
    left: list[tuple[Path, str]] = field(default_factory=list)  # files that stay: perhaps the campaign is wrong
    strangers: list[str] = field(default_factory=list)  # files of the folder with the name of something else
    unmoved: list[tuple[Path, str]] = field(default_factory=list)  # files that are done with, and stay, and why
    _file: OrderFile | None = None
    _good_files: list[tuple[Path, Stamp]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """For messages."""
        return self._file.name if self._file is not None else str(self.source)

    @property
    def file_count(self) -> int:
        """Files of the folder that are loaded."""
        return len(self._good_files)

    @property
    def is_idle(self) -> bool:
        """Whether it is a folder in which nothing waits to be loaded: the usual case, which leaves no trace."""
        return self.is_folder and not self._good_files

    def files(self) -> Iterator[OrderFile]:
        """For the second reading: each file, open. One that another command has loaded and moved is left out."""
        if self._file is not None:
            yield self._file
        for path, stamp in self._good_files:
            with _opened(path) as file:
                if file is None:
                    continue
                if file.stamp != stamp:
                    raise BadInput("the file changed while it was read", place=file.name, hint="run the command again.")
                yield file

    def move(self, day: date) -> None:
        """After the commit: loaded files into done/DAY, unusable ones into bad. `unmoved` says which stay, and why.

        What is loaded is loaded: one that cannot be moved keeps neither the others nor the report back.
        """
        reasons = dict(self.put_aside)
        for path in [*(path for path, stamp in self._good_files if spool.is_still(path, stamp)), *reasons]:
            try:
                spool.put_aside(path, reasons[path]) if path in reasons else spool.put_away(path, day)
            except SpoolUnusable as error:
                self.unmoved.append((path, f"{error}; {error.hint.rstrip('.')}"))


@contextmanager
def opened_orders(
    source: Path | Literal["-"], campaign: CampaignFile, renderers: Sequence[Renderer], skip_bad: Path | None,
    progress: Progress | None,
) -> Iterator[Orders]:  # fmt: skip
    """The first reading. Raises BadInput naming the first bad lines, or what is wrong with the campaign; UsageError."""
    orders = Orders(source, OrderReader(campaign), is_folder=source != "-" and source.is_dir())
    with ExitStack() as stack:
        if orders.is_folder:
            if skip_bad is not None:
                raise UsageError(
                    "--skip-bad is about one file of orders, not about a folder",
                    hint="leave it out: files that cannot be used are put aside in the folder bad.",
                )
            _check_folder(orders, Path(source), campaign, renderers)
        else:
            file = orders._file = stack.enter_context(open_orders(source))
            orders.keep = stack.enter_context(file.skip_file(skip_bad)) if skip_bad is not None else None
            _check_one(orders, file, campaign, renderers, progress)
        yield orders


def _check_one(
    orders: Orders, file: OrderFile, campaign: CampaignFile, renderers: Sequence[Renderer],
    progress: Progress | None,
) -> None:  # fmt: skip
    checked = check_orders(file, campaign, orders.reader, renderers, orders.keep, progress)
    if checked.bad and (orders.keep is None or not checked.good):
        raise bad_rows(file, checked, every_row=not checked.good)
    _count(orders, checked)
    orders.bad = checked.bad


def _check_folder(
    orders: Orders, folder: Path, campaign: CampaignFile, renderers: Sequence[Renderer]
) -> None:  # fmt: skip
    """Sort the files. A campaign that fits no item of any file may be to blame itself: no file is moved for that.

    Raises BadInput if nothing of the folder can be loaded then; else those files are left, and the others are loaded.
    """
    misfits: list[tuple[Path, BadInput]] = []
    orders.strangers = [f"{folder.name}/{path.name}" for path in spool.strangers(folder)]
    for path in spool.waiting(folder):
        try:
            with _opened(path) as file:
                if file is None:
                    continue
                checked = check_orders(file, campaign, orders.reader, renderers, None, None)
                if not checked.bad:
                    orders._good_files.append((path, file.stamp))
                    _count(orders, checked)
                    continue
                refused = bad_rows(file, checked, every_row=False)
                if checked.misfits:
                    misfits.append((path, refused))
                    continue
        except _FileRefused as error:
            refused = error.reason
        orders.put_aside.append((path, str(refused)))
    unused = [(path, str(refused)) for path, refused in misfits]
    if orders.eligible:
        orders.put_aside = sorted([*orders.put_aside, *unused])
    elif orders._good_files:
        orders.left = unused
    elif misfits:
        (_, refused), *_ = misfits
        refused.hint = (
            "mend the campaign file, or the order, or take its file out of the folder: as the campaign fits no item of"
            " any file, none was moved."
        )
        raise refused


def _count(orders: Orders, checked: CheckedOrders) -> None:
    orders.good += checked.good
    orders.eligible += checked.eligible


class _FileRefused(Exception):
    """A file of the folder that cannot be used as a whole."""

    def __init__(self, reason: BadInput) -> None:
        super().__init__(str(reason))
        self.reason = reason


@contextmanager
def _opened(path: Path) -> Iterator[OrderFile | None]:
    """A file of the folder; None when another command has moved it."""
    try:
        file = open_orders(path)
    except BadInput as error:
        if isinstance(error.__cause__, FileNotFoundError):
            yield None
            return
        if isinstance(error.__cause__, OSError):
            raise  # unreadable here and now: not the file's contents
        raise _FileRefused(error) from None
    with file:
        yield file
