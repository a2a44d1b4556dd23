"""`status`: what is happening, read in one consistent view of the ledger. Writes nothing, and takes no lock for long.

Judging it, and saying what to do next, is passes/advice.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from sendctl.definition import Definition
from sendctl.errors import BadConfig, SendctlError, Unreachable, UsageError
from sendctl.journal import home as homes
from sendctl.journal.home import Home
from sendctl.journal.owner import unusable
from sendctl.passes import hosts
from sendctl.passes.context import Context
from sendctl.passes.place import elsewhere
from sendctl.passes.startup import rewound_reason
from sendctl.states import CampaignStatus, State
from sendctl.store import (
    audit,
    campaigns,
    copies,
    doubts,
    events,
    holds,
    limits,
    meta,
    replay,
    reports,
    runs,
    sealed,
    touches,
)
from sendctl.store.campaigns import Campaign
from sendctl.store.doubts import Failure
from sendctl.store.holds import HeldCount
from sendctl.store.limits import Breaker
from sendctl.store.runs import RunRow

RECENT_S = 86400.0
SHOWN_RUNS = 5


@dataclass(frozen=True, slots=True)
class RunState:
    """A run, and whether it lives: "ended", "alive", "dead", or "unknown" where only another host can tell.

    One that the store has not ended is "ended" where this host's journal folder says so: the store was put back.
    """

    row: RunRow
    life: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit."""

    at: datetime
    login: str
    hostname: str
    action: str
    reason: str


@dataclass(frozen=True, slots=True)
class StoreState:
    """What concerns all campaigns. `foreign` and `rewound` say why nothing may be sent, or are empty."""

    sending_enabled: bool
    providers: tuple[str, ...]  # configured on this host
    foreign: str
    rewound: str
    hosts_behind: tuple[str, ...]
    awaited: str  # which hosts a pass of this one waits for after a start of Postgres, in words
    witnessed: bool  # whether anything outside of the journal folder remembers how far the store had come
    homeless: int  # what journals know of messages that the store does not have, after a rewind
    uncounted: int  # of these, those that caps and distance would count, if it were known to whom they went
    journal_trouble: str  # why passes cannot use the journal folder, or ""
    last_pass_at: datetime | None
    last_pass_host: str | None
    retry_failed_after_s: float  # when reconcile tries again what failed for a passing cause
    breakers: tuple[Breaker, ...]  # those not closed
    runs: tuple[RunState, ...]  # the last few, and all that have not ended
    audit: tuple[AuditEntry, ...]


@dataclass(frozen=True, slots=True)
class CampaignState:
    """One campaign. `counts` has every state; `planned` is their sum."""

    campaign: Campaign
    definition: Definition
    providers: tuple[str, ...]  # those that it wants, in order; not all need be configured on this host
    counts: Mapping[State, int]
    in_doubt_since: datetime | None
    next_due_at: datetime | None
    due: int
    overdue: int
    failures: tuple[Failure, ...]  # without any doubt
    given_up: int  # failed too, but perhaps accepted
    failed_recently: int
    resent: int  # of all planned, those that operators had sent once more
    claims_expired: int  # messages in flight that no run may send any more
    sent_per_s: float | None
    events: Mapping[str, int]  # by type
    halted: str  # why sendctl itself paused it, or empty
    held: tuple[HeldCount, ...] = ()  # what waits for another reason than its time
    unreadable: str = ""  # why this host cannot open the contents of the letter that waits, or empty

    @property
    def planned(self) -> int:
        return sum(self.counts.values())

    @property
    def settled(self) -> int:
        """Messages about which nothing more is to be done or found out."""
        waiting = (State.QUEUED, State.SENDING, State.IN_DOUBT)
        return self.planned - sum(self.counts[state] for state in waiting)


@dataclass(frozen=True, slots=True)
class Situation:
    """The answer. `now` is the store's time."""

    now: datetime
    store: StoreState
    campaigns: tuple[CampaignState, ...]
    archived: tuple[str, ...] = ()  # the names of archived ones, where there are no others


def read(context: Context, name: str | None = None) -> Situation:
    """All campaigns but archived ones, or one of any kind. Raises UsageError when there is none of that name."""
    lost = forgotten(context)
    with context.store.read() as connection:
        now = context.store.now(connection)
        if name is None:
            chosen = campaigns.every(connection)
            counts, learned = reports.counts(connection), events.counts(connection)
        else:
            chosen = [_campaign(connection, name)]
            counts, learned = reports.counts(connection, chosen[0].id), events.counts(connection, chosen[0].id)
        overdue_before = now - timedelta(seconds=context.settings.reconcile.overdue_grace_s)
        states = tuple(
            _state(context, connection, one, counts[one.id], learned.get(one.id, {}), now, overdue_before)
            for one in chosen
        )
        if name is None:  # what tells of a letter is of interest once it has told
            states = tuple(state for state in states if state.planned or not _tells(state.definition))
        archived = () if chosen else tuple(one.name for one in campaigns.every(connection, archived=True))
        store = _store_state(context, connection, chosen[0].id if name else None, now)
    if lost and not store.rewound and not (store.foreign and context.store.sqlite):
        store = replace(store, rewound=lost, hosts_behind=tuple(hosts.known(context)) or (context.hostname,))
    return Situation(now, store, states, archived)


def _tells(definition: Definition) -> bool:
    return definition.letter is not None and bool(definition.letter.about)


def forgotten(context: Context) -> str:
    """Why the next pass of this host will take the store for rewound, or ""."""
    if _home(context) is None:
        return ""
    try:
        return rewound_reason(context)
    except (BadConfig, Unreachable):  # journals of another user
        return ""


def _campaign(connection: Connection, name: str) -> Campaign:
    campaign = campaigns.find(connection, name)
    if campaign is None:
        raise UsageError(f"there is no campaign {name}", hint="`sendctl status` lists them.")
    return campaign


def _state(
    context: Context, connection: Connection, campaign: Campaign, counts: Mapping[State, int],
    learned: Mapping[str, int], now: datetime, overdue_before: datetime,
) -> CampaignState:  # fmt: skip
    number, running = campaign.id, campaign.status is CampaignStatus.RUNNING
    definition = campaigns.definition_of(connection, number, campaign.revision)
    return CampaignState(
        campaign=campaign,
        definition=definition,
        providers=context.settings.providers_of(definition.providers),
        counts=counts,
        in_doubt_since=reports.oldest_in_doubt(connection, number) if counts[State.IN_DOUBT] else None,
        next_due_at=reports.next_due(connection, number),
        due=reports.due_before(connection, number, now),
        overdue=reports.due_before(connection, number, overdue_before) if running else 0,
        failures=tuple(doubts.failures(connection, number)) if counts[State.FAILED] else (),
        given_up=len(doubts.failed_ids(connection, number, given_up=True)) if counts[State.FAILED] else 0,
        resent=copies.count(connection, number),
        failed_recently=reports.failed_since(connection, number, now - timedelta(seconds=RECENT_S)),
        claims_expired=reports.claims_expired(connection, number, now),
        sent_per_s=reports.sent_per_s(connection, number, now),
        events=learned,
        held=tuple(holds.counts(connection, number)) if counts[State.QUEUED] else (),
        halted=reports.halt_reason(connection, number) or "" if campaign.status is CampaignStatus.PAUSED else "",
        unreadable=_unreadable(context, connection, number) if definition.is_sealed and counts[State.QUEUED] else "",
    )


def _unreadable(context: Context, connection: Connection, campaign_id: int) -> str:
    """Why a letter that waits cannot be opened here: known before it is due where the key is missing."""
    from sendctl.passes import sealing  # noqa: PLC0415  only for campaigns that are encrypted letters

    keys = sealing.keyring(context)
    missing = sealing.missing_keys(keys, sealed.waiting_keys(connection, campaign_id))
    if missing:
        more = f" ({keys.trouble})" if keys.trouble else ""
        return f"its contents are sealed with key {', '.join(missing)}, which this host does not have{more}"
    noted = sealed.trouble(connection, campaign_id)
    return noted if sealing.DAMAGED in noted else ""


def _store_state(context: Context, connection: Connection, campaign_id: int | None, now: datetime) -> StoreState:
    row = meta.read(connection)
    behind = tuple(meta.hosts_behind(connection, row.epoch))
    home = _home(context)
    awaited = meta.awaited(connection, host_id=home.host_id if home is not None else "", now=now)
    return StoreState(
        sending_enabled=context.settings.send.enabled,
        providers=tuple(context.settings.providers),
        foreign=elsewhere(context, row, meta.database_identity(connection)),
        rewound=(row.epoch_reason or "journals are not replayed") if behind else "",
        hosts_behind=behind,
        awaited=str(awaited or ""),
        # A witness is believed by the user who made it: root, who looks at another's, cannot tell.
        witnessed=home is None or home.path.stat().st_uid != os.geteuid() or home.is_witnessed(row.store_id),
        homeless=replay.homeless(connection),
        uncounted=_uncounted(context, connection, now),
        journal_trouble=unusable(context.settings.journal.path),
        last_pass_at=row.last_pass_at,
        last_pass_host=row.last_pass_host,
        retry_failed_after_s=context.settings.reconcile.retry_failed_after_s,
        breakers=tuple(one for one in limits.breakers(connection).values() if one.state != "closed"),
        runs=_runs(context, connection),
        audit=tuple(_entry(line) for line in audit.latest(connection, campaign_id)),
    )


def _uncounted(context: Context, connection: Connection, now: datetime) -> int:
    found = context.settings.limits
    return touches.unknown_since(connection, now - timedelta(seconds=found.reach_s)) if found.counts else 0


def _entry(line: Any) -> AuditEntry:
    return AuditEntry(line.at, line.login, line.hostname, line.action, line.reason)


def _runs(context: Context, connection: Connection) -> tuple[RunState, ...]:
    rows = {row.id: row for row in runs.latest(connection, SHOWN_RUNS)}
    rows |= {row.id: row for row in runs.unfinished(connection)}
    home = _home(context)
    newest = sorted(rows.values(), key=lambda row: row.started_at, reverse=True)
    return tuple(RunState(row, _life(home, row)) for row in newest)


def _home(context: Context) -> Home | None:
    """The journal folder if it is there and ours to read: looking must not create it, nor its first file."""
    try:
        return context.home if (context.settings.journal.path / "host-id").is_file() else None
    except (SendctlError, OSError):
        return None


def _life(home: Home | None, row: RunRow) -> str:
    if row.finished_at is not None:
        return "ended"
    if home is None or row.host_id != home.host_id:
        return "unknown"
    if home.has_ended(row.id):
        return "ended"
    if not home.lock_path(row.id).exists():
        return "unknown"
    try:
        with homes.dead_run(home, row.id) as dead:
            return "dead" if dead else "alive"
    except (SendctlError, OSError):  # another user's
        return "unknown"
