"""What journals proved, after a rewind, of messages that the store did not have: taken up as soon as it has them.

Nobody is sent to by this. The claim asks as well, whatever happened before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.engine import Connection

from sendctl.passes.context import Context
from sendctl.passes.deciding import Desk
from sendctl.providers.base import Outcome, Phase
from sendctl.states import AttemptOutcome, State
from sendctl.store import campaigns, claims, places, replay
from sendctl.store.claims import Due
from sendctl.store.places import Over
from sendctl.store.replay import Proven


@dataclass
class TakenUp:
    """Messages that had left before the store was put back."""

    sent: int = 0
    in_doubt: int = 0


def settle(desk: Desk, connection: Connection, due: Due, proven: Proven) -> bool:
    """Record what is proven of a message; an acceptance moves its enrollment on. False when it had moved."""
    place = replay.Place(due.id, due.campaign_id, due.attempts, State.QUEUED)
    revision = desk.revision_with(connection, due.campaign_id, proven.contents)
    put_back = replay.put_back(connection, place, proven, revision=revision, now=desk.now)
    replay.forget(connection, due.key)
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
