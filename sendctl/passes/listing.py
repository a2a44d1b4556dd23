"""`messages` and `show`: the ledger's rows for people and programs. Reads only; a list of any length is streamed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from sendctl import addresses
from sendctl.definition import LetterTerms
from sendctl.errors import UsageError
from sendctl.passes.context import Context
from sendctl.rendering.names import message_id
from sendctl.states import AttemptOutcome, Channel, EventType, State
from sendctl.store import campaigns, listing, standing, suppressions
from sendctl.store.listing import ContactRow, MessageRow, Selection
from sendctl.store.standing import Place

LONGEST_ID = 18  # digits: every such number fits into 64 bits
# A provider key, alone or as the left part of a Message-ID with or without its brackets.
_KEY = re.compile(r"<?([0-9a-f]{32})(?:@[^>\s]*)?>?")


@dataclass(frozen=True, slots=True)
class Listed:
    """A message and its Message-ID header, "" for what is no e-mail."""

    row: MessageRow
    message_id: str
    letter: LetterTerms | None = None  # if it is one, or tells of one


class _MessageIds:
    """Knows the sender of each revision, which gives the domain of its Message-IDs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._definitions: dict[tuple[int, int], Any] = {}

    def listed(self, row: MessageRow) -> Listed:
        if row.channel != "email":
            return Listed(row, "")
        place = (row.campaign_id, row.revision)
        if place not in self._definitions:
            self._definitions[place] = campaigns.definition_of(self._connection, *place)
        definition = self._definitions[place]
        return Listed(row, message_id(definition, row.provider_key), definition.letter)


@contextmanager
def messages(
    context: Context, *, campaign: str | None = None, state: State | None = None, to: str | None = None,
    event: EventType | None = None, channel: Channel | None = None, limit: int | None = None, after_id: int = 0,
) -> Iterator[tuple[datetime, Iterator[Listed]]]:  # fmt: skip
    """(the store's time, messages in order of id), in one view of the ledger while the context lasts.

    Raises UsageError for a campaign that does not exist. An address nobody has gives nothing.
    """
    with context.store.read() as connection:
        now = context.store.now(connection)
        campaign_id = contact_ids = None
        if campaign is not None:
            found = campaigns.find(connection, campaign)
            if found is None:
                raise UsageError(f"there is no campaign {campaign}", hint="`sendctl status` lists them.")
            campaign_id = found.id
        if to is not None:
            contact_ids = tuple(person.id for person in listing.people(connection, address_key(to)))
        ids = _MessageIds(connection)
        rows = listing.select(connection, Selection(campaign_id, state, contact_ids, channel, event, after_id, limit))
        yield now, (ids.listed(row) for row in rows)


def address_key(text: str) -> str:
    """How the ledger compares an e-mail address or phone number. Raises UsageError for what is neither."""
    try:
        return addresses.address_key(text)
    except ValueError as error:
        raise UsageError(f"{text} is no address: {error}") from None


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a timeline: `what` in plain words, `detail` as it came from outside."""

    at: datetime
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one message. `last` is what can be said of it now."""

    listed: Listed
    moments: tuple[Moment, ...]
    attempts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """The answer of `show`: the person, when an address was asked for, and the stories of messages.

    `retry_failed_after_s`: when reconcile tries again what failed for a passing cause.
    """

    now: datetime
    retry_failed_after_s: float
    contact: ContactRow | None
    stories: tuple[Story, ...]
    places: tuple[Place, ...]  # where they stand, in each campaign that they are in


def show(context: Context, wanted: str) -> Shown:
    """A message by id or Message-ID, or a person's by address. Raises UsageError when there is none."""
    retry_s = context.settings.reconcile.retry_failed_after_s
    with context.store.read() as connection:
        now = context.store.now(connection)
        ids = _MessageIds(connection)
        row = message_named(connection, wanted)
        if row is not None:
            found = standing.of_enrollments(connection, [row.enrollment_id])
            return Shown(now, retry_s, None, (_story(connection, ids.listed(row)),), tuple(found))
        people = listing.people(connection, address_key(wanted))
        if not people:
            raise _stranger(connection, wanted)
        if len(people) > 1:
            names = ", ".join(one.email or str(one.phone) for one in people[:5])
            raise UsageError(
                f"{len(people)} people have the number {wanted}: {names}{', ...' if len(people) > 5 else ''}",
                hint=f"name one of them; `sendctl messages --to {wanted}` lists what goes to all.",
            )
        (person,) = people
        rows = listing.select(connection, Selection(contact_ids=(person.id,)))
        told = tuple(_story(connection, ids.listed(row)) for row in list(rows))
        return Shown(now, retry_s, person, told, tuple(standing.of_contact(connection, person.id)))


def _stranger(connection: Connection, wanted: str) -> UsageError:
    """Nobody's address may still be one that must not be written to."""
    listed = suppressions.of(connection, address_key(wanted))
    if listed is None:
        return UsageError(f"nobody has the address {wanted}", hint="`sendctl messages` lists who is planned.")
    since = listed.created_at.strftime("%Y-%m-%d %H:%M:%SZ")
    return UsageError(
        f"nobody has the address {wanted}, and nobody with it will be sent to: it is suppressed since {since}, for"
        f' "{listed.reason}"',
        hint=f"`sendctl suppress --remove {wanted}` takes it off the list.",
    )


def message_named(connection: Connection, wanted: str) -> MessageRow | None:
    """A message by number, key or Message-ID; None where the words are an address. Raises UsageError without one."""
    number = _message_number(connection, wanted)
    row = None if number is None else listing.by_id(connection, number)
    if number is not None and row is None:
        raise UsageError(f"there is no message {number}", hint="`sendctl messages` lists them.")
    return row


def _message_number(connection: Connection, wanted: str) -> int | None:
    if wanted.isascii() and wanted.isdigit():
        if len(wanted) > LONGEST_ID:
            raise UsageError(f"there is no message {wanted[:LONGEST_ID]}...", hint="`sendctl messages` lists them.")
        return int(wanted)
    match = _KEY.fullmatch(wanted)
    if match is None:
        return None
    number = listing.id_of_key(connection, match[1])
    if number is None and "@" not in wanted:
        raise UsageError(f"no message has the key {match[1]}", hint="`sendctl messages --json` has all of them.")
    return number


def _story(connection: Connection, listed: Listed) -> Story:
    row = listed.row
    attempts = listing.attempts_of(connection, row.id)
    moments = [Moment(row.due_at, "due")]
    for attempt in attempts:
        moments += _attempt(attempt)
    moments += [
        Moment(one.occurred_at, f"event: {one.type}", "" if one.detail == "{}" else one.detail)
        for one in listing.events_of(connection, row.id)
    ]
    return Story(listed, tuple(sorted(moments, key=lambda moment: moment.at)), tuple(attempts))


_ENDED = {
    "accepted": "{provider} accepted it",
    "refused": "{provider} refused it for good",
    "deferred": "not accepted by {provider}: later",
    "halted": "{provider} is stopped: not accepted",
    "untouched": "given back: no byte that counts had left",
    "unknown": "in doubt: {provider} may or may not have accepted it",
    "abandoned": "given up as unknown, by decision",
    "abandoned, proven": "given up as unknown, by decision, and {provider} had accepted it",
}
_EVIDENCE = {
    "reply": "its reply",
    "journal": "the run's journal",
    "dead_run": "the run died and its journal is gone, damaged or cut",
    "claim_expired": "the claim expired; nobody can say whether the run is dead",
    "mta_log": "the MTA's log",
    "lookup": "a lookup at the provider",
    "event": "an event",
    "policy": "the campaign's in_doubt policy",
    "operator": "an operator",
}


def _attempt(attempt: Any) -> Iterator[Moment]:
    yield Moment(
        attempt.started_at, f"attempt {attempt.number} begun through {attempt.provider}", f"run {attempt.run_id}"
    )
    if attempt.finished_at is None:
        return
    if attempt.again_at is not None:
        yield Moment(attempt.again_at, f"attempt {attempt.number}: handed over again through {attempt.provider}",
                     "under the same key, so that it is accepted once")  # fmt: skip
    proven = attempt.outcome == AttemptOutcome.ABANDONED and attempt.evidence not in ("policy", "operator")
    what = _ENDED["abandoned, proven" if proven else attempt.outcome].format(provider=attempt.provider)
    known_by = f" (known from {_EVIDENCE[attempt.evidence]})" if attempt.evidence else ""
    yield Moment(attempt.finished_at, f"attempt {attempt.number}: {what}{known_by}", attempt.reply or "")
