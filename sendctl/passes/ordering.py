"""The second reading of order events: eligible items become enrollments, and what has ended stops them.

Runs inside the transaction of an enqueue. Decided by the events' own times, so that one set of events gives one end
state in whatever order, files and commands it comes, and however often.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.engine import Connection

from sendctl import identity
from sendctl.calendar import Calendar
from sendctl.definition import FIRST_STEP
from sendctl.inputs.contact_rows import BadRow, ValueProblem
from sendctl.inputs.orders import OrderFile
from sendctl.passes.accounts import Shares
from sendctl.passes.enrolling import CHUNK_ROWS, JSON
from sendctl.passes.order_checks import Eligible, Meaning, OrderReader, Stop, WholeStop, fits
from sendctl.passes.row_checks import Progress
from sendctl.rendering.expressions import whole_key
from sendctl.rendering.failures import RenderError
from sendctl.rendering.steps import Renderer
from sendctl.store import loading, subjects
from sendctl.store.id_set import IdSet
from sendctl.store.loading import About, Entries, Ids
from sendctl.store.replanning import Moved
from sendctl.store.subjects import Earlier, Subject, Untried

KNOWN, REPEATED = "known", "repeated"
EARLIER, NOT_ENROLLED, OVER = "from before its order", "not enrolled", "over before"


@dataclass
class Ordered:
    """What a load of order events has added so far, and what is to be done once the campaign is held."""

    contacts: int = 0
    enrolled: int = 0
    planned: int = 0  # messages
    first_due_at: datetime | None = None
    not_eligible: Counter[str] = field(default_factory=Counter)
    ended: array[int] = field(default_factory=lambda: array("q"))  # enrollments whose subject has ended
    asked: set[int] = field(default_factory=set)  # of these, those of events of `cancel_on`
    not_stopped: Counter[str] = field(default_factory=Counter)  # what such events list: why they stop nothing
    earlier: list[Earlier] = field(default_factory=list)


class _Some(NamedTuple):
    """Events that are looked at together."""

    eligible: list[Eligible]
    stops: list[Stop]
    whole: list[WholeStop]

    @property
    def size(self) -> int:
        return len(self.eligible) + len(self.stops) + len(self.whole)


class OrderLoader:
    """Loads the events of files into one campaign."""

    def __init__(
        self, connection: Connection, campaign_id: int, calendar: Calendar, reader: OrderReader, secret: str,
        ids: Ids, now: datetime,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._campaign_id = campaign_id
        self._calendar = calendar
        self._name = calendar.definition.name
        self._reader = reader
        self._secret = secret
        self._ids = ids
        self._now = now
        self._seen = IdSet()
        self.done = Ordered()

    def load(
        self, files: Iterable[OrderFile], leaving_out: Sequence[Renderer], progress: Progress | None
    ) -> Ordered:  # fmt: skip
        """Take in all events. With renderers, lines that cannot be used are left out."""
        for some in self._chunks(files, leaving_out, progress):
            self._take(some)
        return self.done

    def _chunks(
        self, files: Iterable[OrderFile], leaving_out: Sequence[Renderer], progress: Progress | None
    ) -> Iterator[_Some]:  # fmt: skip
        """Over the ends of files: in a spool folder each may hold a single event."""
        some = _Some([], [], [])
        for file in files:
            for meaning in self._meanings(file, leaving_out):
                self.done.not_eligible.update(meaning.not_eligible)
                some.eligible.extend(meaning.eligible)
                some.stops.extend(meaning.stops)
                some.whole.extend(meaning.whole)
                if some.size >= CHUNK_ROWS:
                    yield some
                    some = _Some([], [], [])
                    if progress is not None:
                        progress("loading", file.position_bytes(), file.size_bytes)
        if some.size:
            yield some

    def _meanings(self, file: OrderFile, leaving_out: Sequence[Renderer]) -> Iterator[Meaning]:
        for event in file.events():
            if isinstance(event, BadRow):
                continue  # the first reading has kept it
            try:
                meaning = self._reader.meaning(event)
            except (ValueProblem, RenderError):
                if not leaving_out:
                    raise
                continue
            if not leaving_out or fits(meaning, leaving_out):
                yield meaning

    def _take(self, some: _Some) -> None:
        stops = [*some.stops, *self._of_whole_orders(some)]
        keys = {item.subject_key for item in some.eligible} | {stop.subject_key for stop in stops}
        before = subjects.known(self._connection, self._campaign_id, keys)
        after = dict(before)
        for item in some.eligible:
            after[item.subject_key] = _since(after.get(item.subject_key, Subject()), item)
        for stop in stops:
            after[stop.subject_key] = self._until(after.get(stop.subject_key, Subject()), stop)
        changed = {key: subject for key, subject in after.items() if subject != before.get(key)}
        subjects.save(self._connection, self._campaign_id, changed)
        enrolled = subjects.enrolled(self._connection, self._campaign_id, keys)
        self._enroll(self._fresh(some.eligible, after, enrolled))
        for key, enrollment_id in enrolled.items():
            if after[key].is_over(self._reader.trigger.event):
                self.done.ended.append(enrollment_id)
        self._note_stops(stops, after, enrolled)
        self._note_earlier(some.eligible, before, enrolled)

    def _of_whole_orders(self, some: _Some) -> list[Stop]:
        """What ends entries of orders that ended as a whole: those that are enrolled, and those that come in now."""
        before = subjects.known(
            self._connection, self._campaign_id,
            {item.order_key for item in some.eligible if item.order_key} | {stop.order.key for stop in some.whole},
        )  # fmt: skip
        after = dict(before)
        for stop in some.whole:
            after[stop.order.key] = self._until(after.get(stop.order.key, Subject()), stop)
        changed = {key: subject for key, subject in after.items() if subject != before.get(key)}
        subjects.save(self._connection, self._campaign_id, changed)
        theirs = {(stop.order.prefix, stop.order.key) for stop in some.whole}
        ended = [(item.subject_key, after[item.order_key]) for item in some.eligible if item.order_key in after]
        found = {item.order_key for item in some.eligible}
        for one in subjects.beginning_with(self._connection, self._campaign_id, {prefix for prefix, _ in theirs}):
            key = whole_key(json.loads(one.snapshot)["order"])
            if (one.prefix, key) in theirs:
                ended.append((one.subject_key, after[key]))
                found.add(key)
        if missing := {key for _, key in theirs} - found:
            self.done.not_stopped[NOT_ENROLLED] += len(missing)
        return [
            Stop(key, order.stopped_at, order.stop_type)
            for key, order in ended if order.stopped_at is not None and order.stop_type is not None
        ]  # fmt: skip

    def _until(self, subject: Subject, stop: Stop | WholeStop) -> Subject:
        """Of two at the same moment, one of `cancel_on` counts before `where`, and then the later name."""

        def rank(at: datetime, type_: str) -> tuple[datetime, bool, str]:
            return at, type_ != self._reader.trigger.event, type_

        if subject.stopped_at is None or subject.stop_type is None:
            return subject._replace(stopped_at=stop.at, stop_type=stop.type)
        at, type_ = max((subject.stopped_at, subject.stop_type), (stop.at, stop.type), key=lambda one: rank(*one))
        return subject._replace(stopped_at=at, stop_type=type_)

    def _fresh(
        self, eligible: Sequence[Eligible], after: dict[str, Subject], enrolled: dict[str, int]
    ) -> list[Eligible]:  # fmt: skip
        """Those to be enrolled, the earliest event of each key; the others are counted with the reason."""
        first: dict[str, Eligible] = {}
        for item in sorted(eligible, key=lambda item: (item.at, item.line)):
            first.setdefault(item.subject_key, item)
        fresh = []
        for item in eligible:
            subject, enrollment_id = after[item.subject_key], enrolled.get(item.subject_key)
            if enrollment_id is not None:
                again = enrollment_id in self._ids.enrollments.ids or not self._seen.add(enrollment_id)
                self.done.not_eligible[REPEATED if again else KNOWN] += 1
            elif subject.is_over(self._reader.trigger.event):
                self.done.not_eligible[f"stopped by {subject.stop_type}"] += 1
            elif first[item.subject_key] is item:
                fresh.append(item)
            else:
                self.done.not_eligible[REPEATED] += 1
        return fresh

    def _enroll(self, fresh: Sequence[Eligible]) -> None:
        if not fresh:
            return
        slots = [self._calendar.slot(self._wanted(item.at), item.timezone) for item in fresh]
        entries = Entries(
            lines=[item.line for item in fresh],
            address_keys=[item.key for item in fresh],
            emails=[item.email.address if item.email else None for item in fresh],
            phones=[item.phone for item in fresh],
            external_ids=[item.external_id for item in fresh],
            timezones=[item.timezone for item in fresh],
            attributes=[JSON.encode(item.contact) for item in fresh],
            tokens=[self._token(item) for item in fresh],
            email_keys=[self._provider_key(item, "email") if item.email else None for item in fresh],
            text_keys=[self._provider_key(item, "sms") if item.phone else None for item in fresh],
            due_at=[slot.due_at for slot in slots],
            expires_at=[slot.expires_at for slot in slots],
        )
        about = About([item.subject_key for item in fresh], [_snapshot(item) for item in fresh])
        self.done.contacts += subjects.enroll(self._connection, self._campaign_id, entries, about, self._ids, self._now)
        self.done.planned += loading.planned(entries)
        self.done.enrolled += len(fresh)
        before = [self.done.first_due_at] if self.done.first_due_at else []
        self.done.first_due_at = min([*(slot.due_at for slot in slots), *before])

    def _wanted(self, at: datetime) -> datetime:
        """The event's own time and the delay, not before the campaign's start."""
        wanted = at + timedelta(seconds=self._reader.trigger.delay_s)
        start_at = self._calendar.definition.start_at
        return wanted if start_at is None else max(wanted, start_at)

    def _token(self, item: Eligible) -> str:
        return identity.link_token(
            self._secret, campaign=self._name, address_key=item.key, subject_key=item.subject_key
        )

    def _provider_key(self, item: Eligible, channel: str) -> str | None:
        if channel not in self._calendar.definition.channels:
            return None
        return identity.provider_key(
            self._secret, campaign=self._name, address_key=item.key, subject_key=item.subject_key,
            step=FIRST_STEP, occurrence=0, channel=channel,
        )  # fmt: skip

    def _note_stops(self, stops: Sequence[Stop], after: dict[str, Subject], enrolled: dict[str, int]) -> None:
        """What events of `cancel_on` have found: an end that stops nothing is not passed over in silence."""
        trigger = self._reader.trigger
        for key in {stop.subject_key for stop in stops if stop.type in trigger.cancel_on}:
            if after[key].eligible_at is not None and not after[key].is_over(trigger.event):
                self.done.not_stopped[EARLIER] += 1
            elif key in enrolled:
                self.done.asked.add(enrolled[key])
            else:
                self.done.not_stopped[NOT_ENROLLED] += 1

    def _note_earlier(
        self, eligible: Sequence[Eligible], before: dict[str, Subject], enrolled: dict[str, int]
    ) -> None:  # fmt: skip
        """An event that comes in after a later one of its key: its own time counts, as if it had come in first."""
        for item in sorted(eligible, key=lambda item: item.at, reverse=True):
            since = before.get(item.subject_key, Subject()).eligible_at
            if item.subject_key in enrolled and since is not None and item.at < since:
                self.done.earlier.append(Earlier(enrolled[item.subject_key], self._wanted(item.at)))


def _since(subject: Subject, item: Eligible) -> Subject:
    since = subject.eligible_at
    return subject._replace(eligible_at=item.at if since is None else min(since, item.at))


def _snapshot(item: Eligible) -> str:
    frozen = {"contact": item.contact, "order": item.order}
    return JSON.encode(frozen if item.item is None else frozen | {"item": item.item})


def settle(
    connection: Connection, campaign_id: int, reader: OrderReader, ordered: Ordered, calendar: Calendar,
    shares: Shares, now: datetime,
) -> Counter[str]:  # fmt: skip
    """Stop and move what the events concern. The caller holds the campaign. Returns how many were stopped, by type."""
    for start in range(0, len(ordered.earlier), CHUNK_ROWS):
        # Of several for one enrollment the last is the earliest.
        some = {item.enrollment_id: item for item in ordered.earlier[start : start + CHUNK_ROWS]}
        shares.move(connection, _sooner(subjects.untried(connection, list(some.values())), some, calendar))
    types = (reader.trigger.event, *reader.trigger.cancel_on)
    stopped = subjects.stop(connection, campaign_id, ordered.ended, types, now)
    over = len(ordered.asked) - sum(stopped[kind] for kind in reader.trigger.cancel_on)
    if over > 0:
        ordered.not_stopped[OVER] = over
    return stopped


def _sooner(untried: Sequence[Untried], earlier: Mapping[int, Earlier], calendar: Calendar) -> Iterator[Moved]:
    """In the zone that was frozen, and never later: of the file that planned them the delay may be another by now."""
    for item in untried:
        slot = calendar.slot(earlier[item.enrollment_id].wanted_at, item.timezone)
        if slot.due_at < item.due_at:
            yield Moved(item.message_id, item.enrollment_id, *slot)
