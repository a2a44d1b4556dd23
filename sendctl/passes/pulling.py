"""The part of `reconcile` that asks services for their events, page by page, within bounds.

A page's events and the place behind it are one transaction, so that a death between two pages repeats and loses
nothing; a page that is read twice changes nothing. Each moment of a list is read soon, and again when the service must
know all of it; what matches nothing even then is not ours, unless an outcome is missing (docs/adr/0013).
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from sendctl import faults
from sendctl.errors import SendctlError
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.passes.draining import drain
from sendctl.passes.pulled import CLOCKS_S, WAITS_S, Bound, Pulled, read_lines, write_down
from sendctl.passes.whom import account_of
from sendctl.providers.registry import build_source
from sendctl.providers.source import Asked, EventLists, EventPage, EventQueue, Feed, NoEvents
from sendctl.settings import ProviderTable
from sendctl.store import cursors
from sendctl.store.cursors import Place

FIRST_S = 86400  # how far back the first reading goes
WINDOW_S = 86400  # the longest time that is read as one list
KEPT_S = 30 * 86400  # no service here keeps more for everybody
PATIENCE_S = 2.0  # a wait that is no longer is waited for in this pass
BEHIND_S = 86400  # more than this behind its lag, and a person should know


def pull(context: Context) -> Pulled:
    """Ask all providers with `pull_events`. What one of them cannot do keeps no other from being read."""
    report = Pulled()
    for table in context.settings.providers.values():
        if table.options.get("pull_events") is True:
            try:
                _pull(context, table, report)
            except NoEvents as error:
                told = report.trouble if error.wait_s is None else report.asked_to_wait
                told[table.name] = str(error.strerror)
    return report


def _pull(context: Context, table: ProviderTable, report: Pulled) -> None:
    try:
        source = build_source(table, context.environ)
    except SendctlError as error:  # a secret that cannot be had
        raise NoEvents(str(error)) from error
    if isinstance(source, EventQueue):
        drain(context, table.name, source, report)
    else:
        _Reader(context, table.name, source, report).run()


class _Reader:
    """Reads the lists of one provider, a page of each in turn."""

    def __init__(self, context: Context, provider: str, source: EventLists, report: Pulled) -> None:
        self._provider, self._source, self._report, self._bound = provider, source, report, Bound(context)
        self._desk, self._account = Desk(context), account_of(context.settings, provider)
        self._readings = [(feed, number) for feed in source.feeds for number in range(len(feed.readings))]
        self._places: dict[tuple[str, int], Place] = {}
        self._now = context.clock.utc_now()

    def run(self) -> None:
        """Raises NoEvents."""
        if not self._begin():
            return
        try:
            with self._source.together():
                self._take_turns()
        finally:
            self._note_behind()

    def _begin(self) -> bool:
        """Where each reading stands; False while the service wants to be left alone."""
        with self._desk.transaction() as connection:
            self._now = now = self._desk.now
            cursors.begin(connection, [self._first(feed, number) for feed, number in self._readings], now)
            self._places = cursors.of_provider(connection, self._provider)
            known = {name for name, place in self._places.items() if self._has_come(connection, place)}
        wanted = max((place.not_before for place in self._places.values() if place.not_before), default=now)
        if wanted > now:
            self._report.asked_to_wait[self._provider] = f"not before {wanted:%Y-%m-%d %H:%M:%SZ}, as it asked"
            return False
        for name in known:
            self._places[name] = _again(self._places[name], now)
        return True

    def _has_come(self, connection: Connection, place: Place) -> bool:
        """Whether one of the outcomes is known that what matched nothing may have been about."""
        if place.again_from is None or place.again_for is None:
            return False
        return cursors.unsettled(connection, self._account, place.again_for) != place.again_left

    def _first(self, feed: Feed, number: int) -> Place:
        """What came before is read by the next reading, or was before our time."""
        lag_s = feed.readings[number].lag_s
        return Place(self._provider, feed.name, lag_s, self._ago(_handed_on_s(feed, number) or lag_s + FIRST_S))

    def _ago(self, seconds: float) -> datetime:
        return self._now - timedelta(seconds=seconds)

    def _take_turns(self) -> None:
        pending = list(self._readings)
        while pending:
            for one in list(pending):
                if self._bound.reached():
                    self._report.more.append(self._provider)
                    return
                if not self._step(*one):
                    pending.remove(one)

    def _step(self, feed: Feed, number: int) -> bool:
        """Read one page of a list; False when there is nothing to read now, or another pass reads it."""
        place = self._places[feed.name, feed.readings[number].lag_s]
        window = self._window(place, feed, number)
        if window is None or window.window_until is None:
            return False
        asked = Asked(feed.name, window.read_until, window.window_until, window.page or "")
        page = self._asked(asked, place)
        if page is None:
            return True
        return self._record(place, window, page, last=number == len(feed.readings) - 1)

    def _asked(self, asked: Asked, place: Place) -> EventPage | None:
        """A page; None where the service wants to be asked again in a moment, which has gone by. Raises NoEvents."""
        self._bound.pages -= 1
        try:
            return self._source.page(asked)
        except NoEvents as error:
            if error.wait_s is not None and error.wait_s <= PATIENCE_S:
                time.sleep(error.wait_s)
                return None
            self._note(error, place)
            raise

    def _window(self, place: Place, feed: Feed, number: int) -> Place | None:
        """The place with the window that is to be read: the one it is in, or the next; None when it is too early."""
        reading = feed.readings[number]
        floor = self._ago(_handed_on_s(feed, number) or KEPT_S)
        if place.window_until is not None and place.window_until > floor:
            return place
        since = max(place.read_until, floor)
        until = min(self._ago(reading.lag_s), since + timedelta(seconds=WINDOW_S))
        if until - since < timedelta(seconds=max(1, reading.least_s)):
            return None
        return place._replace(read_until=since, window_until=until, page=None)

    def _record(self, before: Place, window: Place, page: EventPage, *, last: bool) -> bool:
        """One transaction: what the page says, and the place behind it."""
        self._report.pages += 1
        events, refused = read_lines(self._provider, page.lines)
        if last:  # else they come once more
            self._report.note_unread(self._provider, [*page.unread, *refused])
        foreign = 0
        with self._desk.transaction() as connection:
            # Before they are looked up: an outcome that comes in between is then one that they had not found.
            waiting = self._waiting(connection, window) if last else None
            applied, unmatched = write_down(self._desk, connection, events)
            if last and unmatched and waiting is None:
                foreign = sum(not one.suppresses for one in unmatched)
            after = (waiting if waiting is not None and unmatched else window)._replace(page=page.next or None)
            if not page.next:
                after = after._replace(read_until=window.window_until or window.read_until, window_until=None)
            faults.passing("pull.before_commit")
            moved = cursors.move(connection, before, after, self._desk.now)
        faults.passing("pull.committed")
        self._report.applied.add(applied)
        self._report.foreign += foreign
        self._places[before.name] = after._replace(turn=before.turn + 1)
        return moved

    def _waiting(self, connection: Connection, place: Place) -> Place | None:
        """The place where something has matched nothing that may be about a missing outcome: with each of these that
        comes it is read again. None while there are none: then it is not ours.
        """
        until = (place.window_until or place.read_until) + timedelta(seconds=CLOCKS_S)
        left = cursors.unsettled(connection, self._account, until)
        if not left:
            return None
        if place.again_from is None:
            return place._replace(again_from=place.read_until, again_for=until, again_left=left)
        if self._has_come(connection, place):  # the next pass sees it, and goes back behind this one
            return place
        return place._replace(again_for=until, again_left=left)

    def _note(self, error: NoEvents, place: Place) -> None:
        """What the next pass must know of a page that could not be had."""
        with self._desk.transaction() as connection:
            if error.wait_s is not None:
                until = self._desk.now + timedelta(seconds=error.wait_s)
                cursors.leave_alone(connection, self._provider, until, self._desk.now)
            elif error.stale and place.page is not None:
                cursors.move(connection, place, place._replace(page=None), self._desk.now)

    def _note_behind(self) -> None:
        for feed in self._source.feeds:
            lag_s = feed.readings[-1].lag_s + feed.readings[-1].least_s
            place = self._places.get((feed.name, feed.readings[-1].lag_s))
            if place is not None and place.read_until < self._ago(lag_s + BEHIND_S):
                self._report.behind[self._provider] = place.read_until


def _handed_on_s(feed: Feed, number: int) -> int | None:
    """The age at which what a reading has left is the next one's; None of the last."""
    after = feed.readings[number + 1 :]
    return after[0].lag_s + after[0].least_s if after else None


def _again(place: Place, now: datetime) -> Place:
    """Go back to where something matched nothing."""
    assert place.again_from is not None
    since = max(place.again_from, now - timedelta(seconds=WAITS_S))
    back = min(place.read_until, since)
    return place._replace(
        read_until=back, window_until=None, page=None, again_from=None, again_for=None, again_left=None
    )
