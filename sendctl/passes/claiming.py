"""T(k): one transaction that records the last window's outcomes and claims the next one. No network in here.

Everything that can forbid a message is asked at this moment: the campaign's state, suppressions, the enrollment,
expiry, the send window and quiet hours, what people got of other campaigns, what a journal proved before a rewind,
breakers, cooldown and rate tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.engine import Connection

from sendctl import faults
from sendctl.clock import Lease
from sendctl.definition import Definition
from sendctl.durations import Rate
from sendctl.errors import StoreRewound
from sendctl.identity import new_id
from sendctl.passes import fates, people, standstill
from sendctl.passes.consequences import Breakers, pause, stop_reasons
from sendctl.passes.deciding import Desk
from sendctl.policy import concerns_the_provider
from sendctl.providers.base import Outcome, Scope
from sendctl.states import AttemptOutcome, CampaignStatus
from sendctl.store import campaigns, claims, limits, runs
from sendctl.store.campaigns import Campaign
from sendctl.store.claims import Claim, Due

if TYPE_CHECKING:
    from sendctl.passes.sealing import Contents

BEAT_EVERY_S = 5.0  # a row that all workers of a run would otherwise wait for in every turn
BUSY_WAIT_S = 0.5


class Claimed(NamedTuple):
    """One message of a window, bound to a provider."""

    due: Due
    provider: str
    number: int
    claim_id: str
    revision: int
    composed_at: datetime
    contents: Contents | None = None  # of an encrypted letter, opened to be sent


@dataclass(frozen=True, slots=True)
class Window:
    """What one transaction moved to `sending`. Empty: nothing could be claimed, and `wait_s` says when it may be.

    `rewound` is said here and not raised at once, so that the outcomes of the window before are recorded.

    `wait_s` is None when nothing is due at all. `lease` is how long its claim may be used.
    """

    campaign_id: int = 0
    messages: tuple[Claimed, ...] = ()
    lease: Lease | None = None
    wait_s: float | None = None
    blocked: str = ""  # why something due was not claimed, in words
    told: bool = False  # ... and whether the pass that found it so has said it
    passing: bool = False  # ... and whether it goes by with time alone, and is no trouble
    rewound: str = ""  # why nothing may be claimed before journals are replayed


class Done(NamedTuple):
    """The outcome of one claimed message, and how long ago by the boot clock it became known."""

    claimed: Claimed
    outcome: Outcome
    at_boot_s: float


def blamed(done: Sequence[Done]) -> list[Done]:
    """The same outcomes; a provider that put everybody off alike is the one that is concerned, not each recipient."""
    found = []
    for provider in sorted({item.claimed.provider for item in done}):
        mine = [item for item in done if item.claimed.provider == provider]
        if concerns_the_provider([item.outcome for item in mine]):
            mine = [
                item._replace(outcome=item.outcome._replace(scope=Scope.PROVIDER))
                if item.outcome.kind is AttemptOutcome.DEFERRED else item
                for item in mine
            ]  # fmt: skip
        found += mine
    return found


@dataclass
class Clerk:
    """Runs T(k) for one worker of one run."""

    desk: Desk
    run_id: str
    worker: int
    usable: frozenset[str]  # providers configured on this host
    campaign: str | None = None
    lost: int = 0
    failed: int = 0  # for good, or out of attempts
    claimed: int = 0
    paused: int = 0  # campaigns that wait for a person now
    unreadable: dict[str, bool] = field(default_factory=dict)  # letters that cannot be opened here: is it news?
    stops: list[str] = field(default_factory=list)  # campaigns and providers that were stopped, in words
    _last: str = ""
    _breakers: Breakers = field(default_factory=Breakers)
    _beat_s: float = float("-inf")

    def turn(self, done: Sequence[Done], limit: int) -> Window:
        """Record `done`, then claim at most `limit` messages of one campaign. `limit` 0 only records.

        Raises StoreRewound when the store has forgotten this run or what it claimed: another server answers now.
        """
        context = self.desk.context
        # Begun before the store says what time it is, so that the lease never outlives the claim.
        lease = Lease.of(context.settings.send.claim_s, context.clock)
        boot_s = context.clock.boot_s()
        with self.desk.transaction() as connection:
            if not runs.hold_open(connection, self.run_id):
                raise StoreRewound(f"the store does not know run {self.run_id} any more")
            self._record(connection, done, boot_s)
            window = self._claim(connection, limit, lease) if limit else Window()
            if boot_s - self._beat_s > BEAT_EVERY_S:
                runs.beat(connection, self.run_id, self.desk.now)
                self._beat_s = boot_s
            faults.passing("settle.before_commit" if done else "claim.before_commit")
        faults.passing("settle.committed" if done else "claim.committed")
        self.claimed += len(window.messages)
        return window

    # -- outcomes of the last window ------------------------------------------------------------------------------

    def _record(self, connection: Connection, done: Sequence[Done], boot_s: float) -> None:
        done = blamed(done)
        reasons: dict[int, str] = {}
        for channel in sorted({item.claimed.due.channel for item in done}):
            # Each by itself: that texts are taken says nothing of e-mails that are all refused alike.
            some = [item for item in done if item.claimed.due.channel == channel]
            reasons |= stop_reasons([(item.claimed.due.campaign_id, item.outcome) for item in some])
        campaigns.lock(connection, {item.claimed.due.campaign_id for item in done}, reasons.keys())
        self._breakers.read(connection, ((item.claimed.provider, item.outcome) for item in done), self.desk.now)
        self._settle(connection, done, boot_s)
        for provider in sorted({item.claimed.provider for item in done}):
            outcomes = [item.outcome for item in done if item.claimed.provider == provider]
            self._tell(self._breakers.note(connection, provider, outcomes, self.desk.now))
        for campaign_id, reason in sorted(reasons.items()):
            hostname = self.desk.context.hostname
            said = pause(connection, campaign_id, reason, hostname=hostname, run_id=self.run_id, now=self.desk.now)
            self.paused += said is not None
            self._tell(said)

    def _tell(self, text: str | None) -> None:
        if text is not None:
            self.stops.append(text)

    def _settle(self, connection: Connection, done: Sequence[Done], boot_s: float) -> None:
        self.desk.load(connection, (item.claimed.due for item in done))
        settled = [
            self.desk.decided(
                item.claimed.due, item.claimed, item.outcome, evidence="reply",
                at=self.desk.now - timedelta(seconds=max(0.0, boot_s - item.at_boot_s)),
            )
            for item in done
        ]  # fmt: skip
        lost = self.desk.settle(connection, settled)
        self.failed += sum(item.transition == "refuse" and item.due.id not in lost for item in settled)
        self._check_remembered(connection, [item.claimed for item in done if item.claimed.due.id in lost])
        self.lost += len(lost)

    def _check_remembered(self, connection: Connection, lost: Sequence[Claimed]) -> None:
        """A lost race leaves our attempt in the store; a store without it was rewound under this run."""
        known = runs.attempt_states(connection, [(item.due.id, item.number) for item in lost])
        for item in lost:
            if known.get((item.due.id, item.number), ("", ""))[0] != item.claim_id:
                raise StoreRewound(f"the store has forgotten what run {self.run_id} claimed")

    # -- the next window ------------------------------------------------------------------------------------------

    def _claim(self, connection: Connection, limit: int, lease: Lease) -> Window:
        """Try campaigns in turn, beginning after the last one, until one has something that may go."""
        still = standstill.at_present(self.desk.context, connection, self.desk.now)
        if still is not None and still.left_s is None:
            return Window(rewound=still.reason)
        if still is not None:
            return Window(wait_s=still.left_s, blocked=still.reason, passing=True)
        names = [self.campaign] if self.campaign else self._turns(connection)
        empty = []
        for name in names:
            window = self._claim_from(connection, name, limit, lease)
            self._last = name
            if window.messages:
                return window
            empty.append(window)
        waits = [window.wait_s for window in empty if window.wait_s is not None]
        # What nobody has said yet goes before what waits for a provider that is known to be away.
        first = min((window for window in empty if window.blocked), key=lambda window: window.told, default=Window())
        wait_s = min(waits) if waits else None
        return Window(wait_s=wait_s, blocked=first.blocked, told=first.told, passing=first.passing)

    def _turns(self, connection: Connection) -> list[str]:
        names = claims.campaigns_with_due(connection, self.desk.now)
        if self._last in names:
            place = names.index(self._last) + 1
            return names[place:] + names[:place]
        return names

    def _claim_from(self, connection: Connection, name: str, limit: int, lease: Lease) -> Window:
        # Shared: a pause or a cancel waits for this transaction, so that its count of what is in flight is true.
        campaign = campaigns.find(connection, name, lock="share")
        if campaign is None:
            return Window(wait_s=BUSY_WAIT_S, blocked=f"campaign {name} is being changed")
        if campaign.status is not CampaignStatus.RUNNING:
            return Window()
        definition = self.desk.current(connection, campaign.id)
        rest_s = (
            limits.resting_s(connection, f"campaign:{name}", self.desk.now) if campaign.controls.cooldown_s else 0.0
        )
        if rest_s:
            return Window(wait_s=rest_s, blocked=f"campaign {name} is cooling down", passing=True)
        if self.desk.context.calendar(definition).never_opens:
            return Window(blocked=f"campaign {name}: its window lies in the quiet hours of [limits]")
        routes = {channel: self._route(definition, channel) for channel in definition.channels}
        open_to = {channel: self._open(order) for channel, order in routes.items()}
        shut = [channel for channel, providers in open_to.items() if not providers]
        if len(shut) < len(routes):
            size = min(limit, campaign.controls.batch_size)
            window = self._fill(connection, campaign, definition, size, open_to, lease)
            if window != Window() or not claims.any_due(connection, campaign.id, self.desk.now, shut):
                return window
        return self._shut(shut, [provider for channel in shut for provider in routes[channel]], definition)

    def _route(self, definition: Definition, channel: str) -> list[str]:
        """The providers of this host that may carry a campaign's messages of a channel, in order."""
        return [provider for provider in self.desk.providers(definition, channel) if provider in self.usable]

    def _open(self, order: Sequence[str]) -> list[str]:
        return [provider for provider in order if self._breakers.of(provider).lets_through(self.desk.now)]

    def _shut(self, channels: Sequence[str], order: list[str], definition: Definition) -> Window:
        if not order:
            wanted, carried = ", ".join(self.desk.providers(definition)) or "none", " or ".join(channels)
            which = f"provider of ({wanted})" + (f" that carries {carried}" if carried != "email" else "")
            return Window(blocked=f"campaign {definition.name}: no {which} is configured on this host")
        waits = [breaker.retry_at for name in order if (breaker := self._breakers.of(name)).retry_at is not None]
        wait_s = min((at - self.desk.now).total_seconds() for at in waits) if waits else None
        reasons = "; ".join(f"{name}: {self._breakers.of(name).reason}" for name in order)
        why = f"campaign {definition.name}: no provider is usable now ({reasons})"
        return Window(wait_s=wait_s, blocked=why, told=True)

    def _fill(
        self, connection: Connection, campaign: Campaign, definition: Definition, size: int,
        open_to: Mapping[str, list[str]], lease: Lease,
    ) -> Window:  # fmt: skip
        going_by = [channel for channel, providers in open_to.items() if providers]
        channels = going_by if len(going_by) < len(open_to) else None
        picked = claims.pick_due(connection, campaign.id, self.desk.now, size, channels)
        if not picked:
            return Window()
        calendar = self.desk.context.calendar(definition)
        going = fates.sift(self.desk, connection, calendar, picked)
        contents: dict[int, Contents] = {}
        if definition.is_sealed and going:
            contents, unreadable = self._opened(connection, campaign, going)
            going = [due for due in going if due.id in contents]
            if not going:
                return unreadable
        able = people.sift(self.desk, connection, calendar, going)
        wanted = [(due, self._provider(due, open_to[due.channel])) for due in able.going]
        pairs, wait_s = self._granted(connection, campaign, wanted)
        if not pairs:
            # Sifted rows have left the queue: look again at once. Without tokens: wait for the next one.
            if not able.going and able.busy == len(picked):
                held = f"campaign {campaign.name}: another pass is sending to the same people"
                return Window(wait_s=BUSY_WAIT_S, blocked=held, passing=True)
            if not able.going:
                return Window(wait_s=0.0)
            return Window(wait_s=wait_s, blocked=f"campaign {campaign.name}: rate", passing=True)
        settings = self.desk.context.settings.send
        claim = Claim(new_id(), self.run_id, self.worker, self.desk.now + timedelta(seconds=settings.claim_s))
        claims.claim(connection, pairs, claim, revision=campaign.revision, now=self.desk.now)
        for provider in {provider for _, provider in pairs}:
            breaker = self._breakers.of(provider)
            if breaker.state != "closed":
                limits.probe(connection, breaker, self.desk.now, settings.claim_s)
        if campaign.controls.cooldown_s:
            until = self.desk.now + timedelta(seconds=campaign.controls.cooldown_s)
            limits.cool_down(connection, f"campaign:{campaign.name}", until)
        messages = tuple(
            self._claimed(due, provider, claim.id, campaign)._replace(contents=contents.get(due.id))
            for due, provider in pairs
        )
        for revision in {item.revision for item in messages}:
            self.desk.definition(connection, campaign.id, revision)
        return Window(campaign.id, messages, lease)

    def _opened(
        self, connection: Connection, campaign: Campaign, going: Sequence[Due]
    ) -> tuple[dict[int, Contents], Window]:
        """The contents of an encrypted letter; without its key, or damaged, it stays where it is, and that is said."""
        from sendctl.passes import sealing  # noqa: PLC0415  passes without such a letter need none of it

        contents, why, is_news = sealing.open_all(
            self.desk.context, connection, [due.id for due in going], self.desk.now
        )
        if not why:
            return contents, Window()
        news = self.unreadable[campaign.name] = is_news or self.unreadable.get(campaign.name, False)
        return contents, Window(blocked=f"letter {campaign.name}: {why}", told=not news)

    def _claimed(self, due: Due, provider: str, claim_id: str, campaign: Campaign) -> Claimed:
        revision = due.revision if due.revision is not None else campaign.revision
        return Claimed(due, provider, due.attempts + 1, claim_id, revision, due.composed_at or self.desk.now)

    def _provider(self, due: Due, open_to: list[str]) -> str:
        return due.next_provider if due.next_provider in open_to else open_to[0]

    def _granted(
        self, connection: Connection, campaign: Campaign, pairs: Sequence[tuple[Due, str]]
    ) -> tuple[list[tuple[Due, str]], float]:
        """Those that rates have room for, in order, and the wait for one more, in seconds.

        To a provider whose breaker is not closed goes one message: it finds out whether the provider is back.
        """
        rates = self._rates(campaign, {provider for _, provider in pairs})
        hands = {scope: limits.tokens_at_hand(connection, scope, rate, self.desk.now) for scope, rate in rates.items()}
        probing = {name for name in {provider for _, provider in pairs} if self._breakers.of(name).state != "closed"}
        if not rates and not probing:
            return list(pairs), 0.0
        room = hands | {f"probe:{provider}": 1 for provider in probing}
        granted, short = [], set[str]()
        for due, provider in pairs:
            wanted = {f"campaign:{campaign.name}", f"provider:{provider}", f"probe:{provider}"} & room.keys()
            lacking = {scope for scope in wanted if room[scope] == 0}
            short |= lacking
            if not lacking:
                granted.append((due, provider))
                room |= {scope: room[scope] - 1 for scope in wanted}
        for scope in rates:
            limits.spend(connection, scope, hands[scope] - room[scope])
        return granted, max((rates[scope].per_s / rates[scope].count for scope in short & rates.keys()), default=0.0)

    def _rates(self, campaign: Campaign, providers: set[str]) -> dict[str, Rate]:
        """The rates that bind a window, by scope."""
        tables = self.desk.context.settings.providers
        rates = {f"provider:{name}": rate for name in sorted(providers) if (rate := tables[name].rate) is not None}
        own = campaign.controls.rate
        return rates if own is None else {f"campaign:{campaign.name}": own} | rates
