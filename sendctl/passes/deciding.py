"""The desk at which outcomes become moves: decides with policy.py, and writes through the store's fenced statements.

One Desk serves one process: it keeps the definitions it has read, which never change under a revision.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from sqlalchemy.engine import Connection

from sendctl.definition import Definition, fingerprint
from sendctl.passes.context import Context
from sendctl.policy import decide
from sendctl.providers.base import OPTED_OUT, Outcome, Phase
from sendctl.states import AttemptOutcome, EventType
from sendctl.store import campaigns, claims, doubts, effects, enrollments, late, meta, outcomes, places, tries
from sendctl.store.campaigns import Campaign
from sendctl.store.claims import Due
from sendctl.store.doubts import Held
from sendctl.store.holds import Why
from sendctl.store.ledger import move
from sendctl.store.outcomes import Settled
from sendctl.store.places import Advancing, Over


class Attempted(Protocol):
    """What identifies an attempt: its number, claim and provider."""

    @property
    def number(self) -> int: ...
    @property
    def claim_id(self) -> str: ...
    @property
    def provider(self) -> str: ...


class Desk:
    """Decides and records. `now` is the store's time of the current transaction."""

    now: datetime

    def __init__(self, context: Context, jitter: random.Random | None = None) -> None:
        self.context = context
        self.jitter = jitter or random.Random()  # noqa: S311  spreads retries, guards nothing
        self._definitions: dict[tuple[int, int], Definition] = {}
        self._campaigns: dict[int, Campaign] = {}
        self._tries: dict[int, int] = {}
        self._secret = ""
        self._opted_out = set[str]()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One write transaction; campaigns and their controls are read afresh in each."""
        self._opted_out.clear()
        with self.context.store.write() as connection:
            self.now = self.context.store.now(connection)
            self._campaigns.clear()
            self._tries.clear()
            yield connection
        self._suppress_opted_out()

    def note_opted_out(self, recipient_keys: Iterable[str]) -> None:
        """They have told a service to let nothing through. After the commit they are suppressed at all of them."""
        self._opted_out.update(recipient_keys)

    def _suppress_opted_out(self) -> None:
        """One by one, in transactions of their own: who holds one row of the list waits for nobody who holds another.

        A death before leaves them to the service, which refuses each message to them and says so again.
        """
        while self._opted_out:
            with self.context.store.write() as connection:
                effects.suppress(connection, {self._opted_out.pop(): EventType.UNSUBSCRIBED}, self.now)

    def campaign(self, connection: Connection, campaign_id: int) -> Campaign:
        """The campaign's row as of this transaction."""
        if campaign_id not in self._campaigns:
            self._campaigns[campaign_id] = campaigns.by_id(connection, campaign_id)
        return self._campaigns[campaign_id]

    def definition(self, connection: Connection, campaign_id: int, revision: int) -> Definition:
        """What the campaign says in a revision."""
        place = (campaign_id, revision)
        if place not in self._definitions:
            self._definitions[place] = campaigns.definition_of(connection, *place)
        return self._definitions[place]

    def revision_with(self, connection: Connection, campaign_id: int, contents: str) -> int | None:
        """The newest revision with these contents (definition.fingerprint); None when this store does not have it."""
        for revision in range(self.campaign(connection, campaign_id).revision, 0, -1):
            if fingerprint(self.definition(connection, campaign_id, revision)) == contents:
                return revision
        return None

    def known_definition(self, campaign_id: int, revision: int) -> Definition:
        """A definition that an earlier transaction has read."""
        return self._definitions[campaign_id, revision]

    def current(self, connection: Connection, campaign_id: int) -> Definition:
        """What the campaign says now."""
        return self.definition(connection, campaign_id, self.campaign(connection, campaign_id).revision)

    def resend(self, connection: Connection, held: Sequence[Held], evidence: str) -> int:
        """Queue messages in doubt again by decision, not by proof: each may become a duplicate. Returns how many."""
        due = claims.by_id(connection, doubts.abandon(connection, held, evidence, self.now))
        by_operator = evidence == "operator"
        return len(due) - len(self.requeue(connection, list(due.values()), "resend", by_operator=by_operator))

    def skip(self, connection: Connection, held: Sequence[Held], evidence: str, reason: str) -> int:
        """Give messages in doubt up by decision: some may not have been sent. Returns how many."""
        due = claims.by_id(connection, doubts.abandon(connection, held, evidence, self.now))
        return len(due) - len(self.give_up(connection, list(due.values()), reason))

    def secret(self, connection: Connection) -> str:
        """The store's HMAC key."""
        self._secret = self._secret or meta.read(connection).secret
        return self._secret

    def providers(self, definition: Definition, channel: str | None = None) -> tuple[str, ...]:
        """Providers in order of preference; given a channel, without those that are known not to carry it."""
        settings = self.context.settings
        named = settings.providers_of(definition.providers)
        return tuple(name for name in named if channel is None or settings.may_carry(name, channel))

    def advancing(self, connection: Connection, campaign_ids: Iterable[int]) -> Advancing:
        """What planning next steps of these campaigns needs."""
        calendar = self.context.calendar
        calendars = {one: calendar(self.current(connection, one)) for one in set(campaign_ids)}
        return Advancing(calendars, self.secret(connection))

    def decided(self, due: Due, attempt: Attempted, outcome: Outcome, *, evidence: str, at: datetime) -> Settled:
        """An outcome with its move. The campaign and earlier tries were read in this transaction by `load`."""
        campaign = self._campaigns[due.campaign_id]
        definition = self._definitions[campaign.id, campaign.revision]
        decision = decide(
            outcome, provider=attempt.provider, tries=self._tries.get(due.id, 0),
            charged_attempts=due.charged_attempts, controls=campaign.controls,
            providers=self.providers(definition, due.channel), jitter=self.jitter,
        )  # fmt: skip
        next_attempt_at = self.now
        if decision.delay_s:
            retry_at = self.now + timedelta(seconds=decision.delay_s)
            next_attempt_at = self.context.calendar(definition).opening(retry_at, due.timezone)
        return Settled(
            due, attempt.number, attempt.claim_id, outcome, decision.transition, decision.charged, next_attempt_at,
            decision.next_provider, decision.transient, evidence, at,
        )  # fmt: skip

    def load(self, connection: Connection, dues: Iterable[Due]) -> None:
        """Read the campaigns of these messages, and how often they were tried before, for `decided`."""
        wanted = list(dues)
        for campaign_id in {due.campaign_id for due in wanted}:
            self.current(connection, campaign_id)
        self._tries |= tries.tries_of(connection, (due.id for due in wanted if due.attempts))

    def settle(self, connection: Connection, settled: Sequence[Settled]) -> set[int]:
        """Record outcomes; what another has taken meanwhile is resolved as late proof where it is in doubt."""
        if not settled:
            return set()
        advancing = self.advancing(connection, (item.due.campaign_id for item in settled))
        lost = outcomes.settle(connection, settled, advancing, self.now)
        for item in settled:
            if item.due.id in lost and item.outcome.kind is not AttemptOutcome.UNKNOWN:
                self.resolve(
                    connection, item.due.id, item.outcome, evidence="reply", claim_id=item.claim_id, at=item.at
                )
        self.note_opted_out(item.due.recipient_key for item in settled if item.outcome.error_class == OPTED_OUT)
        again = [item.due.id for item in settled if item.number > 1 and item.transition != "accept"]
        self._heed_late_proof(connection, set(again) - lost)
        return lost

    def _heed_late_proof(self, connection: Connection, back: Collection[int]) -> None:
        """What was proven of earlier attempts while these messages were in flight: before anybody claims them again."""
        proven = late.proven(connection, back) if back else []
        outcome = Outcome(AttemptOutcome.ACCEPTED, Phase.REPLIED)
        for message_id, claim_id, evidence, at in proven:
            self.resolve(connection, message_id, outcome, evidence=evidence, claim_id=claim_id, at=at)
        if proven:
            effects.learn_ids(connection, back)

    def resolve(
        self, connection: Connection, message_id: int, outcome: Outcome, *, evidence: str, claim_id: str | None = None,
        at: datetime | None = None,
    ) -> bool:  # fmt: skip
        """Settle a message in doubt by a known outcome; False when it is not in doubt (any more), or not this one's.

        Acceptance makes it sent, also where somebody had gone on without it: at the moment `at` that the proof names,
        else at that of its handing over. While a later attempt is in flight it is kept until that has its outcome.
        Definite non-acceptance, known from the journal, the log or the process itself, queues it.
        """
        due = claims.by_id(connection, [message_id])[message_id]
        self.load(connection, [due])
        if outcome.error_class == OPTED_OUT:
            self.note_opted_out([due.recipient_key])
        accepted = outcome.kind is AttemptOutcome.ACCEPTED
        begun_at = outcomes.doubt_begun_at(connection, message_id, claim_id)
        known_at = self.now
        if accepted and begun_at is not None:  # by whatever clock: not before it was begun, nor in the future
            known_at = min(max(begun_at, at or begun_at), self.now)
        if outcomes.resolve_doubt(connection, message_id, outcome, evidence=evidence, at=known_at, claim_id=claim_id):
            if accepted:
                self.accept(connection, due, known_at, "prove_accepted")
            else:
                self.requeue(connection, [due], "prove_absent")
            return True
        number = late.last_given_up(connection, message_id, claim_id) if accepted else None
        if number is None:
            return False
        late.hold(connection, [message_id])
        keep = partial(late.keep, connection, message_id, number, outcome=outcome, evidence=evidence, at=known_at)
        if self._accept_after_all(connection, due, known_at):
            keep(AttemptOutcome.ACCEPTED)
            return True
        # Sent again meanwhile, or in flight. What names no attempt, or may be about the new one, stands elsewhere.
        if claim_id is not None and evidence != "event":
            keep(AttemptOutcome.ABANDONED)
        return False

    def _accept_after_all(self, connection: Connection, due: Due, at: datetime) -> bool:
        """An attempt that was given up is proven: False when a later one is in flight, or was accepted."""
        if self.accept(connection, due, at, "replay_accepted"):
            return True
        overtaken = late.overtake(connection, due.id, self.now)  # whatever came of it, nobody wants a third
        return overtaken and self.accept(connection, due, at, "prove_accepted")

    def accept(self, connection: Connection, due: Due, at: datetime, transition: str) -> bool:
        """A message is proven accepted after all: it is sent, and its enrollment goes on. False when it has moved."""
        if move(connection, transition, [{"id": due.id, "sent_at": at}], claimed=False, now=self.now):
            return False
        self.conclude(connection, [Over(due, at, "sent")])
        return True

    def conclude(self, connection: Connection, overs: Sequence[Over]) -> None:
        """Move enrollments past their step, or end them, as far as these messages were the last of their places."""
        if overs:
            advancing = self.advancing(connection, (over.due.campaign_id for over in overs))
            places.conclude(connection, overs, advancing, self.now)

    def requeue(
        self, connection: Connection, dues: Sequence[Due], transition: str, *, by_operator: bool = False
    ) -> set[int]:
        """Put messages back into the queue by `prove_absent`, `resend` or `retry`; returns the ids that had moved.

        The count against max_attempts begins anew: someone, or a day, has intervened. What an operator wants goes
        whatever step came since.
        """
        lost = set[int]()
        for unpaid in (False, True):
            some = [due for due in dues if self._is_unpaid(connection, due, transition) is unpaid]
            changes: dict[str, object] = {"next_attempt_at": self.now, "charged_attempts": 0}
            changes |= {"error_class": Why.ALLOWANCE, "last_error": None} if unpaid else {}
            changes |= {"transient": 0} if by_operator else {}
            rows = [{"id": due.id} | changes for due in some]
            lost |= move(connection, transition, rows, claimed=False, now=self.now)
        if transition == "retry":
            # The cause may have been the contents: what was certainly not accepted is composed afresh.
            outcomes.unfreeze(connection, [due.id for due in dues if due.id not in lost])
        revived = [due for due in dues if due.id not in lost and not due.copy]
        # Held first: who ends the other message of the place at this moment must see this one, or be seen.
        places.hold(connection, (due.enrollment_id for due in revived))
        enrollments.revive(connection, revived, self.now)
        return lost

    def _is_unpaid(self, connection: Connection, due: Due, transition: str) -> bool:
        """Whether a message that is queued again has lost its share of an account: it was given back when it failed."""
        return transition == "retry" and bool(self.current(connection, due.campaign_id).account)

    def give_up(self, connection: Connection, dues: Sequence[Due], reason: str) -> set[int]:
        """Messages in doubt that shall not be sent again: failed, for good."""
        rows = [{"id": due.id, "failed_at": self.now, "transient": 0, "last_error": reason} for due in dues]
        lost = move(connection, "skip", rows, claimed=False, now=self.now)
        self.conclude(connection, [Over(due, self.now, "failed") for due in dues if due.id not in lost])
        return lost
