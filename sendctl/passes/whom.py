"""Whom events are about. One that names a service's id is about a message that any section of its account has sent.

What bounced hard or was complained of and is about no message that is known suppresses an address that was sent to from
that account: under which id the service has a message is not always known (docs/events.md).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from sendctl.addresses import address_key
from sendctl.inputs.events import Event
from sendctl.providers.facts import FACTS
from sendctl.settings import Settings
from sendctl.states import EventType
from sendctl.store import events
from sendctl.store.events import Named, Target
from sendctl.store.sections import Account

_FINDERS: dict[str, Callable[[Connection, Sequence[Named]], list[Target]]] = {
    "number": events.by_number, "key": events.by_key, "provider id": events.by_provider_id,
    "token": events.by_token, "person": events.by_person, "address": events.by_address,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unmatched:
    """An event that is about nothing here, or about nobody can say what.

    `suppresses` is the address key that it suppresses all the same, or "".
    """

    event: Event
    reason: str
    suppresses: str = ""


def account_of(settings: Settings, name: str) -> Account:
    """What a section may be another name of. A relay's ids are its own; a service's are its own in all sections."""
    table = settings.providers.get(name)
    if table is None or table.type not in FACTS or not FACTS[table.type].capabilities.pulled:
        return Account(name)
    others = (one.name for one in settings.providers.values() if one.type != table.type)
    return Account(name, tuple(others))


def targets(
    settings: Settings, connection: Connection, batch: Sequence[Event]
) -> tuple[dict[int, list[Target]], list[Unmatched]]:
    """What is found, by the event's place in the batch; and what is not."""
    named: dict[str, list[Named]] = defaultdict(list)
    for place, event in enumerate(batch):
        named[event.by].append(Named(place, *event.of))
    found: dict[int, list[Target]] = defaultdict(list)
    for by, names in named.items():
        for target in _FINDERS[by](connection, names):
            found[target.place].append(target)
    unknown = [name for name in named["provider id"] if name.more and name.place not in found]
    for target in _by_other_sections(settings, connection, unknown):
        found[target.place].append(target)
    unmatched = dict[int, str]()
    for place, event in enumerate(batch):
        if place not in found and event.by != "address":
            unmatched[place] = f"{event.whom()} is nothing that this store knows"
        elif event.by == "provider id" and len(found[place]) > 1:
            number = len(found.pop(place))
            hint = "" if event.of[1] else ": say which `provider`"
            unmatched[place] = f"{event.whom()} is the id of {number} messages{hint}"
    suppressing = _suppressing(settings, connection, {place: batch[place] for place in unmatched})
    return found, [
        Unmatched(batch[place], reason, suppressing.get(place, "")) for place, reason in unmatched.items()
    ]  # fmt: skip


def _by_other_sections(settings: Settings, connection: Connection, names: Sequence[Named]) -> list[Target]:
    """The section has another name now, or one of two for the same account asks for the events of both."""
    found = []
    for provider in sorted({name.more for name in names}):
        account = account_of(settings, provider)
        if account.elsewhere is not None:
            some = [name for name in names if name.more == provider]
            found += events.by_provider_id(connection, some, account)
    return found


def _suppressing(settings: Settings, connection: Connection, unmatched: Mapping[int, Event]) -> dict[int, str]:
    """The addresses, by place, that events without a message suppress: those that their account has been sent to."""
    named: dict[str, dict[int, str]] = defaultdict(dict)
    for place, event in unmatched.items():
        if event.by == "provider id" and event.of[1] in settings.providers and (address := _recipient(event)):
            named[event.of[1]][place] = address
    found = dict[int, str]()
    for provider, addresses in named.items():
        sent_to = events.sent_to(connection, set(addresses.values()), account_of(settings, provider))
        found |= {place: address for place, address in addresses.items() if address in sent_to}
    return found


def _recipient(event: Event) -> str:
    """The address key that a hard bounce or a complaint names beside the service's id of its message; or ""."""
    if event.type not in (EventType.BOUNCED, EventType.COMPLAINED):
        return ""
    said = json.loads(event.detail).get("recipient")
    try:
        return address_key(said) if isinstance(said, str) else ""
    except ValueError:
        return ""
