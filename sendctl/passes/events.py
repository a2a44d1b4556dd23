"""Events in one transaction: found, written once, and followed by all that they mean, whatever their order.

A fact that comes before the outcome of its own message is written, and `catch_up` does later what it means.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

from sqlalchemy.engine import Connection

from sendctl.inputs.events import Event
from sendctl.passes import whom
from sendctl.passes.deciding import Desk
from sendctl.passes.whom import Unmatched
from sendctl.providers.base import Outcome, Phase
from sendctl.states import AttemptOutcome, EventType, State
from sendctl.store import campaigns, claims, effects, events, late, notices, places, suppressions
from sendctl.store.claims import Due
from sendctl.store.effects import SUPPRESSING, Place
from sendctl.store.events import Fact, Target, Tried
from sendctl.store.ledger import move
from sendctl.store.places import Over

# Who has it can do these things; a message that somebody has was accepted.
PROVING = frozenset(
    {
        EventType.ACCEPTED, EventType.DELIVERED, EventType.BOUNCED, EventType.COMPLAINED, EventType.UNSUBSCRIBED,
        EventType.OPENED, EventType.CLICKED, EventType.SUBMITTED,
    }
)  # fmt: skip
SAME_WITHIN = "%Y-%m-%dT%H"  # events without an id, of one type and about the same, are one within an hour (UTC)


@dataclass
class Applied:
    """What events did. `in_flight` messages were faster than the end of their enrollment: they finish."""

    fresh: int = 0  # events that were not known
    known: int = 0  # ... that were: nothing changed
    proven: int = 0  # messages in doubt that are sent
    bounced: int = 0
    stopped: int = 0  # enrollments
    cancelled: int = 0  # their queued messages
    suppressed: int = 0  # addresses
    set_aside: int = 0  # queued messages to these, in any campaign
    in_flight: int = 0
    by_type: dict[str, int] = field(default_factory=dict)  # of the fresh ones

    def add(self, other: Applied) -> None:
        for one in fields(self):
            if one.name != "by_type":
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        for kind, number in other.by_type.items():
            self.by_type[kind] = self.by_type.get(kind, 0) + number

    @property
    def changed(self) -> bool:
        """Whether any message or enrollment did."""
        return bool(self.proven or self.bounced or self.stopped or self.cancelled or self.set_aside)


def apply(desk: Desk, connection: Connection, batch: Sequence[Event]) -> tuple[Applied, list[Unmatched]]:
    """Write events that are new and do what follows from them, in the caller's transaction."""
    suppressions.only_one_changes(connection)
    applied = Applied()
    found, unmatched = whom.targets(desk.context.settings, connection, batch)
    facts = _facts(connection, batch, found)
    changed = _record(desk, connection, batch, facts, applied)
    wishes = _wishes(connection, batch, facts, applied)
    for one in unmatched:
        if one.suppresses:
            wishes[one.suppresses] = _stronger(wishes.get(one.suppresses), one.event.type)
    if changed or wishes:
        addresses = {
            fact.dedup_key: batch[place].address for place, some in facts.items() for fact in some
            if batch[place].by in ("token", "person")
        }  # fmt: skip
        _Consequences(desk, connection, changed, applied, addresses, wishes).follow()
    return applied, unmatched


def _wishes(
    connection: Connection, batch: Sequence[Event], facts: Mapping[int, list[Fact]], applied: Applied
) -> dict[str, EventType]:  # fmt: skip
    """Of addresses to which nothing was sent: suppressed they are, but there is no row for the event to stand in.

    So the list alone says what is new.
    """
    without = [event for place, event in enumerate(batch) if event.by == "address" and place not in facts]
    there = suppressions.listed(connection, {event.address for event in without}) if without else set()
    reasons: dict[str, EventType] = {}
    for event in without:
        if event.address in there or event.address in reasons:
            applied.known += 1
        else:
            applied.fresh += 1
            applied.by_type[event.type] = applied.by_type.get(event.type, 0) + 1
        reasons[event.address] = _stronger(reasons.get(event.address), event.type)
    return reasons


def _stronger(known: EventType | None, reason: EventType) -> EventType:
    return max(known or reason, reason, key=SUPPRESSING.index)


# -- beside which messages they stand ------------------------------------------------------------------------------


def _facts(connection: Connection, batch: Sequence[Event], targets: dict[int, list[Target]]) -> dict[int, list[Fact]]:
    """The rows of each event. One of a whole enrollment is put beside the message that was the last one then."""
    concerned = {target.enrollment_id for some in targets.values() for target in some}
    tried: dict[int, list[Tried]] = defaultdict(list)
    for one in events.tried(connection, concerned) if concerned else ():
        tried[one.enrollment_id].append(one)
    facts = {}
    for place, some in targets.items():
        event, ordered = batch[place], sorted(some, key=lambda target: target.enrollment_id)
        if event.by == "address":
            ordered = _answered(event, ordered, tried)
        if ordered:
            facts[place] = [
                _fact(event, target, tried[target.enrollment_id], first=target is ordered[0]) for target in ordered
            ]
    return facts


def _answered(event: Event, targets: Sequence[Target], tried: Mapping[int, Sequence[Tried]]) -> list[Target]:
    """Of all that somebody is enrolled in, where the last message before the event went to that address; or none."""
    sent = [
        (one.composed_at, one.message_id, target) for target in targets for one in tried.get(target.enrollment_id, ())
        if one.recipient_key == event.address and one.composed_at <= event.occurred_at
    ]  # fmt: skip
    return [max(sent)[2]] if sent else []


def _fact(event: Event, target: Target, tried: Sequence[Tried], *, first: bool) -> Fact:
    if target.message_id is not None:
        message_id: int | None = target.message_id
        proves = any(one.perhaps for one in tried if one.message_id == message_id)
    else:
        # One to the address that it names, where there is one.
        latest = _last_before(
            [one for one in tried if one.recipient_key == event.address] or tried, event.occurred_at
        )  # fmt: skip
        message_id = latest.message_id if latest is not None else None
        # The token is in the messages alone: where there was but one, it is that one which somebody has.
        proves = latest is not None and latest.perhaps and event.by == "token" and len(tried) == 1
    return Fact(
        _dedup_key(event, target, first=first), target.campaign_id, target.enrollment_id, message_id, event.type,
        int(proves and event.type in PROVING), event.occurred_at, event.detail,
    )  # fmt: skip


def _last_before(tried: Sequence[Tried], moment: datetime) -> Tried | None:
    """The message that was the last one then; the first of all where clocks say that there was none yet."""
    ordered = sorted(tried, key=lambda one: (one.composed_at, one.message_id))
    before = [one for one in ordered if one.composed_at <= moment]
    return before[-1] if before else next(iter(ordered), None)


def _dedup_key(event: Event, target: Target, *, first: bool) -> str:
    if event.id:
        key = f"id:{event.source}:{event.id}"
        return key if first else f"also:{target.enrollment_id}:{key}"
    whom = f"e{target.enrollment_id}" if target.message_id is None else f"m{target.message_id}"
    return f"at:{event.type}:{whom}:{event.occurred_at.strftime(SAME_WITHIN)}"


# -- writing them -------------------------------------------------------------------------------------------------


def _record(
    desk: Desk, connection: Connection, batch: Sequence[Event], facts: dict[int, list[Fact]], applied: Applied
) -> list[Fact]:
    """Write what is new; returns the rows that are, and those whose moment is an earlier one now."""
    # An event with an id is one event, also where it found more enrollments than at its first coming.
    seen = events.known(connection, [some[0].dedup_key for some in facts.values()]) if facts else set()
    kept: dict[str, Fact] = {}
    for some in facts.values():
        if some[0].dedup_key in seen and some[0].dedup_key.startswith("id:"):
            continue
        for fact in some:
            there = kept.get(fact.dedup_key)
            if there is None or (fact.occurred_at, fact.detail) < (there.occurred_at, there.detail):
                kept[fact.dedup_key] = fact
    rows = [kept[key] for key in sorted(kept)]  # in one order, whoever writes
    fresh = events.record(connection, rows, desk.now)
    earlier = events.backdate(
        connection, [fact for fact in rows if fact.dedup_key not in fresh and fact.dedup_key.startswith("at:")]
    )
    counted = set(fresh)
    for place in sorted(facts):
        new = counted.intersection(fact.dedup_key for fact in facts[place])
        counted -= new  # a copy in the same batch is known
        applied.fresh, applied.known = applied.fresh + bool(new), applied.known + (not new)
        if new:
            kind = batch[place].type
            applied.by_type[kind] = applied.by_type.get(kind, 0) + 1
    return [fact for fact in rows if fact.dedup_key in fresh or fact.dedup_key in earlier]


# -- what follows -------------------------------------------------------------------------------------------------


@dataclass
class _Consequences:
    """Of the facts of one transaction. Campaigns are locked before messages, messages before enrollments."""

    desk: Desk
    connection: Connection
    facts: Sequence[Fact]
    applied: Applied
    addresses: Mapping[str, str]  # of facts that name no message: the address by which they name a person, or ""
    wishes: Mapping[str, EventType]  # addresses to suppress for events that stand nowhere

    def follow(self) -> None:
        connection, reasons = self.connection, self._reasons()
        live = suppressions.live_campaigns(connection) if reasons else []
        waiting = suppressions.messages_to(connection, sorted(reasons), live, State.QUEUED) if live else []
        concerned = {fact.campaign_id for fact in self.facts} | {item.campaign_id for item in waiting}
        campaigns.lock(connection, concerned, ())
        proving = [fact.message_id for fact in self.facts if fact.proves_sent and fact.message_id is not None]
        self.applied.proven += _prove(self.desk, connection, proving)
        returned = {
            fact.message_id for fact in self.facts
            if fact.proves_sent and fact.message_id is not None and fact.type == EventType.BOUNCED
        }  # fmt: skip
        self.applied.bounced += _bounce(self.desk, connection, returned)
        delivered = {
            fact.message_id for fact in self.facts
            if fact.proves_sent and fact.message_id is not None and fact.type == EventType.DELIVERED
        }  # fmt: skip
        notices.of_messages(connection, "delivered", delivered, self.desk.now)
        flying = self._stop()
        if reasons:
            self.applied.suppressed += len(effects.suppress(connection, reasons, self.desk.now))
            waiting = suppressions.messages_to(connection, sorted(reasons), live, State.QUEUED) if live else []
            dues = claims.by_id(connection, [item.message_id for item in waiting])
            self.applied.set_aside += _set_aside(self.desk, connection, dues.values())
            to_them = suppressions.messages_to(connection, sorted(reasons), live, State.SENDING) if live else []
            flying |= {message.message_id for message in to_them}
        self.applied.in_flight += len(flying)

    def _reasons(self) -> dict[str, EventType]:
        """The addresses to suppress, each with the strongest reason."""
        strong = [fact for fact in self.facts if fact.type in SUPPRESSING]
        reasons = dict(self.wishes)
        if not strong:
            return reasons
        people = effects.recipients(self.connection, (fact.enrollment_id for fact in strong))
        own = effects.recipient_keys(
            self.connection, (fact.message_id for fact in strong if fact.message_id is not None)
        )
        for fact in sorted(strong, key=lambda one: SUPPRESSING.index(EventType(one.type))):
            keys = {own[fact.message_id]} if fact.message_id is not None else people.get(fact.enrollment_id, set())
            if address := self.addresses.get(fact.dedup_key):
                keys = {address}
            if fact.dedup_key in self.addresses and fact.type != EventType.BOUNCED:
                keys = keys | people.get(fact.enrollment_id, set())  # a person's wish, on whatever channel
            for key in keys:
                reasons[key] = _stronger(reasons.get(key), EventType(fact.type))
        return reasons

    def _ends(self, campaign_id: int, kind: str) -> bool:
        return self.desk.current(self.connection, campaign_id).ends_on(kind)

    def _stop(self) -> set[int]:
        """End enrollments, for the earliest of their events that does; returns their messages in flight."""
        ended = {fact.enrollment_id for fact in self.facts if self._ends(fact.campaign_id, fact.type)}
        if not ended:
            return set()
        first: dict[int, tuple[datetime, str]] = {}
        for one in events.of_enrollments(self.connection, ended):
            if self._ends(one.campaign_id, one.type):
                moment = (one.occurred_at, one.type)
                first[one.enrollment_id] = min(first.get(one.enrollment_id, moment), moment)
        self.applied.cancelled += _cancel(self.desk, self.connection, ended)
        reasons = {enrollment_id: kind for enrollment_id, (_, kind) in first.items()}
        stopped = effects.stop(self.connection, reasons, self.desk.now)
        self.applied.stopped += len(stopped)
        notices.tell_stopped(self.connection, stopped, self.desk.now)
        # What a pass has planned between these two statements.
        self.applied.cancelled += _cancel(self.desk, self.connection, ended)
        return set(effects.in_flight_of(self.connection, ended))


def _prove(desk: Desk, connection: Connection, message_ids: Iterable[int]) -> int:
    """Messages of which nobody knew whether they were accepted, and that were; returns how many."""
    wanted = set(message_ids)
    if not wanted:
        return 0
    outcome = Outcome(AttemptOutcome.ACCEPTED, Phase.REPLIED)
    unproven = effects.unproven(connection, wanted)
    if unproven:
        late.hold(connection, (message_id for message_id, _ in unproven))
    places.hold_of(connection, wanted)
    said = effects.accepted_at(connection, wanted)
    proven = sum(
        desk.resolve(connection, message_id, outcome, evidence="event", claim_id=claim_id, at=said.get(message_id))
        for message_id, claim_id in unproven
    )
    effects.learn_ids(connection, wanted)
    if proven:
        _set_aside_next(desk, connection, wanted)
    return proven


def _set_aside_next(desk: Desk, connection: Connection, message_ids: Iterable[int]) -> None:
    """What a proof has planned for addresses that were suppressed meanwhile."""
    enrollments = {due.enrollment_id for due in claims.by_id(connection, sorted(message_ids)).values()}
    waiting = claims.by_id(connection, effects.queued_of(connection, enrollments)).values()
    suppressed = claims.suppressed(connection, [due.recipient_key for due in waiting])
    _set_aside(desk, connection, [due for due in waiting if due.recipient_key in suppressed])


def _set_aside(desk: Desk, connection: Connection, waiting: Iterable[Due]) -> int:
    """What waits for suppressed addresses, as the claim would do it; returns how many."""
    dues = list(waiting)
    lost = move(connection, "suppress", [{"id": due.id} for due in dues], claimed=False, now=desk.now)
    moved = [due for due in dues if due.id not in lost]
    desk.conclude(connection, [Over(due, desk.now, "suppressed") for due in moved])
    return len(moved)


def _bounce(desk: Desk, connection: Connection, message_ids: Iterable[int]) -> int:
    """Those that are sent; one whose outcome is not known yet waits for `catch_up`."""
    rows = [{"id": message_id} for message_id in sorted(set(message_ids))]
    return len(rows) - len(move(connection, "bounce", rows, claimed=False, now=desk.now))


def _cancel(desk: Desk, connection: Connection, enrollment_ids: Iterable[int]) -> int:
    rows = [{"id": message_id} for message_id in effects.queued_of(connection, enrollment_ids)]
    return len(rows) - len(move(connection, "cancel", rows, claimed=False, now=desk.now))


def catch_up(desk: Desk) -> Applied:
    """Do what events said before it could be done: their messages were in flight then."""
    applied = Applied()
    with desk.transaction() as connection:
        places: list[Place] = []
        for found in (effects.provable, effects.returned):
            places += found(connection)
        if not places:
            return applied
        campaigns.lock(connection, {place.campaign_id for place in places}, ())
        applied.proven = _prove(desk, connection, [place.message_id for place in effects.provable(connection)])
        applied.bounced = _bounce(desk, connection, [place.message_id for place in effects.returned(connection)])
    return applied


def sweep(desk: Desk) -> Applied:
    """Cancel what came back into the queue of an enrollment that was stopped while it was in flight."""
    applied = Applied()
    with desk.transaction() as connection:
        if places := effects.left_over(connection):
            campaigns.lock(connection, {place.campaign_id for place in places}, ())
            rows = [{"id": place.message_id} for place in places]
            applied.cancelled = len(rows) - len(move(connection, "cancel", rows, claimed=False, now=desk.now))
    return applied
