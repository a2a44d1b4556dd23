"""`suppress`: put addresses on the list of those never to be contacted, take them off, or show the list.

The list changes in one transaction, all or nothing; from its commit on no claim takes a message to them. What is
queued for them is then set aside, a piece at a time: a death in between leaves that to their next claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from sqlalchemy.engine import Connection

from sendctl.errors import ExitCode
from sendctl.inputs.address_list import open_address_list
from sendctl.passes.context import Context, who
from sendctl.passes.deciding import Desk
from sendctl.passes.listing import address_key
from sendctl.states import State
from sendctl.store import audit, campaigns, claims, finishing, suppressions
from sendctl.store.ledger import move
from sendctl.store.places import Over
from sendctl.store.suppressions import Suppression

CHUNK = 1000
KEPT_ADDRESSES = 20  # in the audit: all that are named by hand, and the first of a file

Action = Literal["suppress", "unsuppress"]
Keys = Callable[[], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Addresses as they were given: by hand, and in a file or on standard input ("-"). `reason` is for the audit."""

    by_hand: Sequence[str] = ()
    file: Path | Literal["-"] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SuppressReport:
    """What was done. `messages` were queued for these addresses and are suppressed now.

    `in_flight` were being handed over already, and finish within `deadline_s`.
    """

    action: Action
    addresses: int  # given; one that stands twice counts twice
    changed: int  # put on the list, or taken off it
    messages: int
    in_flight: int
    deadline_s: float

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.DONE


def suppress(context: Context, asked: Asked) -> SuppressReport:
    """Never contact these addresses again. Raises UsageError or BadInput, naming the address, before any change."""
    with _keys(asked) as keys:
        addresses, changed = _change_list(context, "suppress", keys, asked)
        messages, in_flight = _set_aside(context, keys)
    if messages:
        with context.store.write() as connection:
            finishing.complete(connection, context.store.now(connection))
    return SuppressReport("suppress", addresses, changed, messages, in_flight, context.settings.send.deadline_s)


def unsuppress(context: Context, asked: Asked) -> SuppressReport:
    """Take addresses off the list. What was set aside stays so: nothing is queued again. Raises as `suppress` does."""
    with _keys(asked) as keys:
        addresses, changed = _change_list(context, "unsuppress", keys, asked)
    return SuppressReport("unsuppress", addresses, changed, 0, 0, context.settings.send.deadline_s)


@contextmanager
def every(context: Context) -> Iterator[Iterator[Suppression]]:
    """The list in order of address, while the context lasts."""
    with context.store.read() as connection:
        yield suppressions.every(connection)


@contextmanager
def _keys(asked: Asked) -> Iterator[Keys]:
    """A way to read all addresses, normalised, any number of times. A bad one raises when it is reached."""
    by_hand = [address_key(text) for text in asked.by_hand]
    with ExitStack() as stack:
        listed = stack.enter_context(open_address_list(asked.file)) if asked.file is not None else None

        def keys() -> Iterator[str]:
            yield from by_hand
            if listed is not None:
                yield from listed.keys()

        yield keys


def _chunks(keys: Keys) -> Iterator[list[str]]:
    source = keys()
    while chunk := list(islice(source, CHUNK)):
        yield chunk


def _change_list(context: Context, action: Action, keys: Keys, asked: Asked) -> tuple[int, int]:
    """(addresses given, addresses for which the list changed), in one transaction with its line in the audit."""
    addresses, changed, first = 0, 0, list[str]()
    with context.store.write() as connection:
        suppressions.only_one_changes(connection)
        now = context.store.now(connection)
        for chunk in _chunks(keys):
            add = action == "suppress"
            found = (suppressions.add(connection, chunk, asked.reason, now) if add
                     else suppressions.remove(connection, chunk))  # fmt: skip
            addresses, changed = addresses + len(chunk), changed + len(found)
            first += sorted(found)[: KEPT_ADDRESSES - len(first)]
        if changed:
            audit.write(
                connection, login=who(context.environ), hostname=context.hostname, action=action, campaign_id=None,
                reason=asked.reason, now=now,
                detail={"changed": changed, "addresses": first, "file": str(asked.file) if asked.file else None},
            )  # fmt: skip
    return addresses, changed


def _set_aside(context: Context, keys: Keys) -> tuple[int, int]:
    """(queued messages to these addresses that are suppressed now, messages to them in flight)."""
    with context.store.read() as connection:
        live = suppressions.live_campaigns(connection)
    if not live:
        return 0, 0
    messages, in_flight, desk = 0, set[int](), Desk(context)
    for chunk in _chunks(keys):
        chosen = sorted(set(chunk))
        with desk.transaction() as connection:  # in flight is asked last: a claim that was faster is in it
            messages += _suppress_waiting(desk, connection, chosen, live)
            flying = suppressions.messages_to(connection, chosen, live, State.SENDING)
            in_flight |= {message.message_id for message in flying}
    return messages, len(in_flight)


def _suppress_waiting(desk: Desk, connection: Connection, keys: Sequence[str], live: Sequence[int]) -> int:
    """The same as the claim would do: the message is suppressed, and its enrollment ends, or goes on by other means."""
    waiting = suppressions.messages_to(connection, keys, live, State.QUEUED)
    if not waiting:
        return 0
    campaigns.lock(connection, {item.campaign_id for item in waiting}, ())
    rows = [{"id": item.message_id} for item in waiting]
    lost = move(connection, "suppress", rows, claimed=False, now=desk.now)
    dues = claims.by_id(connection, [item.message_id for item in waiting if item.message_id not in lost])
    desk.conclude(connection, [Over(due, desk.now, "suppressed") for due in dues.values()])
    return len(dues)
