"""What journals proved, after a rewind, of messages that the store did not have: taken up as soon as it has them.

Nobody is sent to by this. The claim asks as well, whatever happened before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from sendctl.definition import Definition, StepName
from sendctl.identity import provider_key
from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.providers.base import Outcome, Phase
from sendctl.states import AttemptOutcome, State
from sendctl.store import campaigns, claims, places, replay
from sendctl.store.claims import Due
from sendctl.store.places import Over
from sendctl.store.replay import Proven

TIMES_BACK = 5  # nobody takes a step out and puts it back more often between two backups


@dataclass
class TakenUp:
    """Messages that had left before the store was put back."""

    sent: int = 0
    in_doubt: int = 0


def recalled(desk: Desk, connection: Connection, definition: Definition, picked: Sequence[Due]) -> dict[str, Proven]:
    """What is remembered of these messages, by their keys.

    A store that was put back does not know how often a step had been removed and put back since, and counts anew: so
    also what is remembered by another name of the same step.
    """
    found = replay.remembered(connection, [due.key for due in picked])
    others = [due for due in picked if due.step_index in definition.numbers[1:] and due.key not in found]
    if others and replay.remembers(connection):
        keys = {key: due.key for due in others for key in _other_keys(desk.secret(connection), definition, due)}
        for key, proven in sorted(replay.remembered(connection, keys).items(), key=lambda item: item[1].accepted):
            found[keys[key]] = proven  # an acceptance last: it goes before a doubt
    return found


def _other_keys(secret: str, definition: Definition, due: Due) -> Iterator[str]:
    name, times_back = definition.step_name(due.step_index)
    names = (StepName(name, times) for times in range(times_back + TIMES_BACK + 1) if times != times_back)
    steps: list[StepName | int] = [*names, due.step_index]  # its number is what versions before made the key of
    for step in steps:
        yield provider_key(
            secret, campaign=definition.name, address_key=due.address_key, subject_key=due.subject_key, step=step,
            occurrence=due.occurrence, channel=due.channel, copy=due.copy,
        )  # fmt: skip


def settle(desk: Desk, connection: Connection, due: Due, proven: Proven) -> bool:
    """Record what is proven of a message; an acceptance moves its enrollment on. False when it had moved."""
    place = replay.Place(due.id, due.campaign_id, due.attempts, State.QUEUED)
    revision = desk.revision_with(connection, due.campaign_id, proven.contents)
    put_back = replay.put_back(
        connection, place, proven, revision=revision, now=desk.now, renamed=proven.key != due.key
    )
    replay.forget(connection, proven.key)
    if put_back and proven.accepted:
        desk.conclude(connection, [Over(due, proven.at, "sent")])
    return put_back


def campaigns_waiting(context: Context) -> list[str]:
    """Names of the campaigns with messages that something remembered settles."""
    with context.store.read() as connection:
        return replay.campaigns_waiting(connection)


def take_up(context: Context, name: str) -> TakenUp:
    """Settle all of a campaign that is remembered: also of the step that an acceptance plans, and of the one after."""
    taken = TakenUp()
    desk = Desk(context)
    with desk.transaction() as connection:
        campaign = campaigns.find(connection, name)
        while campaign is not None and (found := replay.waiting(connection, campaign.id)):
            proven = replay.remembered(connection, [key for key, _ in found.values()])
            places.hold_of(connection, found)
            for message_id, due in claims.by_id(connection, found).items():
                key, state = found[message_id]
                item = proven.get(key)  # None: a claim has taken it up since we looked
                if item is not None and _settle_in(state, desk, connection, due, item):
                    taken.sent += item.accepted
                    taken.in_doubt += not item.accepted
    return taken


def _settle_in(state: State, desk: Desk, connection: Connection, due: Due, proven: Proven) -> bool:
    if state is not State.IN_DOUBT:
        return settle(desk, connection, due, proven)
    replay.forget(connection, due.key)
    return desk.resolve(connection, due.id, acceptance(proven), evidence="journal", at=proven.at)


def acceptance(proven: Proven) -> Outcome:
    """What a journal proves, as the outcome of an attempt."""
    return Outcome(
        AttemptOutcome.ACCEPTED, Phase.REPLIED, text=proven.text, provider_message_id=proven.provider_message_id
    )
