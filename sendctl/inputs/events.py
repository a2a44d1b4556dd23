"""Events from JSON Lines: facts about what was sent, each an Event, or the reason why the line is none.

A line is an event of ours, or a service's own request in an envelope, which may tell of many. Never guesses whom an
event is about, and writes nothing. The formats are in docs/events.md and docs/webhooks.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from sendctl.addresses import address_key, parse_phone
from sendctl.inputs.contact_rows import BadRow, ValueProblem
from sendctl.inputs.envelopes import envelope, is_envelope
from sendctl.inputs.json_rows import json_lines, refuse_unstorable
from sendctl.inputs.moments import EXAMPLE, moment
from sendctl.inputs.record_file import RecordFile
from sendctl.inputs.source_file import SourceFile, open_source
from sendctl.providers.hooks.envelope import OfOthers, Opened
from sendctl.providers.hooks.opening import Opener
from sendctl.states import EventType
from sendctl.tomlfile.tables import nearest_word

ID_MAX_CHARACTERS = 500  # it is indexed: a Postgres b-tree entry holds at most 2704 bytes
LARGEST_NUMBER = 10**18  # every smaller one fits into 64 bits
# SendGrid posts up to 768 KB at once (event-webhook overview), and quotes in it are two characters in an envelope.
LINE_MAX_CHARACTERS = 4 * 1024 * 1024
REFERENCES = ("token", "message_id", "provider_message_id", "campaign")
_OWN_KEYS = {"id", "type", "occurred_at", "source", "provider", "email", "phone", *REFERENCES}
_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch
# A provider key, alone or as the left part of a Message-ID with or without its brackets.
_KEY = re.compile(r"<?([0-9a-f]{32})(?:@[^>\s]*)?>?").fullmatch
# What an address alone is enough for: these suppress it, whatever it was sent.
OF_AN_ADDRESS = frozenset({EventType.BOUNCED, EventType.UNSUBSCRIBED, EventType.COMPLAINED})

By = Literal["token", "number", "key", "provider id", "person", "address"]


class Event(NamedTuple):
    """One fact, and whom it is about. A named tuple: a file has millions of them.

    `of` names it in the way of `by`: a token; a message's number or provider key; a provider's id and that provider's
    name or ""; a campaign and an address key; an address key and "". `id` and `source` are "" where it has none.
    `of_others` says when one of an envelope that matches nothing is somebody else's; "" for an event of ours.
    """

    line: int
    type: EventType
    occurred_at: datetime
    id: str
    source: str
    by: By
    of: tuple[str, str]
    detail: str  # JSON object of all other keys
    of_others: OfOthers | Literal[""] = ""

    @property
    def address(self) -> str:
        """The address key by which it names a person; "" where it names something else."""
        return {"person": self.of[1], "address": self.of[0]}.get(self.by, "")

    def whom(self) -> str:
        """What it names, in words."""
        name, more = self.of
        match self.by:
            case "person":
                return f"campaign {name} with {more}"
            case "provider id":
                return f"provider_message_id {name}" + (f" of provider {more}" if more else "")
            case "token":
                return f"token {name}"
            case "address":
                return name
        return f"message_id {name}"


class _Told(NamedTuple):
    """What one envelope says; `flaw` is what is wrong with a part of it."""

    events: list[Event]
    opened: Opened
    flaw: str


def _of_service(line: int, provider: str, opened: Opened) -> _Told:
    """The events that an envelope has told of. One that cannot be kept does not hold the others back."""
    events, flaw = list[Event](), opened.flaw
    for values in opened.lines:
        try:
            refuse_unstorable(values)
            event = _event(line, values | {"provider": provider})
        except ValueProblem as error:
            flaw = flaw or f"an event of {provider}: {error.name}: {error}"
        except ValueError as error:
            flaw = flaw or f"an event of {provider}: {error}"
        else:
            # By our own key, it is ours or about what was forgotten.
            events.append(event._replace(of_others=opened.of_others) if event.by == "provider id" else event)
    return _Told(events, opened, flaw)


def _event(line: int, values: dict[str, Any]) -> Event:
    """Raises ValueProblem, ValueError."""
    kind = _type(values)
    if not isinstance(values.get("permanent", True), bool):
        raise ValueProblem("permanent", "must be true or false")
    if kind is EventType.BOUNCED and values.get("permanent") is False:
        kind = EventType.DEFERRED  # it may still arrive
    by, of = _reference(values)
    if by == "address" and kind not in OF_AN_ADDRESS:
        raise ValueError(f"what is {kind} of a person must be about something that was sent: give campaign as well")
    source = _text(values, "source") or _text(values, "provider")
    if source and not _SOURCE(source):
        raise ValueProblem("source" if values.get("source") else "provider",
                           "a name has 1 to 64 letters, digits, dots, dashes and underscores")  # fmt: skip
    rest = {name: value for name, value in values.items() if name not in _OWN_KEYS}
    if "provider" in values:
        rest["provider"] = values["provider"]
    detail = json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Event(line, kind, _occurred_at(values), _id(values), source, by, of, detail)


def event_of(place: int, values: Mapping[str, Any]) -> Event:
    """The event that a line says, as an object that stood in no file; `place` is its `line`. Raises ValueError."""
    refuse_unstorable(dict(values))
    return _event(place, dict(values))


def _type(values: dict[str, Any]) -> EventType:
    text = _text(values, "type")
    if not text:
        raise ValueProblem("type", f"must be given: one of {', '.join(EventType)}")
    try:
        return EventType(text)
    except ValueError:
        known = nearest_word(text, list(EventType))
        meant = f"; did you mean {known}?" if known else f"; the types are {', '.join(EventType)}"
        raise ValueProblem("type", f"{text[:60]!r} is no type of event{meant}") from None


def _id(values: dict[str, Any]) -> str:
    value = values.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise ValueProblem("id", f"must be a string or a whole number, is {json.dumps(value)[:40]}")
    if value and len(value) > ID_MAX_CHARACTERS:
        raise ValueProblem("id", f"has {len(value)} characters, the limit is {ID_MAX_CHARACTERS}")
    return value or ""


def _occurred_at(values: dict[str, Any]) -> datetime:
    found = moment(values, "occurred_at")
    if found is None:
        raise ValueProblem("occurred_at", f"must be given, {EXAMPLE}")
    return found


def _reference(values: dict[str, Any]) -> tuple[By, tuple[str, str]]:
    given = [name for name in REFERENCES if values.get(name) not in (None, "")]
    if not given and (values.get("email") or values.get("phone")):
        return "address", (_address(values), "")
    if not given:
        raise ValueError(
            "whom is it about? give token, message_id, provider_message_id, or email or phone, with campaign but for"
            " what suppresses"
        )
    if len(given) > 1:
        raise ValueProblem(given[1], f"{given[0]} says already whom it is about: keep one of the two")
    match given[0]:
        case "token":
            return "token", (_text(values, "token"), "")
        case "message_id":
            return _message(values["message_id"])
        case "provider_message_id":
            return "provider id", (_text(values, "provider_message_id"), _text(values, "provider"))
    return "person", (_text(values, "campaign"), _address(values))


def _message(value: object) -> tuple[By, tuple[str, str]]:
    """Our number, or a provider key, which is the left part of the Message-ID."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if text.isascii() and text.isdigit() and int(text) < LARGEST_NUMBER:
        return "number", (str(int(text)), "")
    key = _KEY(text)
    if key is None:
        raise ValueProblem(
            "message_id", f"{str(value)[:80]!r} is neither a message's number nor one of our Message-IDs"
        )
    return "key", (key[1], "")


def _address(values: dict[str, Any]) -> str:
    """The address key of a person. A number is taken where no e-mail address is given."""
    name = "phone" if values.get("phone") and not values.get("email") else "email"
    text = _text(values, name)
    if not text:
        raise ValueProblem("email", "must be given beside campaign, or phone")
    try:
        # What was read as `email` before there was `phone` may be a number too.
        return address_key(text) if name == "email" else parse_phone(text)
    except ValueError as error:
        raise ValueProblem(name, str(error)) from None


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueProblem(name, f"must be a string, is {json.dumps(value)[:40]}")
    return value or ""


class EventFile(RecordFile):
    """An open file of events; a context manager. `name` is for messages ("<stdin>" for standard input).

    Of the envelopes that `rows` has read so far: `ignored` are their events without a meaning here, `notices` what
    a person must know of them.
    """

    WHOLE, ONE = "the file of events", "line"

    def __init__(self, source: SourceFile, opener: Opener | None = None) -> None:
        super().__init__(source)
        self._opener = opener or Opener({}, {})
        self._lines = source.lines(LINE_MAX_CHARACTERS)
        self.ignored = 0
        self.notices: list[str] = []

    def rows(self) -> Iterator[Event | BadRow]:
        """Every event in the file's order, and every bad line; each call reads from the start.

        Raises BadInput if the file changed since it was opened, SecretMissing or CertificateAway where nobody can tell
        whether an envelope is genuine.
        """
        self._source.refuse_change()
        self._lines = self._source.lines(LINE_MAX_CHARACTERS)
        self.ignored, self.notices = 0, []
        for row in json_lines(self._lines, self._told):
            if not isinstance(row, _Told):
                yield row
                continue
            self.ignored += row.opened.ignored
            self.notices += [row.opened.notice] if row.opened.notice else []
            yield from row.events
            if row.flaw:
                yield BadRow(self._lines.line, None, row.flaw, self._lines.raw())
        self._source.refuse_change()

    def _told(self, line: int, values: dict[str, Any]) -> Event | _Told:
        """Raises ValueProblem, ValueError."""
        if not is_envelope(values):
            return _event(line, values)
        found = envelope(values, self._source.written_at)
        return _of_service(line, found.provider, self._opener.open(found))

    def raw(self) -> str:
        """The text of the line of which `rows` has just given an event."""
        return self._lines.raw()


def open_events(
    source: Path | Literal["-"], stdin: BinaryIO | None = None, opener: Opener | None = None
) -> EventFile:  # fmt: skip
    """Open a file of events, or "-" for standard input; `opener` is for the envelopes in it.

    Raises BadInput if it cannot be read, or is no UTF-8 text.
    """
    return EventFile(open_source(source, stdin), opener)
